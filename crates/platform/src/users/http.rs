//! Requests on users: the published reads and changes, and adding one (ours).

use avouch_crypto::rng;
use avouch_gate::{Ctx, Details, Endpoint, Error, Kind, Request, Response, Result, Target};
use avouch_policy::access::ResourceAttrs;
use avouch_store::Tx;
use avouch_wire::ids::{AccountId, IamId};
use avouch_wire::text;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::{ACTIVE, DISABLED, User, sql};
use crate::accounts;

const RETRIEVE: &str = "user-management.user.retrieve";
const CREATE: &str = "user-management.user.create";
const UPDATE: &str = "user-management.user.update";
const CHANGE_STATE: &str = "user-management.user.state-change";
const DELETE: &str = "user-management.user.delete";
const TARGET: &str = "user-management/user";
const PAGE: i64 = 100;

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/v2/accounts/{account_id}/users", "list_users", list).actions(&[RETRIEVE]),
        Endpoint::get("/v2/accounts/{account_id}/users/{iam_id}", "get_user_profile", get)
            .actions(&[RETRIEVE]),
        Endpoint::post("/avouch/v1/users", "add_user", add).actions(&[CREATE]).events(TARGET, &[CREATE]),
        Endpoint::patch("/v2/accounts/{account_id}/users/{iam_id}", "update_user_profile", update)
            .protective(true)
            .actions(&[UPDATE, CHANGE_STATE])
            .events(TARGET, &[UPDATE, CHANGE_STATE]),
        Endpoint::delete("/v2/accounts/{account_id}/users/{iam_id}", "remove_user", remove)
            .actions(&[DELETE])
            .events(TARGET, &[DELETE, "iam-identity.user-apikey.delete"]),
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
    name("first_name", &body.first_name)?;
    name("last_name", &body.last_name)?;
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
        state: ACTIVE.into(),
        made_here,
        created_at: ctx.now(),
    };
    let shown = render(&user);
    let crn = crn(&ctx, &user.account, &user.iam_id);
    ctx.write(permit, move |tx, event| {
        event.status = 201;
        event.target(crn.as_str(), &user.email);
        event.request("iam_id", user.iam_id.as_str());
        // Nobody could ever log in by an id that is nobody's.
        if !user.made_here && !sql::known(tx, &user.iam_id)? {
            return Err(Error::invalid("iam_id", "The property 'iam_id' names no user."));
        }
        sql::insert(tx, &user).map_err(taken)
    })
    .await?;
    Response::json(201, &shown)
}

fn taken(e: Error) -> Error {
    match e.kind() {
        Kind::Conflict => Error::conflict("A user of that e-mail or IAM id exists already."),
        _ => e,
    }
}

/// The published members that there is a place for. The others of the published service are refused, not dropped.
#[derive(Deserialize)]
struct Update {
    firstname: Option<String>,
    lastname: Option<String>,
    email: Option<String>,
    state: Option<String>,
    phonenumber: Option<IgnoredAny>,
    altphonenumber: Option<IgnoredAny>,
    photo: Option<IgnoredAny>,
}

