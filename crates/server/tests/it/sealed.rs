//! The start of every program that holds secrets.

use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};

#[test]
fn a_process_that_sealed_its_memory_is_not_dumped() {
    assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::Dumpable);
    avouch_server::run::seal_memory().unwrap();
    assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    let core = getrlimit(Resource::Core);
    assert_eq!((core.current, core.maximum), (Some(0), Some(0)));
}
