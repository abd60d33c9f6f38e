//! Accounts: who owns what. The first start makes one; the operator may make more.

pub mod http;
pub mod sql;

use avouch_wire::ids::{AccountId, IamId};
use avouch_wire::time::Timestamp;

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// 32 lower-case hex digits.
    pub id: AccountId,
    /// Display name.
    pub name: String,
    /// The owner; his rights are visible policies like anybody's.
    pub owner: IamId,
    /// `ACTIVE` or `SUSPENDED`.
    pub state: String,
    /// When it was made.
    pub created_at: Timestamp,
}
