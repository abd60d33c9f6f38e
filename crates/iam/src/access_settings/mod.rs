//! Settings of access management: how identities of other accounts may act in this one, beyond what policies say.
//!
//! `enabled`: as policies say. `monitor`: the same, noted in the audit trail. `limited`: not at all, unless their account is
//! named. Trusted profiles follow the setting of service IDs. Refused: unknown types and states, names that are no account.

mod sql;

use avouch_gate::etag;
use avouch_gate::http::request::from_value;
use avouch_gate::links::{ExternalAccess, ExternalRule, ExternalState};
use avouch_gate::{Ctx, Endpoint, Error, Request, Response, Result, Target};
use avouch_policy::access::ResourceAttrs;
use avouch_store::Tx;
use avouch_wire::access::{AccessSettings, ExternalIdentityInteraction, IdentityTypeSetting, IdentityTypes};
use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::next_tag;
use crate::policies::http::json_body;

const TARGET: &str = "iam-access-management/settings";
const PATH: &str = "/v1/accounts/{account_id}/settings/access_management";
/// Most accounts that one type may name.
const ALLOWED_MAX: usize = 100;

/// The setting of every type of identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Types {
    user: IdentityTypeSetting,
    service_id: IdentityTypeSetting,
    service: IdentityTypeSetting,
}

impl Default for Types {
    fn default() -> Self {
        Self::all("enabled")
    }
}

impl Types {
    fn all(state: &str) -> Self {
        let one = || IdentityTypeSetting { state: state.into(), external_allowed_accounts: Vec::new() };
        Self { user: one(), service_id: one(), service: one() }
    }

    fn closed() -> Self {
        Self::all("limited")
    }
}

/// Settings of an account.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    types: Types,
    etag: String,
    modified_at: Timestamp,
    modified_by: String,
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get(PATH, "get_settings", get).actions(&["iam-access-management.settings.read"]),
        Endpoint::patch(PATH, "update_settings", update)
            .actions(&["iam-access-management.settings.update"])
            .events(TARGET, &["iam-access-management.settings.update"]),
    ]
}

/// The settings as the decision wants them.
///
/// # Errors
/// Those of the store.
pub fn external(tx: &mut Tx<'_>, account: &AccountId) -> Result<ExternalAccess> {
    let types = sql::get(tx, account)?.map(|s| s.types).unwrap_or_default();
    let rule = |t: IdentityTypeSetting| ExternalRule {
        // A word of a later version lets nobody in.
        state: state(&t.state).unwrap_or(ExternalState::Limited),
        allowed: t.external_allowed_accounts,
    };
    Ok(ExternalAccess {
        user: rule(types.user),
        service_id: rule(types.service_id),
        service: rule(types.service),
    })
}

fn state(text: &str) -> Option<ExternalState> {
    match text {
        "enabled" => Some(ExternalState::Enabled),
        "monitor" => Some(ExternalState::Monitor),
        "limited" => Some(ExternalState::Limited),
        _ => None,
    }
}

fn target(account: &AccountId) -> Target {
    let attrs = ResourceAttrs::service(account, "iam-access-management");
    let crn = format!("crn:v1:bluemix:public:iam-access-management::a/{account}:::");
    Target::global("iam-am", account, attrs, crn)
}

fn account_of(request: &Request) -> Result<AccountId> {
    let text = request.param("account_id")?;
    AccountId::parse(text).map_err(|_| Error::new(avouch_gate::Kind::NotFound, "Not found."))
}

fn check(setting: &IdentityTypeSetting) -> Result<()> {
    if state(&setting.state).is_none() {
        return Err(Error::invalid(
            "state",
            "The property 'state' must be 'enabled', 'monitor' or 'limited'.",
        ));
    }
    let accounts = &setting.external_allowed_accounts;
    if accounts.len() > ALLOWED_MAX || accounts.iter().any(|a| AccountId::parse(a).is_err()) {
        return Err(Error::invalid(
            "external_allowed_accounts",
            "The property 'external_allowed_accounts' must hold at most 100 account ids.",
        ));
    }
    Ok(())
}

fn answer(settings: Option<&Settings>, account: &AccountId) -> Result<Response> {
    let types = settings.map(|s| s.types.clone()).unwrap_or_default();
    let body = AccessSettings {
        external_account_identity_interaction: ExternalIdentityInteraction {
            identity_types: IdentityTypes {
                user: Some(types.user),
                service_id: Some(types.service_id),
                service: Some(types.service),
            },
        },
    };
    Ok(Response::json(200, &body)?.etag(&tag(settings, account)))
}

fn tag(settings: Option<&Settings>, account: &AccountId) -> String {
    settings.map_or_else(|| format!("1-{account}"), |s| s.etag.clone())
}

async fn get(ctx: Ctx, request: Request) -> Result<Response> {
    let account = account_of(&request)?;
    ctx.authorize("iam-access-management.settings.read", &target(&account)).await?;
    let asked = account.clone();
    let settings = ctx.read(move |tx| sql::get(tx, &asked)).await?;
    answer(settings.as_ref(), &account)
}

async fn update(ctx: Ctx, request: Request) -> Result<Response> {
    let body: AccessSettings = from_value(json_body(&request)?)?;
    let wanted = request.if_match()?;
    let account = account_of(&request)?;
    let permit = ctx.authorize("iam-access-management.settings.update", &target(&account)).await?;
    let given = body.external_account_identity_interaction.identity_types;
    for setting in [&given.user, &given.service_id, &given.service].into_iter().flatten() {
        check(setting)?;
    }
    let (now, by, fresh) =
        (ctx.now(), ctx.caller()?.iam_id().as_str().to_owned(), ctx.uuid().simple().to_string());
    let asked = account.clone();
    let settings = ctx
        .write(permit, move |tx, event| {
            let old = sql::get(tx, &asked)?;
            let before = tag(old.as_ref(), &asked);
            etag::check(&wanted, &before)?;
            let mut types = old.map(|s| s.types).unwrap_or_default();
            event.request("old", as_json(&types)?);
            let slots = [
                (&mut types.user, &given.user),
                (&mut types.service_id, &given.service_id),
                (&mut types.service, &given.service),
            ];
            for (slot, given) in slots {
                if let Some(given) = given {
                    slot.clone_from(given);
                }
            }
            event.request("new", as_json(&types)?);
            let settings = Settings {
                types,
                etag: next_tag(&before, &fresh),
                modified_at: now,
                modified_by: by.clone(),
            };
            sql::set(tx, &asked, &settings)?;
            Ok(settings)
        })
        .await?;
    answer(Some(&settings), &account)
}

fn as_json(types: &Types) -> Result<Value> {
    serde_json::to_value(types).map_err(Error::internal)
}
