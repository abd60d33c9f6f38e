//! Words of the wire: resource names, identifiers, timestamps, and the table of services and plans.
//!
//! Everything here is pure data and grammar. Nothing reads a clock, draws a random number, or touches a file or a socket, so
//! the server, the command line, and the tests use the very same types. A value of one of these types has been
//! checked once, when it was made, and needs no second look.
//!
//! What it refuses: text outside the grammar of its type. No type repairs, trims or folds its input, because two spellings of
//! one name are how a check and a use come to disagree.

pub mod access;
pub mod catalog;
pub mod crn;
pub mod explain;
pub mod identity;
pub mod ids;
pub mod kubernetes;
pub mod text;
pub mod time;
pub mod token;

pub use crn::Crn;
pub use ids::{
    AccessGroupId, AccountId, ApiKeyId, ClaimRuleId, IamId, IamKind, IssuerId, LinkId, PolicyId, ProfileId,
    ResourceGroupId, RoleId, ServiceIdGroupId, ServiceIdId,
};
pub use time::Timestamp;
