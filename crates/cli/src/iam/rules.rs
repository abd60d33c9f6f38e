//! `iam trusted-profile-rule…`: conditions on claims under which a compute resource, or a federated user, may become
//! a profile.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::links::CrType;
use super::{issuers, profiles, put};
use crate::api::{Api, Call, segment};
use crate::failure::{Result, usage};
use crate::input::confirm;
use crate::output::{Out, cell};
use crate::select::{self, Several};
use crate::session::Session;

/// Commands on claim rules.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the claim rules of a trusted profile
    TrustedProfileRules {
        #[arg(value_name = "NAME|ID")]
        profile: String,
        /// Print ids only
        #[arg(long)]
        id: bool,
    },
    /// Show a claim rule of a trusted profile
    TrustedProfileRule {
        #[arg(value_name = "NAME|ID")]
        profile: String,
        #[arg(value_name = "RULE_NAME|RULE_ID")]
        rule: String,
    },
    /// Create a claim rule
    TrustedProfileRuleCreate {
        #[arg(value_name = "NAME|ID")]
        profile: String,
        #[command(flatten)]
        fields: Fields,
    },
    /// Change a claim rule; what is not given stays
    TrustedProfileRuleUpdate {
        #[arg(value_name = "NAME|ID")]
        profile: String,
        #[arg(value_name = "RULE_NAME|RULE_ID")]
        rule: String,
        #[command(flatten)]
        fields: Fields,
    },
    /// Delete a claim rule
    TrustedProfileRuleDelete {
        #[arg(value_name = "NAME|ID")]
        profile: String,
        #[arg(value_name = "RULE_NAME|RULE_ID")]
        rule: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RuleType {
    /// Federated users
    #[value(name = "Profile-SAML")]
    Saml,
    /// Compute resources
    #[value(name = "Profile-CR")]
    ComputeResource,
}

impl RuleType {
    fn as_str(self) -> &'static str {
        match self {
            RuleType::Saml => "Profile-SAML",
            RuleType::ComputeResource => "Profile-CR",
        }
    }
}

#[derive(Debug, Args)]
pub struct Fields {
    /// Name of the rule
    #[arg(long)]
    name: Option<String>,
    /// Who the rule is for
    #[arg(long = "type", value_enum, ignore_case = true)]
    kind: Option<RuleType>,
    /// A condition; all must hold. The value may be a JSON array for IN
    #[arg(long, value_name = "claim:C,operator:O,value:V")]
    conditions: Vec<String>,
    /// Identity provider (Profile-SAML)
    #[arg(long, value_name = "REALM")]
    realm_name: Option<String>,
    /// Session length in seconds (Profile-SAML)
    #[arg(long, value_name = "SECONDS")]
    expiration: Option<u64>,
    /// Kind of compute resource (Profile-CR)
    #[arg(long, value_enum, ignore_case = true)]
    cr_type: Option<CrType>,
}

impl Fields {
    fn body(&self) -> Result<Map<String, Value>> {
        let mut body = Map::new();
        put(&mut body, "name", self.name.as_deref());
        put(&mut body, "type", self.kind.map(RuleType::as_str));
        put(&mut body, "realm_name", self.realm_name.as_deref());
        put(&mut body, "cr_type", self.cr_type.map(CrType::as_str));
        if let Some(seconds) = self.expiration {
            body.insert("expiration".into(), json!(seconds));
        }
        if !self.conditions.is_empty() {
            let conditions: Result<Vec<Value>> =
                self.conditions.iter().enumerate().map(|(i, text)| condition(i + 1, text)).collect();
            body.insert("conditions".into(), Value::Array(conditions?));
        }
        Ok(body)
    }

    fn check_create(&self) -> Result<()> {
        let missing = match self.kind {
            None => Some("--type"),
            _ if self.conditions.is_empty() => Some("--conditions"),
            Some(RuleType::Saml) if self.realm_name.is_none() => Some("--realm-name"),
            Some(RuleType::Saml) if self.expiration.is_none() => Some("--expiration"),
            Some(RuleType::ComputeResource) if self.cr_type.is_none() => Some("--cr-type"),
            _ => None,
        };
        missing.map_or(Ok(()), |flag| Err(usage(format!("Missing required option {flag}."))))
    }
}