async fn update(ctx: Ctx, request: Request) -> Result<Response> {
    let body: Update = request.json()?;
    let nowhere =
        [("phonenumber", body.phonenumber), ("altphonenumber", body.altphonenumber), ("photo", body.photo)];
    if let Some((field, _)) = nowhere.into_iter().find(|(_, given)| given.is_some()) {
        return Err(Error::invalid(field, format!("The property '{field}' is not supported.")));
    }
    for (field, text) in [("firstname", &body.firstname), ("lastname", &body.lastname)] {
        text.as_deref().map_or(Ok(()), |text| name(field, text))?;
    }
    let email = body.email.as_deref().map(|given| super::email("email", given)).transpose()?;
    if body.state.as_deref().is_some_and(|s| s != ACTIVE && s != DISABLED) {
        return Err(Error::invalid(
            "state",
            format!("The property 'state' must be '{ACTIVE}' or '{DISABLED}'."),
        ));
    }
    let asked = asked(&request)?;
    let target = target_of(&ctx, &asked);
    // Who may let somebody act, or not, decides more than who may correct a name.
    let described = body.firstname.is_some() || body.lastname.is_some() || email.is_some();
    let mut permits = Vec::new();
    if body.state.is_some() {
        permits.push((CHANGE_STATE, ctx.authorize(CHANGE_STATE, &target).await?));
    }
    if described || permits.is_empty() {
        let own = ctx.caller()?.iam_id() == &asked.iam_id && ctx.caller()?.account() == &asked.account;
        // Everybody may correct his own name; the e-mail is how others know him.
        let permit = if own && email.is_none() {
            ctx.authorize_self(&asked.iam_id, UPDATE, &target)?
        } else {
            ctx.authorize(UPDATE, &target).await?
        };
        permits.push((UPDATE, permit));
    }
    let (action, permit) = permits.swap_remove(0);
    ctx.write(permit, move |tx, event| {
        event.status = 204;
        event.action(action);
        let mut user = asked.user(tx)?;
        event.target_name = Some(user.email.clone());
        if let Some(state) = &body.state {
            event.request("state", state.as_str());
            if state != ACTIVE {
                asked.not_the_owner(tx)?;
            }
            user.state.clone_from(state);
        }
        let given = [
            (&mut user.first_name, &body.firstname),
            (&mut user.last_name, &body.lastname),
            (&mut user.email, &email),
        ];
        for (old, new) in given {
            if let Some(new) = new {
                old.clone_from(new);
            }
        }
        sql::update(tx, &user).map_err(taken)
    })
    .await?;
    Ok(Response::empty(204))
}

/// COMPAT: published is that service IDs may not; here a policy decides, so that a directory can be followed by a program.
async fn remove(ctx: Ctx, request: Request) -> Result<Response> {
    let asked = asked(&request)?;
    let permit = ctx.authorize(DELETE, &target_of(&ctx, &asked)).await?;
    let (app, now, each) = (ctx.app().clone(), ctx.now(), permit.clone());
    let by = ctx.caller()?.iam_id().as_str().to_owned();
    ctx.write(permit, move |tx, event| {
        event.status = 204;
        let user = asked.user(tx)?;
        event.target_name = Some(user.email);
        asked.not_the_owner(tx)?;
        sql::delete(tx, &asked.account, &asked.iam_id)?;
        for key in app.links.cleaner.user_removed(tx, &asked.account, &asked.iam_id, (now, &by))? {
            let mut told = Details { status: 204, locked: key.locked, ..Details::default() };
            told.action("iam-identity.user-apikey.delete");
            told.target(key.crn, &key.name);
            told.target_type = Some("iam-identity/user-apikey".into());
            event.also.push((each.clone(), told));
        }
        Ok(())
    })
    .await?;
    Ok(Response::empty(204))
}

/// The user that a request names.
struct Asked {
    account: AccountId,
    iam_id: IamId,
}

fn asked(request: &Request) -> Result<Asked> {
    let text = request.param("iam_id")?;
    let iam_id = IamId::parse(text).map_err(|_| Error::not_found("User", text))?;
    Ok(Asked { account: account(request)?, iam_id })
}

impl Asked {
    fn user(&self, tx: &mut Tx<'_>) -> Result<User> {
        sql::get(tx, &self.account, &self.iam_id)?
            .ok_or_else(|| Error::not_found("User", self.iam_id.as_str()))
    }

    /// Nobody could give an account without owner its rights back.
    fn not_the_owner(&self, tx: &mut Tx<'_>) -> Result<()> {
        let account = accounts::sql::get(tx, &self.account)?;
        if account.is_some_and(|a| a.owner == self.iam_id) {
            return Err(Error::conflict("The owner of the account can be neither removed nor disabled."));
        }
        Ok(())
    }
}

fn target_of(ctx: &Ctx, asked: &Asked) -> Target {
    let mut target = target(&asked.account).named(asked.iam_id.as_str());
    target.crn = crn(ctx, &asked.account, &asked.iam_id);
    target
}

fn crn(ctx: &Ctx, account: &AccountId, iam_id: &IamId) -> String {
    format!("crn:v1:{}:public:user-management::a/{account}::user:{iam_id}", ctx.app().config.cname)
}

fn name(field: &'static str, given: &str) -> Result<()> {
    if text::printable(given, 100) {
        Ok(())
    } else {
        Err(Error::invalid(field, format!("The property '{field}' is not valid.")))
    }
}
