//! Assembles the services into one server: endpoint table, listener, first start, background jobs.

mod accounts;
pub mod assemble;
pub mod background;
pub mod bootstrap;
pub mod listen;
pub mod machines;
pub mod recover;
pub mod run;
mod strict;
pub mod system;
mod traffic;

pub use assemble::{Assembled, Options, assemble};
pub use bootstrap::Bootstrap;