/// `claim:C,operator:O,value:V`, split at the first two commas only: a value may hold both separators. On the wire a value
/// is JSON in a string; a bare word is quoted, a JSON string or array goes as it is.
fn condition(position: usize, text: &str) -> Result<Value> {
    let mut found = Map::new();
    for part in text.splitn(3, ',') {
        let (key, value) = part.split_once(':').unwrap_or((part, ""));
        match key.trim() {
            key @ ("claim" | "operator") => found.insert(key.into(), json!(value.trim())),
            "value" => found.insert("value".into(), json!(quoted(value))),
            other => {
                return Err(usage(format!("--conditions, condition {position}: unknown key '{other}'.")));
            }
        };
    }
    for key in ["claim", "operator", "value"] {
        if found.get(key).and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err(usage(format!("--conditions, condition {position}: '{key}' is missing.")));
        }
    }
    if let Some(operator) = found.get_mut("operator") {
        *operator = json!(operator.as_str().unwrap_or_default().to_uppercase());
    }
    Ok(found.into())
}

fn quoted(value: &str) -> String {
    match serde_json::from_str::<Value>(value) {
        Ok(Value::String(_) | Value::Array(_)) => value.to_owned(),
        _ => Value::String(value.to_owned()).to_string(),
    }
}

/// Runs a command on claim rules.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::TrustedProfileRules { profile, id } => {
            let api = s.api().await?;
            s.out.progress(format!("Listing rules of trusted profile {profile}"));
            let found = profiles::find(&api, &profile, Several::unless(s.force)).await?;
            let all = rules(&api, &found).await?;
            if id && s.out.table() {
                return all.iter().try_for_each(|r| s.out.line(&cell(r, "id")));
            }
            s.out.list(&all, "No rules found.", COLUMNS, row)
        }
        Command::TrustedProfileRule { profile, rule } => {
            let api = s.api().await?;
            s.out.progress(format!("Getting rule {rule} of trusted profile {profile}"));
            let found = profiles::find(&api, &profile, Several::unless(s.force)).await?;
            let rule = find(&api, &found, &rule, Several::unless(s.force)).await?;
            details(&s.out, &rule)
        }
        Command::TrustedProfileRuleCreate { profile, fields } => {
            fields.check_create()?;
            let body = fields.body()?;
            let api = s.api().await?;
            s.out.progress(format!("Creating a rule of trusted profile {profile}"));
            let found = profiles::find(&api, &profile, Several::unless(s.force)).await?;
            let made = api
                .send(Call::post(format!("{}/rules", profiles::path(&found))).json(body.into()))
                .await?
                .body;
            details(&s.out, &made)?;
            warn(s, &api, &found, &made).await;
            Ok(())
        }
        Command::TrustedProfileRuleUpdate { profile, rule, fields } => {
            let changes = fields.body()?;
            if changes.is_empty() {
                return Err(usage("Nothing to change."));
            }
            let api = s.api().await?;
            s.out.progress(format!("Updating rule {rule} of trusted profile {profile}"));
            let found = profiles::find(&api, &profile, Several::unless(s.force)).await?;
            let listed = find(&api, &found, &rule, Several::unless(s.force)).await?;
            let path = format!("{}/rules/{}", profiles::path(&found), segment(&cell(&listed, "id")));
            let now = api.send(Call::get(path.as_str())).await?;
            let mut body = Map::new();
            for key in ["name", "type", "realm_name", "cr_type", "expiration", "conditions"] {
                if let Some(value) = changes.get(key).or_else(|| now.body.get(key)) {
                    body.insert(key.into(), value.clone());
                }
            }
            let changed = api.send(Call::put(path).if_match(&now.etag).json(body.into())).await?.body;
            details(&s.out, &changed)?;
            warn(s, &api, &found, &changed).await;
            Ok(())
        }
        Command::TrustedProfileRuleDelete { profile, rule } => {
            confirm(s.force, &format!("Really delete rule '{rule}'?"))?;
            let api = s.api().await?;
            s.out.progress(format!("Deleting rule {rule} of trusted profile {profile}"));
            let found = profiles::find(&api, &profile, Several::unless(s.force)).await?;
            let rule = find(&api, &found, &rule, Several::unless(s.force)).await?;
            api.send(Call::delete(format!(
                "{}/rules/{}",
                profiles::path(&found),
                segment(&cell(&rule, "id"))
            )))
            .await?;
            s.out.ok();
            Ok(())
        }
    }
}

