//! An owner who has no key left, and whoever has the files of the server.

use crate::text;
use crate::world::{World, mode};

#[test]
fn an_owner_without_a_key_gets_one_by_the_files_of_the_server_and_an_event_tells() {
    let mut world = World::start();
    let admin = world.owner();
    admin.run("iam api-key-delete bootstrap -f").ok();
    for policy in admin.json(&format!("iam user-policies {}", world.owner)).as_array().unwrap() {
        admin.run(&format!("iam user-policy-delete {} {} -f", world.owner, text(policy, "/id")));
    }
    let recover = |more: &str| world.user("root").run(&format!("recover --data data --file key.json {more}"));
    let running = recover("");
    assert!(running.code == 1 && running.err.contains("another server uses"), "{}", running.err);
    let file = world.file("marker", "").with_file_name("key.json");
    assert!(!file.exists());

    world.stop();
    let recover = |more: &str| world.user("root").run(&format!("recover --data data --file key.json {more}"));
    let unknown = recover("--account ffffffffffffffffffffffffffffffff");
    assert!(
        unknown.code == 1 && unknown.err.contains("no such account") && !file.exists(),
        "{}",
        unknown.err
    );
    assert_eq!(world.user("root").run("recover --data nothing --file key.json").code, 1);
    assert!(!file.exists() && !file.with_file_name("nothing").exists());
    recover("--policies").ok();
    assert_eq!(mode(&file), 0o600);
    let again = recover("");
    assert!(again.code == 1 && again.err.contains("exists"), "{}", again.err);

    world.restart();
    let admin = world.user("again");
    admin.run(&format!("login -a {} --apikey @key.json", world.url)).ok();
    let names: Vec<String> =
        admin.json("iam api-keys").as_array().unwrap().iter().map(|k| text(k, "/name").to_owned()).collect();
    assert_eq!(names, ["recovered"]);
    admin.run("iam trusted-profile-create p").ok();
    let told = admin.json("audit list --action iam-identity.user-apikey.create");
    let told = told.as_array().unwrap();
    assert!(told.len() == 1 && text(&told[0], "/initiator/id") == "avouch-recovery", "{told:?}");
}
