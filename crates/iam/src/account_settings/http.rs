//! Requests on account settings.

use std::net::IpAddr;

use avouch_crypto::rng;
use avouch_gate::{Ctx, Error, Kind, Permit, Request, Response, Result, Target, etag};
use avouch_policy::access::ResourceAttrs;
use avouch_wire::ids::AccountId;
use serde_json::{Map, Value, json};

use super::{Settings, load, store};
use crate::history::{self, Author};

/// How strongly users must prove themselves.
const MFA: &[&str] = &["NONE", "NONE_NO_ROPC", "TOTP", "TOTP4ALL", "LEVEL1", "LEVEL2", "LEVEL3"];

async fn account(ctx: &Ctx, request: &Request, action: &str) -> Result<(AccountId, Permit)> {
    let text = request.param("account_id")?;
    let unknown =
        || Error::new(Kind::NotFound, "Unable to find Object.").details("Object Type: 'Account' not found.");
    let account = AccountId::parse(text).map_err(|_| unknown())?;
    let attrs = ResourceAttrs::service(&account, "iam-identity");
    let target = Target::global("iam-identity", &account, attrs, "").named(account.as_str());
    let permit = ctx.authorize(action, &target).await.map_err(|e| match e.kind() {
        Kind::NotFound => unknown(),
        _ => e,
    })?;
    Ok((account, permit))
}

/// COMPAT: the published Node suite wants `history` in every answer, even an empty one.
fn render(account: &AccountId, settings: &Settings, history: Vec<Value>) -> Value {
    let mut out = Map::new();
    out.insert("account_id".into(), json!(account.as_str()));
    out.insert("entity_tag".into(), json!(settings.etag));
    out.insert("history".into(), Value::Array(history));
    out.extend(settings.body.clone());
    Value::Object(out)
}

pub async fn get(ctx: Ctx, request: Request) -> Result<Response> {
    let with_history = request.query_bool("include_history")?.unwrap_or(false);
    let (account, _) = account(&ctx, &request, "iam-identity.account.get").await?;
    let asked = account.clone();
    let (settings, records) = ctx
        .read(move |tx| {
            let records =
                if with_history { history::of(tx, &asked, "account-settings")? } else { Vec::new() };
            Ok((load(tx, &asked)?, records))
        })
        .await?;
    Ok(Response::json(200, &render(&account, &settings, records))?.etag(&settings.etag))
}

pub async fn effective(ctx: Ctx, request: Request) -> Result<Response> {
    let (account, _) = account(&ctx, &request, "iam-identity.account.get").await?;
    let asked = account.clone();
    let settings = ctx.read(move |tx| load(tx, &asked)).await?;
    let body = json!({
        "account_id": account.as_str(),
        "effective": settings.body,
        "account": render(&account, &settings, Vec::new()),
        "assigned_templates": [],
    });
    Response::json(200, &body)
}

pub async fn update(ctx: Ctx, request: Request) -> Result<Response> {
    let body = request.json_value()?;
    let wanted =
        body.as_object().cloned().ok_or_else(|| Error::invalid("body", "The body must be an object."))?;
    let changes = validate(&wanted)?;
    let if_match = request.if_match()?;
    let (account, permit) = account(&ctx, &request, "iam-identity.account.update").await?;
    let (salt, now, author) = (rng::hex(ctx.app().rng.as_ref(), 16), ctx.now(), Author::of(&ctx)?);
    let of = account.clone();
    let settings = ctx
        .write(permit, move |tx, event| {
            let mut settings = load(tx, &of)?;
            etag::check(&if_match, &settings.etag)?;
            let mut told = Map::new();
            for (field, value) in &changes {
                if let Some(old) = settings.body.get(field) {
                    told.insert(format!("old_{field}"), old.clone());
                }
                told.insert(format!("new_{field}"), value.clone());
                settings.body.insert(field.clone(), value.clone());
            }
            event.request("request_body", Value::Object(told));
            settings.etag = crate::next_tag(&settings.etag, &salt);
            store(tx, &of, &settings, now.millis())?;
            history::add(tx, &of, "account-settings", &author, "update-account-settings")?;
            Ok(settings)
        })
        .await?;
    Ok(Response::json(200, &render(&account, &settings, Vec::new()))?.etag(&settings.etag))
}

/// The members of a request that are settings, each checked; unknown members are ignored.
fn validate(wanted: &Map<String, Value>) -> Result<Map<String, Value>> {
    let mut out = Map::new();
    for (field, value) in wanted {
        let bad = || {
            Error::invalid(field.clone(), format!("The property '{field}' has a value that is not allowed."))
        };
        let text = || value.as_str().ok_or_else(bad);
        let seconds = |min: i64, max: i64| -> Result<()> {
            let text = text()?;
            let good = text == "NOT_SET" || text.parse::<i64>().is_ok_and(|n| (min..=max).contains(&n));
            if good { Ok(()) } else { Err(bad()) }
        };
        match field.as_str() {
            "restrict_create_service_id" | "restrict_create_platform_apikey" => {
                if !["RESTRICTED", "NOT_RESTRICTED", "NOT_SET"].contains(&text()?) {
                    return Err(bad());
                }
            }
            "restrict_user_list_visibility" => {
                if !["RESTRICTED", "NOT_RESTRICTED"].contains(&text()?) {
                    return Err(bad());
                }
            }
            "allowed_ip_addresses" => {
                if !text()?.split(',').map(str::trim).filter(|p| !p.is_empty()).all(is_address) {
                    return Err(bad());
                }
            }
            "mfa" => {
                if !MFA.contains(&text()?) {
                    return Err(bad());
                }
            }
            "session_expiration_in_seconds" => seconds(900, 86_400)?,
            "session_invalidation_in_seconds" => seconds(900, 7_200)?,
            "max_sessions_per_identity" => seconds(1, 1_000_000)?,
            "system_access_token_expiration_in_seconds" => seconds(900, 3_600)?,
            "system_refresh_token_expiration_in_seconds" => seconds(900, 259_200)?,
            "user_mfa" => {
                let good = |e: &Value| {
                    word(e, "iam_id").is_some() && word(e, "mfa").is_some_and(|m| MFA.contains(&m))
                };
                if value.as_array().is_none_or(|a| a.len() > 1000 || !a.iter().all(good)) {
                    return Err(bad());
                }
            }
            "restrict_user_domains" => {
                if value
                    .as_array()
                    .is_none_or(|a| a.len() > 1000 || !a.iter().all(|e| word(e, "realm_id").is_some()))
                {
                    return Err(bad());
                }
            }
            _ => continue,
        }
        out.insert(field.clone(), value.clone());
    }
    Ok(out)
}

/// A text member of an object that is not empty.
fn word<'v>(object: &'v Value, name: &str) -> Option<&'v str> {
    object.get(name).and_then(Value::as_str).filter(|t| !t.is_empty())
}

/// An address, a range `a - b`, or a network.
fn is_address(part: &str) -> bool {
    if let Some((a, b)) = part.split_once('-') {
        return a.trim().parse::<IpAddr>().is_ok() && b.trim().parse::<IpAddr>().is_ok();
    }
    if let Some((address, bits)) = part.split_once('/') {
        let most = match address.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        return bits.parse::<u8>().is_ok_and(|b| b <= most);
    }
    part.parse::<IpAddr>().is_ok()
}
