//! The session and what is kept of it, with several commands at once.

use std::path::Path;

use serde_json::{Value, json};

use crate::text;
use crate::world::World;

/// {"exp":1}: long over, so the refresh token is used.
const OLD: &str = "Bearer e30.eyJleHAiOjF9.sig";

fn kept(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn age(path: &Path) {
    let mut state = kept(path);
    state["IAMToken"] = OLD.into();
    std::fs::write(path, state.to_string()).unwrap();
}

#[test]
fn commands_at_once_renew_a_session_once_and_none_ends_it() {
    let world = World::start();
    let admin = world.owner();
    for _ in 0..3 {
        age(&admin.state());
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| admin.run("iam tps"))).collect();
            all.into_iter().for_each(|one| drop(one.join().unwrap().ok()));
        });
    }
    let used = admin.json("audit list --action iam-identity.user-refreshtoken.login");
    assert_eq!(used.as_array().unwrap().len(), 3, "{used}");
}

#[test]
fn a_home_that_cannot_be_written_costs_no_session() {
    let world = World::start();
    let admin = world.owner();
    age(&admin.state());
    let lock = admin.state().with_file_name("lock");
    std::fs::remove_file(&lock).unwrap();
    std::fs::create_dir(&lock).unwrap();
    let refused = admin.run("iam tps");
    assert!(refused.code == 1 && refused.err.contains("Cannot write"), "{}", refused.err);
    std::fs::remove_dir(&lock).unwrap();
    admin.run("iam tps").ok();
}

#[test]
fn logout_ends_the_refresh_token_and_is_not_undone_by_a_command_that_began_before() {
    let world = World::start();
    let admin = world.owner();
    let before = std::fs::read(admin.state()).unwrap();
    admin.run("logout").ok();
    // As it was before: the access token lives until it expires, the session is over.
    std::fs::write(admin.state(), &before).unwrap();
    age(&admin.state());
    let ended = admin.run("iam tps");
    assert!(ended.code == 1 && ended.err.contains("Session expired"), "{}", ended.err);
}

#[test]
fn settings_made_at_once_are_all_kept_and_no_file_is_left_beside() {
    let world = World::start();
    let admin = world.owner();
    let lines =
        ["config --locale de_DE", "config --http-timeout 17", "config --color false", "target -r eu-de"];
    for _ in 0..5 {
        admin.run("config --locale en_US").ok();
        admin.run("config --http-timeout 60").ok();
        std::fs::write(
            admin.state().with_file_name("config.json.00000000000004f1"),
            "left by a killed command",
        )
        .unwrap();
        std::thread::scope(|scope| {
            let all: Vec<_> = lines.iter().map(|line| scope.spawn(|| admin.run(line))).collect();
            all.into_iter().for_each(|one| drop(one.join().unwrap().ok()));
        });
        let state = kept(&admin.state());
        let found = (state["Locale"].clone(), state["HTTPTimeout"].clone(), state["Region"].clone());
        assert_eq!(found, (json!("de_DE"), json!(17), json!("eu-de")), "{}", state["Locale"]);
        assert!(!admin.state().with_file_name("config.json.00000000000004f1").exists());
    }
    admin.run("iam tps").ok();
}

#[test]
fn a_session_that_cannot_be_kept_is_not_begun_and_one_that_was_begun_in_vain_is_ended() {
    let world = World::start();
    let admin = world.owner();
    let logins = |n: usize| {
        let used = admin.json("audit list --action iam-identity.user-apikey.login");
        assert_eq!(used.as_array().unwrap().len(), n, "{used}");
    };
    logins(1);
    let other = world.user("other");
    let login = format!("login -a {} --apikey {}", world.url, world.key);
    let lock = other.state().with_file_name("lock");
    std::fs::create_dir_all(&lock).unwrap();
    assert!(other.run(&login).err.contains("Cannot write"));
    logins(1);
    std::fs::remove_dir(&lock).unwrap();
    assert_eq!(other.run(&format!("{login} -g nonsense")).code, 1);
    logins(2);
    assert!(!other.state().exists());
    assert_eq!(admin.json("audit list --action iam-identity.user.logout").as_array().unwrap().len(), 1);
}

