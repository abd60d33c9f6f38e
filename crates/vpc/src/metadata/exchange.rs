//! An identity token becomes an IAM token of a trusted profile. Who may become which is `iam`'s to say, at each call.

use std::sync::Arc;

use avouch_gate::links::{ProfileWanted, ResourceGroupInfo};
use avouch_gate::{Error, Kind, Response, Result};
use avouch_policy::claims::{ClaimValue, Claims};
use avouch_policy::rules::{ComputeIdentity, CrType};
use avouch_wire::time::Timestamp;
use serde_json::{Map, Value, json};

use super::admission::{Admission, Told};
use super::identity::{self, nothing_else};

/// `POST …/iam_tokens`.
///
/// # Errors
/// `Unauthenticated`, `Invalid`, `Missing`.
pub async fn create(a: Arc<Admission>) -> Result<Told> {
    a.only(&[])?;
    identity::bearer(&a).await?;
    let mut body = a.body()?;
    let named = body.remove("trusted_profile");
    nothing_else(&body)?;
    let wanted = wanted(&a, named)?;
    let identity = compute_identity(&a).await?;
    let exchange = &a.ctx.app().links.exchange;
    let issued = exchange.exchange(&a.ctx, &identity, &wanted).await.map_err(told)?;
    let seconds = issued.expires_at.secs() - issued.created_at.secs();
    let answer = json!({
        "access_token": issued.token,
        "created_at": Timestamp::from_secs(issued.created_at.secs()).rfc3339_millis(),
        "expires_at": Timestamp::from_secs(issued.expires_at.secs()).rfc3339_millis(),
        "expires_in": seconds,
    });
    let mut details = Map::new();
    details.insert("profile_id".into(), json!(issued.profile.id.as_str()));
    let response = Response::json(200, &answer)?;
    Ok(Told { response, durable: true, initiator: Some(issued.initiator), details })
}

/// The refusals of IAM in the words of this service.
fn told(e: Error) -> Error {
    match e.kind() {
        Kind::Unavailable | Kind::Internal | Kind::RateLimited => e,
        _ => {
            let (code, text) = match e.reason_label() {
                Some("not_eligible") => (
                    "profile_not_linked",
                    "The instance is neither linked to the trusted profile nor meets a rule of it.",
                ),
                Some("profile_not_found") => ("not_found", "The trusted profile was not found."),
                Some("profile_differs") => {
                    ("invalid_value", "The properties of 'trusted_profile' name different profiles.")
                }
                _ => ("invalid_value", "The trusted profile cannot be used."),
            };
            Error::invalid("trusted_profile", text).code(code).reason("exchange")
        }
    }
}

fn wanted(a: &Admission, named: Option<Value>) -> Result<Vec<ProfileWanted>> {
    let mut named = match named {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(map)) => map,
        Some(_) => {
            return Err(Error::invalid(
                "trusted_profile",
                "The property 'trusted_profile' must be an object.",
            ));
        }
    };
    let mut out = Vec::new();
    for (name, make) in [
        ("id", ProfileWanted::Id as fn(String) -> ProfileWanted),
        ("crn", ProfileWanted::Crn),
        ("name", ProfileWanted::Name),
    ] {
        match named.remove(name) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if !text.is_empty() && text.len() <= 1024 => out.push(make(text)),
            Some(_) => {
                let field = format!("trusted_profile.{name}");
                return Err(Error::invalid(field.clone(), format!("The property '{field}' must be a text.")));
            }
        }
    }
    nothing_else(&named)?;
    if out.is_empty() {
        let default = a.instance.body.default_trusted_profile.as_ref();
        let default = default.ok_or_else(|| {
            Error::missing("trusted_profile").details("The instance has no default trusted profile.")
        })?;
        out.push(ProfileWanted::Id(default.id.clone()));
    }
    Ok(out)
}

/// What the rules of profiles see: the instance as it is now, whatever its token says.
async fn compute_identity(a: &Admission) -> Result<ComputeIdentity> {
    let networks = identity::networks(a).await?;
    let (view, group) = (a.view.clone(), a.instance.group.clone());
    let group: Option<ResourceGroupInfo> =
        a.ctx.read(move |tx| view.app.links.groups.resource_group(tx, &view.account, Some(&group))).await?;
    let o = &a.instance;
    let mut claims = Claims::new();
    claims.set("resource_group_id", o.group.as_str());
    if let Some(group) = group {
        claims.set("resource_group_name", group.name.as_str());
    }
    claims.set("resource", o.id.as_str());
    claims.set("region", a.view.region.name.as_str());
    claims.set("zone", o.body.zone.as_str());
    let subnets: Vec<String> =
        networks.subnets.iter().filter_map(|s| s["id"].as_str()).map(str::to_owned).collect();
    claims.set("subnet_id", ClaimValue::List(subnets));
    claims.set("vpc_id", networks.vpc["id"].as_str().unwrap_or_default());
    Ok(ComputeIdentity {
        cr_type: CrType::Vsi,
        crn: a.crn.clone(),
        display: o.name.clone(),
        account: a.view.account.clone(),
        claims,
    })
}
