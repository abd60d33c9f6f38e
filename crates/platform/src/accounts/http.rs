//! Requests on accounts.

use avouch_gate::access::OPERATOR_SERVICE;
use avouch_gate::{Ctx, Endpoint, Request, Response, Result, Target};
use avouch_policy::access::ResourceAttrs;
use serde_json::{Value, json};

use super::{Account, sql};

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint::get("/avouch/v1/accounts", "list_accounts", list).actions(&["avouch.account.read"])]
}

/// An account as it is shown.
pub fn render(a: &Account) -> Value {
    json!({
        "id": a.id.as_str(),
        "name": a.name,
        "owner_iam_id": a.owner.as_str(),
        "state": a.state,
        "created_at": a.created_at.rfc3339_millis(),
    })
}

/// The caller's own account; an operator sees all.
async fn list(ctx: Ctx, _request: Request) -> Result<Response> {
    let own = ctx.caller()?.account().clone();
    let target = Target::global(OPERATOR_SERVICE, &own, ResourceAttrs::service(&own, OPERATOR_SERVICE), "");
    let operator = ctx.filter(&own).await?.permits("avouch.account.read", &target.attrs);
    let rows = ctx.read(sql::all).await?;
    let shown: Vec<Value> = rows.iter().filter(|a| operator || a.id == own).map(render).collect();
    Response::json(200, &json!({"accounts": shown}))
}
