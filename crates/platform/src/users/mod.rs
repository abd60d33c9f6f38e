//! Users of an account. They log in with API keys; browser login comes with the console.

pub mod http;
pub mod sql;

use avouch_gate::links::{IdentityState, Person};
use avouch_gate::{Error, Result};
use avouch_store::Tx;
use avouch_wire::ids::{AccountId, IamId};
use avouch_wire::text;
use avouch_wire::time::Timestamp;

/// A user of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Account.
    pub account: AccountId,
    /// `IBMid-…`.
    pub iam_id: IamId,
    /// E-mail, also the user name; unique in the account.
    pub email: String,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// [`ACTIVE`] or [`DISABLED`]; only active users may act.
    pub state: String,
    /// The IAM id was drawn when he was added; one that was given may be somebody's of another account.
    pub made_here: bool,
    /// When the user was added.
    pub created_at: Timestamp,
}

/// The state of users who may act.
pub const ACTIVE: &str = "ACTIVE";
/// The published state of users who were disabled.
///
/// COMPAT: there it closes one part of the cloud to them, here everything: it is the only published state of a user who
/// is in the account and should not act.
pub const DISABLED: &str = "DISABLED_CLASSIC_INFRASTRUCTURE";

/// Whether the user may act in the account.
///
/// # Errors
/// Those of the store.
pub fn state(tx: &mut Tx<'_>, account: &AccountId, iam_id: &IamId) -> Result<IdentityState> {
    let user = sql::get(tx, account, iam_id)?;
    Ok(IdentityState {
        known: user.is_some(),
        alive: user.is_some_and(|u| u.state == ACTIVE),
        revoked_before: None,
    })
}

/// How the user is called; `None` for strangers and for users who may not act.
///
/// # Errors
/// Those of the store.
pub fn person(tx: &mut Tx<'_>, account: &AccountId, iam_id: &IamId) -> Result<Option<Person>> {
    let user = sql::get(tx, account, iam_id)?.filter(|u| u.state == ACTIVE);
    Ok(user.map(|u| Person {
        email: u.email,
        given_name: u.first_name,
        family_name: u.last_name,
        made_here: u.made_here,
    }))
}

/// An e-mail address in its one spelling. One person is one address: case, width and composition make no second one.
///
/// # Errors
/// `Invalid` naming the field.
pub fn email(field: &'static str, given: &str) -> Result<String> {
    let email = text::key(given);
    let good = email.len() <= 254
        && text::printable(given, 254)
        && email.split_once('@').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty())
        && !email.chars().any(char::is_whitespace);
    if good {
        Ok(email)
    } else {
        Err(Error::invalid(field, format!("The property '{field}' is not an e-mail address.")))
    }
}
