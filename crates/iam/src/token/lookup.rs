//! What the token service asks of its neighbours in this crate: keys, owners, profiles and account settings, in the few
//! fields that a token needs. It decides nothing.

use avouch_crypto::secret::SecretString;
use avouch_gate::{App, Result};
use avouch_policy::rules::{ClaimRule, Link};
use avouch_store::Tx;
use avouch_wire::ids::{AccountId, ApiKeyId, IamId, IamKind, ProfileId, ServiceIdId};
use avouch_wire::time::Timestamp;
use serde_json::Value;

use super::limits::{LoginLimits, Settings};
use super::sessions::Session;
use super::subject::Subject;
use crate::{account_settings, api_keys, claim_rules, identities, links, profiles, service_ids};

/// An API key as a login needs it.
#[derive(Debug, Clone)]
pub struct KeyFacts {
    /// Id.
    pub id: ApiKeyId,
    /// Name.
    pub name: String,
    /// Account.
    pub account: AccountId,
    /// Owner.
    pub iam_id: IamId,
    /// Switched off.
    pub disabled: bool,
    /// End of its life.
    pub expires_at: Option<Timestamp>,
}

/// A service ID as a token needs it.
#[derive(Debug, Clone)]
pub struct ServiceIdFacts {
    /// Id.
    pub id: ServiceIdId,
    /// Name.
    pub name: String,
    /// Instances that its tokens name.
    pub unique_instance_crns: Vec<String>,
}

/// An API key with its owner and the demands of its account.
#[derive(Debug, Clone)]
pub struct KeyLogin {
    /// The key.
    pub key: KeyFacts,
    /// Its owner, unless he is gone.
    pub subject: Option<Subject>,
    /// What the account demands of logins.
    pub limits: LoginLimits,
}

/// A profile identity: who may assume the profile without evidence of a compute resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileIdentity {
    /// `user`, `serviceid` or `crn`.
    pub kind: String,
    /// IAM id of whoever may.
    pub iam_id: String,
    /// For users: accounts their token must be of; empty: any.
    pub accounts: Vec<String>,
}

/// A profile and whom it trusts.
#[derive(Debug, Clone)]
pub struct TrustedProfile {
    /// Id.
    pub id: ProfileId,
    /// Account.
    pub account: AccountId,
    /// Name.
    pub name: String,
    /// CRN.
    pub crn: String,
    /// Links.
    pub links: Vec<Link>,
    /// Claim rules for compute resources.
    pub rules: Vec<ClaimRule>,
    /// Identities that may assume it.
    pub identities: Vec<ProfileIdentity>,
    /// What its account demands of logins.
    pub limits: LoginLimits,
}

/// What is stored of a key's value.
pub fn key_digest(value: &str) -> String {
    api_keys::digest_of(&SecretString::from(value))
}

/// The key of this digest with its owner. The digest is compared by the index of the store, which tells nothing about the
/// value: whoever guesses would have to guess digests.
///
/// # Errors
/// Those of the store.
pub fn key_login(app: &App, tx: &mut Tx<'_>, digest: &str) -> Result<Option<KeyLogin>> {
    let Some(key) = api_keys::find_by_value(tx, digest)? else { return Ok(None) };
    Ok(Some(KeyLogin {
        subject: subject(app, tx, &key.account, &key.iam_id)?,
        limits: limits(tx, &key.account)?,
        key: KeyFacts {
            id: key.id,
            name: key.name,
            account: key.account,
            iam_id: key.iam_id,
            disabled: key.disabled,
            expires_at: key.expires_at,
        },
    }))
}

/// Whether a session still goes on: it did not end, did not rest for too long, and the key that it began with counts.
///
/// # Errors
/// Those of the store.
pub fn session_usable(tx: &mut Tx<'_>, session: &Session, now: Timestamp) -> Result<bool> {
    if session.ended_at.is_some() || now >= session.expires_at {
        return Ok(false);
    }
    Ok(!session.idle(&limits(tx, &session.account)?, now)
        && (session.api_key_id.is_empty() || key_counts(tx, &session.account, &session.api_key_id, now)?))
}

/// Whether the key that a session began with still counts.
///
/// # Errors
/// Those of the store.
fn key_counts(tx: &mut Tx<'_>, account: &AccountId, id: &str, now: Timestamp) -> Result<bool> {
    let Ok(id) = ApiKeyId::parse(id) else { return Ok(false) };
    let key = api_keys::sql::get(tx, account, &id)?;
    Ok(key.is_some_and(|k| !k.disabled && k.expires_at.is_none_or(|at| now < at)))
}

