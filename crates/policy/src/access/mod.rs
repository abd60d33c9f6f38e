//! Access policies: who may do what on which resource, and when.
//!
//! A policy is read from either published schema into a [`PolicyDoc`], checked by [`validate`], and filed in the [`Index`] of
//! its account, which decides ([`Index::decide`]) and explains ([`Index::explain`]). Conditions on time use the clock that the
//! caller passes.
//!
//! It refuses to guess: an unknown operator, attribute, pattern or member is refused when a policy is written, and makes a
//! stored policy one that permits nothing. There is no negative policy and no order.

mod attrs;
mod clock;
mod compile;
mod custom;
mod decide;
mod doc;
mod index;
mod intern;
mod parse;
mod rule;
mod validate;
mod visit;

pub use attrs::{Key, ResourceAttrs};
pub use custom::CustomRoles;
pub use decide::Decision;
pub use doc::{Attr, Invalid, Op, PolicyDoc, PolicyType, Subject, Tag};
pub use index::Index;
pub use rule::Rule;
pub use validate::validate;
