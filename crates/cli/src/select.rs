//! Objects by name or id. A name that fits several objects is asked about on a terminal, and refused elsewhere.

use serde_json::Value;

use crate::api::Api;
use crate::failure::{Failure, Result, failed};
use crate::input;
use crate::output::{cell, columns_of, printable, say};

/// Whether several hits may be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Several {
    /// Ask on a terminal.
    Ask,
    /// Fail: `-f` was given.
    Fail,
}

impl Several {
    /// From the force flag.
    pub fn unless(force: bool) -> Several {
        if force { Several::Fail } else { Several::Ask }
    }
}

/// The one object of `matches`.
pub fn one(api: &Api, kind: &str, name: &str, matches: Vec<Value>, several: Several) -> Result<Value> {
    let mut matches = matches;
    match matches.len() {
        0 => Err(not_found(api, kind, name)),
        1 => Ok(matches.remove(0)),
        _ if several == Several::Fail || !input::interactive() => {
            let ids: Vec<String> = matches.iter().map(id).collect();
            Err(failed(format!("Several {kind}s are called '{}':\n{}", printable(name), ids.join("\n"))))
        }
        n => {
            let rows: Vec<Vec<String>> = matches
                .iter()
                .enumerate()
                .map(|(i, v)| vec![(i + 1).to_string(), cell(v, "name"), id(v), cell(v, "created_at")])
                .collect();
            say(&columns_of(&["#", "Name", "ID", "Created"], &rows));
            let answer = input::ask("Enter a number>")?;
            match answer.parse::<usize>() {
                Ok(i) if (1..=n).contains(&i) => Ok(matches.remove(i - 1)),
                _ => Err(Failure::Cancelled),
            }
        }
    }
}

/// Kind, name, and the id of the request that found nothing.
pub fn not_found(api: &Api, kind: &str, name: &str) -> Failure {
    let transaction = api.last_transaction();
    let trace =
        if transaction.is_empty() { String::new() } else { format!("\nTransaction ID: {transaction}") };
    let kind = kind
        .chars()
        .next()
        .map(|c| c.to_uppercase().collect::<String>() + &kind[c.len_utf8()..])
        .unwrap_or_default();
    failed(format!("{kind} '{}' was not found.{trace}", printable(name)))
}

fn id(value: &Value) -> String {
    ["id", "guid", "crn"].iter().map(|k| cell(value, k)).find(|v| !v.is_empty()).unwrap_or_default()
}

/// Those of `values` whose `field` is exactly `wanted`; else those that differ in case only, if `fold`.
pub fn named(values: &[Value], field: &str, wanted: &str, fold: bool) -> Vec<Value> {
    let exact: Vec<Value> = values.iter().filter(|v| v[field] == wanted).cloned().collect();
    if !exact.is_empty() || !fold {
        return exact;
    }
    let lower = wanted.to_lowercase();
    values.iter().filter(|v| v[field].as_str().is_some_and(|f| f.to_lowercase() == lower)).cloned().collect()
}

/// True for the text form of a UUID, upper case included.
pub fn uuid(text: &str) -> bool {
    avouch_wire::text::uuid(&text.to_ascii_lowercase())
}

/// True when the text is `prefix` and a UUID.
pub fn prefixed(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(uuid)
}

/// The id inside a CRN of identity objects (`…:profile:Profile-…`), or the text itself.
pub fn id_of_crn(text: &str) -> &str {
    if text.starts_with("crn:") { text.rsplit(':').find(|s| !s.is_empty()).unwrap_or(text) } else { text }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::api::Reach;
    use serde_json::json;

    fn api() -> Api {
        let reach = Reach {
            endpoint: "http://127.0.0.1:1".into(),
            skip_tls: false,
            timeout: std::time::Duration::from_secs(1),
            trace: crate::trace::Trace::Off,
        };
        Api::new(reach).unwrap()
    }

    #[test]
    fn several_hits_are_refused_with_their_ids() {
        let hits = vec![json!({"id": "A", "name": "n"}), json!({"id": "B", "name": "n"})];
        let e = one(&api(), "service ID", "n", hits, Several::Fail).unwrap_err().text();
        assert!(e.contains("A\nB"), "{e}");
    }

    #[test]
    fn nothing_found_names_kind_and_name() {
        let e = one(&api(), "trusted profile", "shop", vec![], Several::Ask).unwrap_err().text();
        assert_eq!(e, "Trusted profile 'shop' was not found.");
    }

    #[test]
    fn exact_names_go_before_folded_ones() {
        let all = [json!({"name": "Default"}), json!({"name": "default"}), json!({"name": "other"})];
        assert_eq!(named(&all, "name", "default", true).len(), 1);
        assert_eq!(named(&all, "name", "DEFAULT", true).len(), 2);
        assert_eq!(named(&all, "name", "DEFAULT", false).len(), 0);
    }

    #[test]
    fn ids_are_told_from_names() {
        assert!(prefixed("Profile-6e1f7ea6-0000-4000-8000-000000000001", "Profile-"));
        assert!(!prefixed("Profile-of-mine", "Profile-"));
        let crn = "crn:v1:bluemix:public:iam-identity::a/0::profile:Profile-1";
        assert_eq!(id_of_crn(crn), "Profile-1");
        assert_eq!(id_of_crn("name"), "name");
    }
}
