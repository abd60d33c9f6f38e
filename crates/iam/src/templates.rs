//! Templates and assignments of enterprise accounts. This server has none, and says so with empty lists, because client
//! automation enumerates them before it does anything else.

use avouch_gate::{Ctx, Endpoint, Request, Response, Result, Target};
use avouch_policy::access::ResourceAttrs;
use serde_json::json;

const ACTION: &str = "iam-identity.account.get";

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    let list = |path, operation, array| {
        Endpoint::get(path, operation, move |ctx, request| empty(ctx, request, array)).actions(&[ACTION])
    };
    vec![
        list("/v1/profile_templates", "list_profile_templates", "profile_templates"),
        list(
            "/v1/account_settings_templates",
            "list_account_settings_templates",
            "account_settings_templates",
        ),
        list("/v1/profile_assignments", "list_trusted_profile_assignments", "assignments"),
        list("/v1/account_settings_assignments", "list_account_settings_assignments", "assignments"),
    ]
}

async fn empty(ctx: Ctx, request: Request, array: &'static str) -> Result<Response> {
    let account = crate::profiles::http::account_of(&ctx, request.query("account_id")?)?;
    let limit = request.query_int("limit", 1, 100)?.unwrap_or(20);
    let target =
        Target::global("iam-identity", &account, ResourceAttrs::service(&account, "iam-identity"), "");
    ctx.authorize(ACTION, &target).await?;
    let mut body =
        json!({"offset": 0, "limit": limit, "first": format!("{}{}", request.origin, request.path)});
    if let Some(object) = body.as_object_mut() {
        object.insert(array.to_owned(), json!([]));
    }
    Response::json(200, &body)
}