/// The profile of this account with this id.
///
/// # Errors
/// Those of the store.
pub fn profile_by_id(tx: &mut Tx<'_>, account: &AccountId, id: &ProfileId) -> Result<Option<TrustedProfile>> {
    match profiles::sql::get(tx, id)? {
        Some(profile) if profile.account == *account => trusted(tx, profile).map(Some),
        _ => Ok(None),
    }
}

/// The profile of this account with this exact name.
///
/// # Errors
/// Those of the store.
pub fn profile_by_name(tx: &mut Tx<'_>, account: &AccountId, name: &str) -> Result<Option<TrustedProfile>> {
    profiles::sql::by_name(tx, account, name)?.map(|profile| trusted(tx, profile)).transpose()
}

/// The account of a profile.
///
/// # Errors
/// Those of the store.
pub fn profile_account(tx: &mut Tx<'_>, id: &ProfileId) -> Result<Option<AccountId>> {
    Ok(profiles::sql::get(tx, id)?.map(|p| p.account))
}

/// Every profile of an account with whom it trusts, for questions about all of them.
///
/// # Errors
/// Those of the store.
pub fn all_profiles(tx: &mut Tx<'_>, account: &AccountId) -> Result<Vec<TrustedProfile>> {
    let all = profiles::sql::list(tx, account)?;
    all.into_iter().map(|profile| trusted(tx, profile)).collect()
}

fn trusted(tx: &mut Tx<'_>, profile: profiles::Profile) -> Result<TrustedProfile> {
    let named = identities::sql::list(tx, &profile.id)?;
    Ok(TrustedProfile {
        links: links::of_profile(tx, &profile.id)?,
        rules: claim_rules::of_profile(tx, &profile.id)?,
        identities: named
            .into_iter()
            .map(|i| ProfileIdentity { kind: i.kind, iam_id: i.iam_id, accounts: i.accounts })
            .collect(),
        limits: limits(tx, &profile.account)?,
        crn: profile.crn().to_string(),
        name: profile.name,
        account: profile.account,
        id: profile.id,
    })
}

/// Profiles of all accounts that name this identity, in the published shape.
///
/// # Errors
/// Those of the store.
pub fn assumable_by(tx: &mut Tx<'_>, iam_id: &IamId, account: &AccountId, max: usize) -> Result<Vec<Value>> {
    let mut found: Vec<Value> = Vec::new();
    for identity in identities::sql::by_iam_id(tx, iam_id.as_str())? {
        let named =
            ProfileIdentity { kind: identity.kind, iam_id: identity.iam_id, accounts: identity.accounts };
        if found.len() >= max || !super::assume::admits(&named, iam_id.as_str(), account) {
            continue;
        }
        if let Some(profile) = profiles::sql::get(tx, &identity.profile)? {
            found.push(profiles::render(&profile));
        }
    }
    Ok(found)
}

/// What the account demands of logins.
///
/// # Errors
/// Those of the store.
pub fn limits(tx: &mut Tx<'_>, account: &AccountId) -> Result<LoginLimits> {
    let settings = account_settings::load(tx, account)?;
    let text = |name: &str| settings.body.get(name).and_then(Value::as_str).unwrap_or_default();
    Ok(LoginLimits::of_settings(&Settings {
        access_token: text("system_access_token_expiration_in_seconds"),
        refresh_token: text("system_refresh_token_expiration_in_seconds"),
        session_expiration: text("session_expiration_in_seconds"),
        session_invalidation: text("session_invalidation_in_seconds"),
        max_sessions: text("max_sessions_per_identity"),
        allowed_addresses: text("allowed_ip_addresses"),
        mfa: text("mfa"),
    }))
}

/// The user or service ID of the account as a subject; `None` when he is gone.
///
/// # Errors
/// Those of the store.
pub fn subject(app: &App, tx: &mut Tx<'_>, account: &AccountId, iam_id: &IamId) -> Result<Option<Subject>> {
    match iam_id.kind() {
        IamKind::User => {
            let person = app.links.identities.person(tx, account, iam_id)?;
            Ok(person.map(|p| Subject::User(iam_id.clone(), p)))
        }
        IamKind::ServiceId => {
            let Some(id) = iam_id.as_service_id() else { return Ok(None) };
            let found = service_ids::sql::get(tx, &id)?.filter(|s| s.account == *account);
            Ok(found.map(|s| {
                Subject::ServiceId(ServiceIdFacts {
                    id: s.id,
                    name: s.name,
                    unique_instance_crns: s.unique_instance_crns,
                })
            }))
        }
        IamKind::Profile | IamKind::Crn => Ok(None),
    }
}
