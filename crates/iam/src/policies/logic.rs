//! Rules of policies, as functions on a transaction.

use avouch_crypto::digest;
use avouch_gate::access::Filter;
use avouch_gate::config::Limits;
use avouch_gate::{Error, Kind, Result};
use avouch_policy::access::{CustomRoles, Key, PolicyDoc, PolicyType, ResourceAttrs, Subject, validate};
use avouch_policy::roles::{Catalogue, Target as About};
use avouch_store::Tx;
use avouch_wire::ids::{AccessGroupId, AccountId, IamId};
use avouch_wire::time::Timestamp;
use serde_json::{Value, json};

use super::render::{self, Format, View};
use super::{Policy, Schema, State, TAGGED_PER_ACCOUNT, canonical_key, permits, sql, subject_key};
use crate::{access_groups, next_tag, roles, service_ids};

/// Rows looked at at once when all policies of an account are.
const BATCH: i64 = 1_000;

/// What the rules need to know of the request.
#[derive(Debug, Clone)]
pub struct Asker {
    /// Who asks.
    pub iam_id: IamId,
    /// What he may do in the account of the policy.
    pub filter: Filter,
    /// Quotas.
    pub limits: Limits,
    /// Base of links.
    pub base: String,
}

impl Asker {
    /// Whether he may read the policy: on its target, or because it is his own.
    pub fn may_read(&self, policy: &Policy) -> bool {
        let Ok(doc) = policy.doc() else { return false };
        if matches!(&doc.subject, Subject::IamId(id) if id == self.iam_id.as_str()) {
            return true;
        }
        let targets = doc.target_requests();
        !targets.is_empty() && targets.iter().all(|t| self.filter.permits("iam.policy.read", t))
    }
}

/// Reads a policy that is being written.
///
/// # Errors
/// `Invalid`, naming the member.
pub fn parse(schema: Schema, body: &Value) -> Result<PolicyDoc> {
    let doc = match schema {
        Schema::V1 => PolicyDoc::from_v1(body),
        Schema::V2 => PolicyDoc::from_v2(body),
    };
    let doc = doc.map_err(invalid)?;
    // Nobody has a right on a service that does not exist, so this cannot wait until the right was checked.
    if doc.equals(Key::SERVICE).is_some_and(|name| Catalogue::builtin().service(name).is_none()) {
        return Err(Error::invalid("serviceName", "The attribute 'serviceName' is not a known service."));
    }
    Ok(doc)
}

fn invalid(e: avouch_policy::access::Invalid) -> Error {
    let message = format!("The property '{}' is not valid: {}.", e.field, e.problem);
    Error::invalid(e.field, message)
}

/// The custom roles of an account as the validator wants them.
///
/// # Errors
/// Those of the store.
pub fn custom_roles(tx: &mut Tx<'_>, account: &AccountId) -> Result<(CustomRoles, Vec<roles::CustomRole>)> {
    let all = roles::sql::all(tx, account)?;
    let mut custom = CustomRoles::default();
    for role in &all {
        custom.upsert(&role.crn, &role.service, &role.actions);
    }
    Ok((custom, all))
}

/// Writes a new policy.
///
/// # Errors
/// `Invalid`, `Forbidden`, `Conflict`, `Limit`.
pub fn create(tx: &mut Tx<'_>, policy: &Policy, asker: &Asker) -> Result<()> {
    check(tx, policy, asker)?;
    quotas(tx, policy, &asker.limits, None)?;
    sql::insert(tx, policy)
}

/// Replaces the document of a policy.
///
/// # Errors
/// As [`create`], and `Invalid` when the type or the account would change.
pub fn replace(tx: &mut Tx<'_>, old: &Policy, new: &Policy, asker: &Asker) -> Result<()> {
    let (before, after) = (old.doc()?, new.doc()?);
    if before.kind != after.kind {
        return Err(Error::invalid("type", "The property 'type' of a policy cannot be changed."));
    }
    if after.account() != Some(old.account.as_str()) {
        return Err(Error::invalid("accountId", "A policy cannot move to another account."));
    }
    unlocked(tx, &old.account, &before)?;
    check(tx, new, asker)?;
    quotas(tx, new, &asker.limits, Some(&before))?;
    sql::update(tx, new)
}