#[test]
fn logout_ends_the_session_from_before_a_profile_was_assumed_too() {
    let world = World::start();
    let admin = world.owner();
    admin.run("iam trusted-profile-create p").ok();
    admin.run(&format!("iam trusted-profile-identity-create p --id-type user --id {}", world.owner)).ok();
    let before = std::fs::read(admin.state()).unwrap();
    admin.run("iam trusted-profile-assume p").ok();
    admin.run("logout").ok();
    std::fs::write(admin.state(), &before).unwrap();
    age(&admin.state());
    let ended = admin.run("iam tps");
    assert!(ended.code == 1 && ended.err.contains("Session expired"), "{}", ended.err);
}

#[test]
fn what_was_set_for_a_server_goes_with_it_and_not_before() {
    let world = World::start();
    let second = World::start();
    let admin = world.owner();
    let service = format!("{}/secrets-manager/i", world.url);
    let set = || {
        admin.run(&format!("login -a {} --apikey {}", world.url, world.key)).ok();
        admin.run(&format!("sm config set service-url {service}")).ok();
    };
    let get = || admin.run("sm config get service-url");
    set();
    assert_eq!(
        admin.run(&format!("login -a {} --apikey wrong-key-0000000000000000000000", second.url)).code,
        1
    );
    assert_eq!(admin.run("api http://127.0.0.1:9").code, 1);
    assert_eq!(get().ok().out.trim(), service);
    for line in [
        format!("login -a {} --apikey {}", second.url, second.key),
        format!("api {}", second.url),
        "api --unset".to_owned(),
    ] {
        set();
        admin.run(&line).ok();
        assert_eq!(get().code, 1, "{line}");
    }
    assert!(!std::fs::read_to_string(admin.state()).unwrap().contains("Bearer"));
}

#[test]
fn an_empty_name_of_a_lock_means_none_and_not_all() {
    let world = World::start();
    let admin = world.owner();
    admin.run("resource service-instance-create i secrets-manager trial us-south").ok();
    let made = admin.json("sm secret-create --secret-type arbitrary --secret-name nn --arbitrary-payload p");
    let id = text(&made, "/id");
    admin.run(&format!("sm secret-locks-bulk-create --id {id} --locks '[{{\"name\":\"l1\"}}]'")).ok();
    for empty in ["--name=", "--name=l1,", "--name=,"] {
        for line in [
            format!("sm secret-locks-bulk-delete --id {id} {empty} -f"),
            format!("sm secret-version-locks-bulk-delete --secret-id {id} --id current {empty} -f"),
        ] {
            let refused = admin.run(&line);
            assert_eq!(refused.code, 2, "{line}: {}", refused.err);
        }
    }
    assert!(admin.run(&format!("sm secret-locks --id {id}")).ok().out.contains("l1"));
    admin.run(&format!("sm secret-locks-bulk-delete --id {id} --name l1 -f")).ok();
    assert!(!admin.run(&format!("sm secret-locks --id {id}")).ok().out.contains("l1"));
}

#[test]
fn ids_that_would_be_another_address_are_not_sent() {
    let world = World::start();
    let admin = world.owner();
    admin.run("resource service-instance-create i secrets-manager trial us-south").ok();
    let made = admin.json("sm secret-create --secret-type arbitrary --secret-name nn --arbitrary-payload p");
    let id = text(&made, "/id");
    admin.run(&format!("sm secret-locks-bulk-create --id {id} --locks '[{{\"name\":\"l1\"}}]'")).ok();
    for line in [
        format!("sm secret-version-locks-bulk-delete --secret-id {id} --id .. -f"),
        format!("sm secret-version --secret-id {id} --id .."),
        "ks cluster get -c .".to_owned(),
        "audit show ..".to_owned(),
    ] {
        let refused = admin.run(&line);
        assert!(refused.code != 0 && refused.out.is_empty(), "{line}: {}{}", refused.out, refused.err);
    }
    assert!(admin.run(&format!("sm secret-locks --id {id}")).ok().out.contains("l1"));
}
