//! Reads the role data file into a [`Catalogue`]. Every slip in the file is an error, found by the tests of this crate.

use super::{Catalogue, Role, RoleKind, Service, ServiceKind};
use hashbrown::HashMap;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    role: Vec<RoleData>,
    common: Vec<Grant>,
    service: Vec<ServiceData>,
    others: Others,
    pair: Vec<Pair>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleData {
    key: String,
    #[serde(default)]
    owner: Option<String>,
    kind: String,
    name: String,
    #[serde(default)]
    display: Option<String>,
    description: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    roles: Vec<String>,
    #[serde(default)]
    actions: Vec<String>,
    #[serde(default)]
    plain: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceData {
    name: String,
    display: String,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    group: Option<String>,
    #[serde(default)]
    attributes: Vec<String>,
    #[serde(default)]
    id_attribute: bool,
    roles: Vec<String>,
    #[serde(default)]
    listed: Option<Vec<String>>,
    #[serde(default)]
    grant: Vec<Grant>,
    #[serde(default)]
    alias: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Others {
    roles: Vec<String>,
    names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    source: String,
    target: String,
    roles: Vec<String>,
}

/// Short names of the roles of the file, to their place.
struct Keys(HashMap<String, usize>);

impl Keys {
    fn place(&self, key: &str) -> Result<usize, String> {
        self.0.get(key).copied().ok_or_else(|| format!("unknown role key {key}"))
    }

    fn places(&self, keys: &[String]) -> Result<Vec<usize>, String> {
        keys.iter().map(|k| self.place(k)).collect()
    }

    fn mask(&self, keys: &[String]) -> Result<u64, String> {
        Ok(self.places(keys)?.into_iter().fold(0, |m, p| m | 1 << p))
    }
}

pub(super) fn load(text: &str) -> Result<Catalogue, String> {
    let file: File = toml::from_str(text).map_err(|e| e.to_string())?;
    if file.role.len() > 64 {
        return Err("a role mask has 64 places".into());
    }
    let mut keys = Keys(HashMap::new());
    let mut roles = Vec::with_capacity(file.role.len());
    for (place, r) in file.role.into_iter().enumerate() {
        let kind = match r.kind.as_str() {
            "role" => RoleKind::Platform,
            "serviceRole" => RoleKind::Service,
            _ => return Err(format!("role {}: unknown kind", r.name)),
        };
        let owner = r.owner.unwrap_or_else(|| "iam".into());
        if keys.0.insert(r.key, place).is_some() {
            return Err(format!("role {} stands twice", r.name));
        }
        roles.push(Role {
            crn: format!("crn:v1:bluemix:public:{owner}::::{}:{}", r.kind, r.name),
            owner,
            kind,
            display_name: r.display.unwrap_or_else(|| r.name.clone()),
            name: r.name,
            description: r.description,
        });
    }

    let mut common: Vec<(u64, Vec<String>)> = Vec::new();
    for grant in &file.common {
        common.push((keys.mask(&grant.roles)?, expand_all("", &grant.actions)?));
    }
    let mut services = Vec::new();
    for data in file.service {
        services.push(service(&keys, &common, data)?);
    }
    for name in file.others.names {
        let data = ServiceData {
            display: name.clone(),
            name,
            kind: None,
            group: None,
            attributes: Vec::new(),
            id_attribute: false,
            roles: file.others.roles.clone(),
            listed: None,
            grant: Vec::new(),
            alias: Vec::new(),
        };
        services.push(service(&keys, &common, data)?);
    }
    let by_name: HashMap<String, usize> =
        services.iter().enumerate().map(|(i, s)| (s.name.clone(), i)).collect();
    if by_name.len() != services.len() {
        return Err("a service stands twice".into());
    }

    let mut pairs = HashMap::new();
    for p in file.pair {
        for s in [&p.source, &p.target] {
            if !by_name.contains_key(s) {
                return Err(format!("pair of unknown service {s}"));
            }
        }
        let mask = keys.mask(&p.roles)?;
        if pairs.insert((p.source, p.target), mask).is_some() {
            return Err("a pair stands twice".into());
        }
    }
    let mask =
        |names: &[&str]| names.iter().map(|n| keys.place(n)).try_fold(0u64, |m, p| p.map(|p| m | 1 << p));
    Ok(Catalogue {
        generic_platform: mask(&["V", "O", "E", "A"])?,
        generic_service: mask(&["R", "W", "M"])?,
        group_object: mask(&["V", "E", "A"])?,
        delegator: mask(&["Delegator"])?,
        common,
        roles,
        services,
        by_name,
        pairs,
    })
}

fn service(keys: &Keys, common: &[(u64, Vec<String>)], data: ServiceData) -> Result<Service, String> {
    let kind = match data.kind.as_deref() {
        None | Some("service") => ServiceKind::Service,
        Some("platform_service") => ServiceKind::PlatformService,
        Some("operator") => ServiceKind::Operator,
        Some(other) => return Err(format!("service {}: unknown kind {other}", data.name)),
    };
    let offered = keys.mask(&data.roles)?;
    let listed = keys.places(data.listed.as_ref().unwrap_or(&data.roles))?;
    let mut actions: Vec<(String, u64)> = Vec::new();
    let mut place: HashMap<String, usize> = HashMap::new();
    let mut add = |mask: u64, list: Vec<String>| {
        for action in list {
            let at = *place.entry(action.clone()).or_insert_with(|| {
                actions.push((action, 0));
                actions.len() - 1
            });
            if let Some(entry) = actions.get_mut(at) {
                entry.1 |= mask;
            }
        }
    };
    for (mask, list) in common {
        // The authorization delegator is no role of a service but works on every target.
        let delegator = keys.mask(&["Delegator".to_owned()])?;
        add(mask & (offered | delegator), list.clone());
    }
    for grant in &data.grant {
        let mask = keys.mask(&grant.roles)?;
        if mask & !offered != 0 {
            return Err(format!("service {} grants to a role that it does not offer", data.name));
        }
        add(mask, expand_all(&format!("{}.", data.name), &grant.actions)?);
        add(mask, expand_all("", &grant.plain)?);
    }
    let mut aliases = HashMap::new();
    for (canonical, newer) in data.alias {
        if !place.contains_key(&canonical) || place.contains_key(&newer) {
            return Err(format!("alias {newer} does not join an action and a new spelling"));
        }
        aliases.insert(newer, canonical);
    }
    Ok(Service {
        name: data.name,
        display_name: data.display,
        kind,
        iam_group: data.group.as_deref() == Some("IAM"),
        attributes: data.attributes,
        id_attribute: data.id_attribute,
        offered,
        listed,
        masks: actions.iter().cloned().collect(),
        reaching: actions.iter().fold(0, |m, (_, mask)| m | mask),
        actions,
        aliases,
    })
}

fn expand_all(prefix: &str, patterns: &[String]) -> Result<Vec<String>, String> {
    let mut out = Vec::new();
    for p in patterns {
        expand(prefix, p, &mut out)?;
    }
    Ok(out)
}

/// `a.{b,c}.d` stands for `a.b.d` and `a.c.d`.
fn expand(done: &str, rest: &str, out: &mut Vec<String>) -> Result<(), String> {
    let Some((head, tail)) = rest.split_once('{') else {
        let action = format!("{done}{rest}");
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        if !action.chars().all(plain) || action.split('.').any(str::is_empty) {
            return Err(format!("malformed action {action}"));
        }
        out.push(action);
        return Ok(());
    };
    let (choices, after) = tail.split_once('}').ok_or_else(|| format!("unclosed brace in {rest}"))?;
    choices.split(',').try_for_each(|c| expand(&format!("{done}{head}{c}"), after, out))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn braces_expand_in_order() {
        let mut out = Vec::new();
        expand("s.", "{a,b}.{x,y}-z", &mut out).unwrap();
        assert_eq!(out, ["s.a.x-z", "s.a.y-z", "s.b.x-z", "s.b.y-z"]);
        assert!(expand("", "a..b", &mut out).is_err());
        assert!(expand("", "a.{b", &mut out).is_err());
    }
}