/// Brings a deleted policy back.
///
/// # Errors
/// As [`create`].
pub fn restore(tx: &mut Tx<'_>, policy: &Policy, asker: &Asker) -> Result<()> {
    check(tx, policy, asker)?;
    quotas(tx, policy, &asker.limits, None)?;
    sql::update(tx, policy)
}

/// Deletes a policy on behalf of a person: refused while its subject is locked.
///
/// # Errors
/// `Locked`.
pub fn delete(tx: &mut Tx<'_>, policy: &Policy) -> Result<()> {
    if let Ok(doc) = policy.doc() {
        unlocked(tx, &policy.account, &doc)?;
    }
    permits::forget(tx, &policy.account, &policy.id)?;
    sql::update(tx, policy)
}

/// Deletes a policy whose subject, resource or last role went away.
///
/// # Errors
/// Those of the store.
pub fn retire(tx: &mut Tx<'_>, mut policy: Policy, by: &str, now: Timestamp) -> Result<()> {
    permits::forget(tx, &policy.account, &policy.id)?;
    policy.etag = derived_tag(&policy);
    policy.state = State::Deleted;
    policy.modified_at = now;
    policy.modified_by = by.to_owned();
    sql::update(tx, &policy)
}

/// Deletes the policies of an access group; says how many there were.
///
/// # Errors
/// Those of the store.
pub fn retire_subject(
    tx: &mut Tx<'_>,
    account: &AccountId,
    subject: &str,
    by: &str,
    now: Timestamp,
) -> Result<usize> {
    let policies = sql::of_subject(tx, account, subject, State::Active)?;
    let n = policies.len();
    for policy in policies {
        retire(tx, policy, by, now)?;
    }
    Ok(n)
}

/// Takes a custom role out of all policies of its account; a policy without any role left is deleted.
///
/// # Errors
/// Those of the store.
pub fn drop_role(tx: &mut Tx<'_>, account: &AccountId, crn: &str, by: &str, now: Timestamp) -> Result<usize> {
    let mut after = (i64::MIN, String::new());
    let mut touched = 0;
    loop {
        let page = sql::page(tx, account, State::Active, &after, BATCH)?;
        let Some(last) = page.last() else { return Ok(touched) };
        after = (last.created_at.millis(), last.id.as_str().to_owned());
        for original in page {
            let mut policy = original.clone();
            let Some(list) = role_list(&mut policy) else { continue };
            let before = list.len();
            list.retain(|r| r.get("role_id").and_then(Value::as_str) != Some(crn));
            if list.len() == before {
                continue;
            }
            touched += 1;
            let empty = list.is_empty();
            let twin = match policy.doc() {
                Ok(doc) => {
                    sql::by_canonical(tx, account, &canonical_key(&doc))?.is_some_and(|p| p.id != policy.id)
                }
                Err(_) => true,
            };
            if empty || twin {
                // What it granted beside the role is nothing, or is granted by its twin.
                retire(tx, original, by, now)?;
                continue;
            }
            policy.etag = derived_tag(&policy);
            policy.modified_at = now;
            policy.modified_by = by.to_owned();
            sql::update(tx, &policy)?;
        }
    }
}

fn role_list(policy: &mut Policy) -> Option<&mut Vec<Value>> {
    let document = &mut policy.document;
    let list = match policy.schema {
        Schema::V1 => document.get_mut("roles"),
        Schema::V2 => {
            document.get_mut("control").and_then(|c| c.get_mut("grant")).and_then(|g| g.get_mut("roles"))
        }
    };
    list.and_then(Value::as_array_mut)
}

/// A new tag where no random value is at hand: changes of many objects by one request.
fn derived_tag(policy: &Policy) -> String {
    let hash = digest::sha256_parts(&[policy.id.as_str().as_bytes(), policy.etag.as_bytes()]);
    let hex: String = digest::hex(&hash).chars().take(32).collect();
    next_tag(&policy.etag, &hex)
}