/// Says what is doubtful about a rule that was just written. The rule stands whether that can be asked or not: not every
/// server tells, and not everybody who may write rules may read them.
async fn warn(s: &Session, api: &Api, profile: &Value, rule: &Value) {
    let asked = Call::get("/avouch/v1/trust").query("profile_id", cell(profile, "id"));
    let Ok(trust) = api.send(asked).await else { return };
    let entries = trust.body["trust"].as_array().cloned().unwrap_or_default();
    for entry in entries.iter().filter(|e| e["id"] == rule["id"]) {
        issuers::warn(s, entry);
    }
}

const COLUMNS: &[&str] = &["ID", "Name", "Type", "CR type", "Conditions"];

fn conditions(rule: &Value) -> Vec<String> {
    let all = rule["conditions"].as_array().cloned().unwrap_or_default();
    all.iter().map(|c| format!("{} {} {}", cell(c, "claim"), cell(c, "operator"), cell(c, "value"))).collect()
}

fn row(rule: &Value) -> Vec<String> {
    let mut row = ["id", "name", "type", "cr_type"].map(|k| cell(rule, k)).to_vec();
    row.push(conditions(rule).join(" and "));
    row
}

fn details(out: &Out, rule: &Value) -> Result<()> {
    let rows = [
        ("ID", cell(rule, "id")),
        ("Name", cell(rule, "name")),
        ("Type", cell(rule, "type")),
        ("CR type", cell(rule, "cr_type")),
        ("Realm", cell(rule, "realm_name")),
        ("Expiration", cell(rule, "expiration")),
        ("Conditions", conditions(rule).join("\n")),
        ("Created", cell(rule, "created_at")),
    ];
    out.object(rule, &rows)
}

async fn rules(api: &Api, profile: &Value) -> Result<Vec<Value>> {
    api.list(Call::get(format!("{}/rules", profiles::path(profile))), "rules").await
}

async fn find(api: &Api, profile: &Value, wanted: &str, several: Several) -> Result<Value> {
    let all = rules(api, profile).await?;
    let field = if select::prefixed(wanted, "ClaimRule-") { "id" } else { "name" };
    select::one(api, "rule", wanted, select::named(&all, field, wanted, false), several)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::output::columns_of;

    #[test]
    fn a_value_may_hold_both_separators() {
        let c = condition(1, "claim:crn,operator:EQUALS,value:crn:v1:a,b").unwrap();
        assert_eq!(c, json!({"claim": "crn", "operator": "EQUALS", "value": "\"crn:v1:a,b\""}));
    }

    #[test]
    fn json_values_go_as_they_are_and_words_are_quoted() {
        let value = |t: &str| condition(1, t).unwrap()["value"].as_str().unwrap().to_owned();
        assert_eq!(value("claim:namespace,operator:in,value:[\"a\",\"b\"]"), "[\"a\",\"b\"]");
        assert_eq!(value("claim:namespace,operator:EQUALS,value:\"a\""), "\"a\"");
        assert_eq!(value("claim:n,operator:EQUALS,value:true"), "\"true\"");
        assert_eq!(value("claim:n,operator:EQUALS,value:12e3"), "\"12e3\"");
    }

    #[test]
    fn unknown_keys_are_refused_with_their_position() {
        let e = condition(2, "claim:a,operator:EQUALS,vlaue:x").unwrap_err().text();
        assert!(e.contains("condition 2") && e.contains("vlaue"), "{e}");
        assert!(condition(1, "claim:a,operator:EQUALS").is_err());
        assert!(condition(1, "claim:a,operator:EQUALS,value:").unwrap()["value"] == "\"\"");
    }

    #[test]
    fn rules_show_all_conditions() {
        let rule = json!({"id": "ClaimRule-1", "name": "r", "type": "Profile-CR", "cr_type": "IKS_SA", "conditions": [
            {"claim": "namespace", "operator": "EQUALS", "value": "\"shop\""},
            {"claim": "name", "operator": "IN", "value": "[\"a\"]"}]});
        insta::assert_snapshot!(columns_of(COLUMNS, &[row(&rule)]), @r#"
        ID           Name  Type        CR type  Conditions
        ClaimRule-1  r     Profile-CR  IKS_SA   namespace EQUALS "shop" and name IN ["a"]
        "#);
    }
}
