//! More accounts, made by the operator. Everything of an account is made at once, so this needs all services.

use avouch_gate::access::OPERATOR_SERVICE;
use avouch_gate::{Ctx, Endpoint, Error, Request, Response, Result, Target};
use avouch_platform::{accounts, users};
use avouch_policy::access::ResourceAttrs;
use avouch_wire::text;
use serde::Deserialize;
use serde_json::json;

use crate::bootstrap::{Bootstrap, Founding};

const CREATE: &str = "avouch.account.create";

/// The endpoints of this resource; `platform` lists accounts.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post("/avouch/v1/accounts", "create_account", create)
            .actions(&[CREATE])
            .events("avouch/account", &[CREATE]),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
    owner_email: String,
}

/// The owner's API key stands in the answer and nowhere else.
async fn create(ctx: Ctx, request: Request) -> Result<Response> {
    let body: Create = request.json()?;
    if body.name.trim().is_empty() || !text::printable(&body.name, 100) {
        return Err(Error::invalid("name", "The property 'name' must have 1 to 100 printable characters."));
    }
    let email = users::email("owner_email", &body.owner_email)?;
    let own = ctx.caller()?.account().clone();
    let attrs = ResourceAttrs::service(&own, OPERATOR_SERVICE);
    let permit =
        ctx.authorize(CREATE, &Target::global(OPERATOR_SERVICE, &own, attrs, "").named(&body.name)).await?;
    let made = Bootstrap::draw(ctx.app())?;
    let founding = Founding::new(ctx.app(), (&body.name, false), &email, &made);
    let mut shown = accounts::http::render(founding.account());
    if let Some(shown) = shown.as_object_mut() {
        shown.insert("resource_group_id".into(), json!(made.resource_group));
        let owner = json!({"iam_id": made.iam_id.as_str(), "email": email, "apikey": made.api_key.expose()});
        shown.insert("owner".into(), owner);
    }
    let crn =
        format!("crn:v1:{}:public:avouch:global:a/{own}::account:{}", ctx.app().config.cname, made.account);
    ctx.write(permit, move |tx, event| {
        event.status = 201;
        event.target(crn.as_str(), &founding.account().name);
        event.request("account_id", founding.account().id.as_str());
        founding.write(tx)
    })
    .await?;
    Response::json(201, &shown)
}