/// Everything that a policy must satisfy to become active.
fn check(tx: &mut Tx<'_>, policy: &Policy, asker: &Asker) -> Result<()> {
    let doc = parse(policy.schema, &policy.document)?;
    let (custom, all) = custom_roles(tx, &policy.account)?;
    validate(&doc, Catalogue::builtin(), &custom).map_err(invalid)?;
    if let Subject::AccessGroup(id) = &doc.subject {
        group_exists(tx, &policy.account, id)?;
    }
    unlocked(tx, &policy.account, &doc)?;
    if doc.kind == PolicyType::Authorization {
        holds(&doc, &all, &asker.filter)?;
    }
    let Some(other) = sql::by_canonical(tx, &policy.account, &canonical_key(&doc))? else { return Ok(()) };
    if other.id == policy.id {
        return Ok(());
    }
    let shown = if asker.may_read(&other) {
        let view = View { base: &asker.base, format: Format::Plain, custom: &all };
        match policy.schema {
            Schema::V1 => render::v1(&other, &view),
            Schema::V2 => render::v2(&other, &view),
        }
    } else {
        json!(other.id.as_str())
    };
    Err(Error::conflict(format!("Policy with ID {} grants the same already.", other.id))
        .code("policy_conflict_error")
        .data(json!({"policy": shown})))
}

fn group_exists(tx: &mut Tx<'_>, account: &AccountId, id: &str) -> Result<()> {
    let unknown = || Error::invalid("access_group_id", "The access group of the subject does not exist.");
    let id = AccessGroupId::parse(id).map_err(|_| unknown())?;
    if id.is_public() {
        return if access_groups::sql::public_access(tx, account)? {
            Ok(())
        } else {
            Err(Error::invalid("access_group_id", "Public access is disabled in this account."))
        };
    }
    match access_groups::sql::get(tx, &id)? {
        Some(group) if group.account == *account => Ok(()),
        _ => Err(unknown()),
    }
}

/// Refused while the subject is a locked service ID of the account. Whether one of another account is locked is not told.
fn unlocked(tx: &mut Tx<'_>, account: &AccountId, doc: &PolicyDoc) -> Result<()> {
    let Subject::IamId(id) = &doc.subject else { return Ok(()) };
    let Some(id) = IamId::parse(id).ok().and_then(|id| id.as_service_id()) else { return Ok(()) };
    let locked = service_ids::sql::get(tx, &id)?.is_some_and(|s| s.account == *account && s.locked);
    if locked {
        return Err(Error::new(Kind::Locked, "The service ID of the subject is locked; unlock it first."));
    }
    Ok(())
}

/// Whoever lets a service act must be allowed each action himself: the service acts without anybody behind it.
fn holds(doc: &PolicyDoc, custom: &[roles::CustomRole], filter: &Filter) -> Result<()> {
    let catalogue = Catalogue::builtin();
    let service = match doc.target() {
        About::ResourceGroup => "resource-controller",
        _ => doc.equals(Key::SERVICE).unwrap_or_default(),
    };
    let targets: Vec<ResourceAttrs> = doc.target_requests();
    for role in &doc.roles {
        let actions: Vec<String> = match custom.iter().find(|c| c.crn == *role) {
            Some(own) => own.actions.clone(),
            None => catalogue.actions_of(role, service).iter().map(str::to_owned).collect(),
        };
        let all = targets.iter().all(|t| actions.iter().all(|a| filter.permits(a, t)));
        if !all {
            return Err(Error::new(
                Kind::Forbidden,
                "You are not authorized to let a service do what you may not do on the target yourself.",
            )
            .reason("access"));
        }
    }
    Ok(())
}

/// `before` is the present document when a policy changes its subject.
fn quotas(tx: &mut Tx<'_>, policy: &Policy, limits: &Limits, before: Option<&PolicyDoc>) -> Result<()> {
    let doc = policy.doc()?;
    let subject = subject_key(&doc);
    let full = |limit: i64, what: &str| {
        Err(Error::new(
            Kind::Limit,
            format!("The maximum number of allowed policies {what} ({limit}) is reached."),
        ))
    };
    let (all, each) = (i64::from(limits.policies), i64::from(limits.policies_per_subject));
    if before.is_none() && all > 0 && sql::count(tx, &policy.account, sql::Count::All)? >= all {
        return full(all, "in the account");
    }
    let arrives = before.is_none_or(|b| subject_key(b) != subject);
    if arrives && each > 0 && sql::count(tx, &policy.account, sql::Count::Subject(&subject))? >= each {
        return full(each, "of the subject");
    }
    let newly_tagged = !doc.tags.is_empty() && before.is_none_or(|b| b.tags.is_empty());
    let counted = newly_tagged && all > 0;
    if counted && sql::count(tx, &policy.account, sql::Count::Tagged)? >= TAGGED_PER_ACCOUNT {
        return full(TAGGED_PER_ACCOUNT, "with access tags");
    }
    Ok(())
}
