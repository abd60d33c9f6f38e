//! Servers that are killed, doubled, starved of space, robbed of their files or told to end, under load.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

mod broken;
mod descriptors;
mod disk;
mod files;
mod heavy;
mod kill;
mod process;
mod readers;
mod replicas;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
