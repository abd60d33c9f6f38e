//! Whether the public group counts in an account.

use avouch_gate::etag;
use avouch_gate::http::request::from_value;
use avouch_gate::{Ctx, Endpoint, Error, Request, Response, Result};
use avouch_wire::access::UpdateGroupSettings;
use avouch_wire::ids::{AccessGroupId, AccountId};
use serde_json::{Value, json};

use super::http::explained;
use super::{Group, Settings, sql, target};
use crate::next_tag;
use crate::policies;
use crate::policies::http::{account_param, json_body};

const TARGET: &str = "iam-groups/account-settings";
const PATH: &str = "/v2/groups/settings";

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get(PATH, "get_account_settings", get)
            .actions(&["iam-groups.account-settings.read"])
            .events(TARGET, &["iam-groups.account-settings.read"]),
        Endpoint::patch(PATH, "update_account_settings", update)
            .actions(&["iam-groups.account-settings.update"])
            .events(TARGET, &["iam-groups.account-settings.update"]),
    ]
}

fn render(account: &AccountId, settings: Option<&Settings>) -> Value {
    let public = Group::public(account, settings);
    json!({
        "account_id": account.as_str(),
        "last_modified_at": public.modified_at.rfc3339_millis(),
        "last_modified_by_id": public.modified_by,
        "public_access_enabled": settings.is_none_or(|s| s.public_access_enabled),
    })
}

async fn get(ctx: Ctx, request: Request) -> Result<Response> {
    let account = account_param(&request)?;
    const ACTION: &str = "iam-groups.account-settings.read";
    ctx.authorize(ACTION, &target(&account, "", "")).await.map_err(|e| explained(&ctx, e, ACTION))?;
    let asked = account.clone();
    let settings = ctx.read(move |tx| sql::settings(tx, &asked)).await?;
    let tag = Group::public(&account, settings.as_ref()).etag;
    Ok(Response::json(200, &render(&account, settings.as_ref()))?.etag(&tag))
}

/// Disabling public access deletes what the public group was granted.
async fn update(ctx: Ctx, request: Request) -> Result<Response> {
    let account = account_param(&request)?;
    let body: UpdateGroupSettings = from_value(json_body(&request)?)?;
    const ACTION: &str = "iam-groups.account-settings.update";
    let permit =
        ctx.authorize(ACTION, &target(&account, "", "")).await.map_err(|e| explained(&ctx, e, ACTION))?;
    let wanted = body.public_access_enabled.ok_or_else(|| Error::missing("public_access_enabled"))?;
    let if_match = request.header("if-match").is_some().then(|| request.if_match()).transpose()?;
    let (now, by, fresh) =
        (ctx.now(), ctx.caller()?.iam_id().as_str().to_owned(), ctx.uuid().simple().to_string());
    let asked = account.clone();
    let settings = ctx
        .write(permit, move |tx, event| {
            let old = sql::settings(tx, &asked)?;
            let before = Group::public(&asked, old.as_ref()).etag;
            if let Some(if_match) = &if_match {
                etag::check(if_match, &before)?;
            }
            event.request("old_public_access_enabled", old.is_none_or(|s| s.public_access_enabled));
            event.request("public_access_enabled", wanted);
            if !wanted {
                let public = AccessGroupId::public();
                let n = policies::logic::retire_subject(tx, &asked, public.as_str(), &by, now)?;
                event.response("policies_deleted", n);
            }
            let settings = Settings {
                public_access_enabled: wanted,
                etag: next_tag(&before, &fresh),
                modified_at: now,
                modified_by: by.clone(),
            };
            sql::set_settings(tx, &asked, &settings)?;
            Ok(settings)
        })
        .await?;
    Ok(Response::json(200, &render(&account, Some(&settings)))?.etag(&settings.etag))
}
