//! The VPC service through the real router on a real store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod access;
mod catalogue;
mod floating_ips;
mod forms;
mod images;
mod instances;
mod interfaces;
mod keys;
mod metadata;
mod network_acls;
mod routing;
mod security_groups;
mod small;
mod subnets;
mod vpcs;
mod world;
