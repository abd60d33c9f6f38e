//! Rules of custom roles, as functions on a transaction.

use avouch_gate::{Error, Kind, Result};
use avouch_policy::roles::Catalogue;
use avouch_store::Tx;
use avouch_wire::text;
use avouch_wire::time::Timestamp;
use serde_json::json;

use super::{ACTIONS_MAX, CustomRole, DESCRIPTION_MAX, DISPLAY_NAME_MAX, NAME_MAX, sql};
use crate::policies;

/// What a role must satisfy by itself.
///
/// # Errors
/// `Invalid`, naming the member.
pub fn check(role: &CustomRole) -> Result<()> {
    let name = &role.name;
    let good = name.len() <= NAME_MAX
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric());
    if !good {
        return Err(Error::invalid(
            "name",
            "The property 'name' must begin with a capital letter and have at most 30 letters and digits.",
        ));
    }
    if !text::name(&role.display_name, DISPLAY_NAME_MAX) {
        return Err(Error::invalid(
            "display_name",
            "The property 'display_name' must have 1 to 50 characters.",
        ));
    }
    if role.description.as_deref().is_some_and(|d| !text::printable_multiline(d, DESCRIPTION_MAX)) {
        return Err(Error::invalid(
            "description",
            "The property 'description' must have at most 250 characters.",
        ));
    }
    if !text::printable(&role.service, 100) || role.service.is_empty() {
        return Err(Error::invalid(
            "service_name",
            "The property 'service_name' is not the name of a service.",
        ));
    }
    if role.actions.is_empty() || role.actions.len() > ACTIONS_MAX {
        return Err(Error::invalid("actions", "The property 'actions' must have 1 to 300 actions."));
    }
    let catalogue = Catalogue::builtin();
    for (i, action) in role.actions.iter().enumerate() {
        let known = text::printable(action, 200) && catalogue.custom_role_may_hold(&role.service, action);
        if !known {
            return Err(Error::invalid(
                format!("actions[{i}]"),
                format!("The property 'actions[{i}]' is not an action of the service."),
            ));
        }
        if role.actions.iter().take(i).any(|a| a == action) {
            return Err(Error::invalid(
                format!("actions[{i}]"),
                format!("The property 'actions[{i}]' stands twice."),
            ));
        }
    }
    Ok(())
}

/// Writes a new role; `limit` 0 means none.
///
/// # Errors
/// `Invalid`, `Conflict`, `Limit`.
pub fn create(tx: &mut Tx<'_>, role: &CustomRole, limit: u32) -> Result<()> {
    check(role)?;
    free(tx, role)?;
    let present = sql::all(tx, &role.account)?.len();
    if limit > 0 && present >= limit as usize {
        return Err(Error::new(
            Kind::Limit,
            format!("The maximum number of allowed custom roles in the account ({limit}) is reached."),
        ));
    }
    sql::insert(tx, role)
}

/// Writes a changed role.
///
/// # Errors
/// `Invalid`, `Conflict`.
pub fn replace(tx: &mut Tx<'_>, role: &CustomRole) -> Result<()> {
    check(role)?;
    free(tx, role)?;
    sql::update(tx, role)
}

/// Removes a role from the account and from all policies; says how many policies changed.
///
/// # Errors
/// Those of the store.
pub fn delete(tx: &mut Tx<'_>, role: &CustomRole, by: &str, now: Timestamp) -> Result<usize> {
    sql::delete(tx, role)?;
    policies::logic::drop_role(tx, &role.account, &role.crn, by, now)
}

/// People pick roles by what they are called, so no two that one policy may grant are called alike, built-in ones included.
fn free(tx: &mut Tx<'_>, role: &CustomRole) -> Result<()> {
    let shown = text::key(&role.display_name);
    let builtin = Catalogue::builtin().roles_for(&role.service);
    if builtin.service_roles.iter().chain(&builtin.system_roles).any(|r| text::key(&r.display_name) == shown)
    {
        return Err(Error::conflict("A built-in role of the service has the same display name.")
            .code("role_conflict_error"));
    }
    let taken = match sql::taken(tx, role)? {
        Some(taken) => Some(taken),
        None => {
            let all = sql::all(tx, &role.account)?;
            let twin = all.into_iter().find(|r| r.id != role.id && text::key(&r.display_name) == shown);
            twin.map(|r| ("display_name", r.id.to_string()))
        }
    };
    let Some((what, other)) = taken else { return Ok(()) };
    let message = match what {
        "actions" => "Another custom role of the service has the same actions.",
        "name" => "Another custom role of the account has the same name.",
        _ => "Another custom role of the account has the same display name.",
    };
    Err(Error::conflict(message).code("role_conflict_error").data(json!({"role": other})))
}
