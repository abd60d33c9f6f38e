//! What every request passes: limits, routing, the caller, the decision, the store, the audit trail.
//!
//! No state changes without a [`ctx::Permit`], and none without its audit event in the same transaction. Services build
//! on this crate and never on each other; what they need of each other is named in [`links`].

pub mod access;
pub mod app;
pub mod audit;
pub mod authn;
pub mod clock;
pub mod config;
pub mod ctx;
pub mod error;
pub mod etag;
pub mod http;
pub mod links;
pub mod metrics;
pub mod permits;
pub mod places;
pub mod rate;
pub mod room;
pub mod unverified;

pub use self::http::endpoint::{Auth, Effect, Endpoint, ErrorContext, Service};
pub use self::http::request::Request;
pub use self::http::response::Response;
pub use app::App;
pub use ctx::{Ctx, Details, Permit, Target};
pub use error::{Error, Kind, Result};
