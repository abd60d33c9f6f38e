//! Requests on users: the published reads, and adding one (ours).

use avouch_crypto::rng;
use avouch_gate::{Ctx, Endpoint, Error, Request, Response, Result, Target};
use avouch_policy::access::ResourceAttrs;
use avouch_wire::ids::{AccountId, IamId};
use avouch_wire::text;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{User, sql};

const RETRIEVE: &str = "user-management.user.retrieve";
const CREATE: &str = "user-management.user.create";
const PAGE: i64 = 100;

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/v2/accounts/{account_id}/users", "list_users", list).actions(&[RETRIEVE]),
        Endpoint::get("/v2/accounts/{account_id}/users/{iam_id}", "get_user_profile", get)
            .actions(&[RETRIEVE]),
        Endpoint::post("/avouch/v1/users", "add_user", add)
            .actions(&[CREATE])
            .events("user-management/user", &["user-management.user.create"]),
    ]
}

fn target(account: &AccountId) -> Target {
    Target::global("user-management", account, ResourceAttrs::service(account, "user-management"), "")
}

fn render(u: &User) -> Value {
    json!({
        "id": u.iam_id.as_str(), "iam_id": u.iam_id.as_str(), "realm": "IBMid", "user_id": u.email,
        "firstname": u.first_name, "lastname": u.last_name, "state": u.state, "email": u.email,
        "account_id": u.account.as_str(), "added_on": u.created_at.rfc3339_millis(),
    })
}

fn account(request: &Request) -> Result<AccountId> {
    let id = request.param("account_id")?;
    AccountId::parse(id).map_err(|_| Error::not_found("Account", id))
}

async fn list(ctx: Ctx, request: Request) -> Result<Response> {
    let account = account(&request)?;
    let limit = request.query_int("limit", 1, PAGE)?.unwrap_or(PAGE);
    let start = request.query("_start")?.unwrap_or_default();
    ctx.authorize(RETRIEVE, &target(&account)).await?;
    let asked = account.clone();
    let (mut rows, total) =
        ctx.read(move |tx| Ok((sql::list(tx, &asked, &start, limit + 1)?, sql::count(tx, &asked)?))).await?;
    let more = rows.len() as i64 > limit;
    rows.truncate(usize::try_from(limit).unwrap_or(0));
    let base = format!("/v2/accounts/{account}/users?limit={limit}");
    let mut body = json!({
        "total_results": total, "limit": limit, "first_url": base,
        "resources": rows.iter().map(render).collect::<Vec<_>>(),
    });
    if let (true, Some(last), Some(object)) = (more, rows.last(), body.as_object_mut()) {
        object.insert("next_url".into(), json!(format!("{base}&{}", started(&last.iam_id))));
    }
    Response::json(200, &body)
}

/// The query parameter of the page after this user.
fn started(last: &IamId) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair("_start", last.as_str()).finish()
}

async fn get(ctx: Ctx, request: Request) -> Result<Response> {
    let account = account(&request)?;
    let text = request.param("iam_id")?;
    let iam_id = IamId::parse(text).map_err(|_| Error::not_found("User", text))?;
    if ctx.caller()?.iam_id() == &iam_id && ctx.caller()?.account() == &account {
        ctx.authorize_self(&iam_id, RETRIEVE, &target(&account))?;
    } else {
        ctx.authorize(RETRIEVE, &target(&account)).await?;
    }
    let wanted = iam_id.clone();
    let user = ctx.read(move |tx| sql::get(tx, &account, &wanted)).await?;
    Response::json(200, &render(&user.ok_or_else(|| Error::not_found("User", text))?))
}

#[derive(Deserialize)]
struct Add {
    email: String,
    account_id: Option<String>,
    iam_id: Option<String>,
    #[serde(default)]
    first_name: String,
    #[serde(default)]
    last_name: String,
}

async fn add(ctx: Ctx, request: Request) -> Result<Response> {
    let body: Add = request.json()?;
    let email = super::email("email", &body.email)?;
    for (field, text) in [("first_name", &body.first_name), ("last_name", &body.last_name)] {
        if !text::printable(text, 100) {
            return Err(Error::invalid(field, format!("The property '{field}' is not valid.")));
        }
    }
    let account = crate::resource_groups::account_of(&ctx, body.account_id)?;
    let made_here = body.iam_id.is_none();
    let iam_id = match body.iam_id {
        Some(text) => IamId::parse(&text)
            .ok()
            .filter(|_| text.starts_with("IBMid-"))
            .ok_or_else(|| Error::invalid("iam_id", "The property 'iam_id' must begin with 'IBMid-'."))?,
        None => IamId::parse(&format!("IBMid-{}", rng::hex(ctx.app().rng.as_ref(), 5).to_uppercase()))
            .map_err(Error::internal)?,
    };
    let permit = ctx.authorize(CREATE, &target(&account).named(&email)).await?;
    let user = User {
        account,
        iam_id,
        email,
        first_name: body.first_name,
        last_name: body.last_name,
        state: "ACTIVE".into(),
        made_here,
        created_at: ctx.now(),
    };
    let shown = render(&user);
    let crn = format!(
        "crn:v1:{}:public:user-management::a/{}::user:{}",
        ctx.app().config.cname,
        user.account,
        user.iam_id
    );
    ctx.write(permit, move |tx, event| {
        event.status = 201;
        event.target(crn.as_str(), &user.email);
        event.request("iam_id", user.iam_id.as_str());
        // Nobody could ever log in by an id that is nobody's.
        if !user.made_here && !sql::known(tx, &user.iam_id)? {
            return Err(Error::invalid("iam_id", "The property 'iam_id' names no user."));
        }
        sql::insert(tx, &user).map_err(|e| match e.kind() {
            avouch_gate::Kind::Conflict => Error::conflict("A user of that e-mail or IAM id exists already."),
            _ => e,
        })
    })
    .await?;
    Response::json(201, &shown)
}
