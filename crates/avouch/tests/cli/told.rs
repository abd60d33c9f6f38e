//! What people are told who are new to it: names that mean nothing, things that are there already, texts that help.

use serde_json::Value;

use crate::text;
use crate::world::{World, mode};

#[test]
fn an_instance_of_a_policy_goes_by_name_guid_or_crn_and_an_unknown_name_makes_none() {
    let world = World::start();
    let admin = world.owner();
    admin.run("resource service-instance-create shop-secrets secrets-manager standard us-south").ok();
    let instance = admin.json("resource service-instance shop-secrets");
    let (guid, crn) = (text(&instance, "/0/guid"), text(&instance, "/0/crn"));
    admin.run("iam trusted-profile-create p").ok();
    let create = "iam trusted-profile-policy-create p --roles SecretsReader --service-name secrets-manager";
    for form in ["shop-secrets", guid, crn] {
        let made = admin.json(&format!("{create} --service-instance {form}"));
        let attributes = made.pointer("/resources/0/attributes").and_then(Value::as_array).unwrap();
        let stored = attributes.iter().find(|a| a["name"] == "serviceInstance").unwrap();
        assert_eq!(stored["value"], guid, "{form}");
        admin.run(&format!("iam trusted-profile-policy-delete p {} -f", text(&made, "/id"))).ok();
    }
    // A GUID that is nowhere yet is taken as it is.
    let unborn = "00000000-0000-4000-8000-000000000001";
    let made = admin.json(&format!("{create} --service-instance {unborn}"));
    assert!(made.to_string().contains(unborn), "{made}");
    admin.run(&format!("iam trusted-profile-policy-delete p {} -f", text(&made, "/id"))).ok();

    let refused = admin.run(&format!("{create} --service-instance shop-secrts"));
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("instance 'shop-secrts' was not found"), "{}", refused.err);
    let other = admin.run(
        "iam trusted-profile-policy-create p --roles Viewer --service-name containers-kubernetes \
         --service-instance shop-secrets",
    );
    assert!(other.code == 1 && other.err.contains("Cluster 'shop-secrets' was not found"), "{}", other.err);
    assert_eq!(admin.json("iam trusted-profile-policies p"), Value::Array(vec![]));
}

#[test]
fn a_second_instance_of_a_name_is_made_and_told() {
    let world = World::start();
    let admin = world.owner();
    let create = "resource service-instance-create twin secrets-manager trial us-south";
    let first = admin.run(create).ok();
    assert!(!first.err.contains("WARNING"), "{}", first.err);
    let guid = text(&admin.json("resource service-instance twin"), "/0/guid").to_owned();
    let second = admin.run(create).ok();
    assert!(second.err.contains("WARNING") && second.err.contains(&guid), "{}", second.err);
    assert_eq!(admin.json("resource service-instances").as_array().unwrap().len(), 2);
}

#[test]
fn a_key_file_that_is_there_is_not_replaced_unasked_and_no_key_is_made_for_it() {
    let world = World::start();
    let admin = world.owner();
    admin.run("iam service-id-create nightly").ok();
    let file = world.file("key.json", "mine");
    let keys = || admin.json("iam service-api-keys nightly").as_array().unwrap().len();
    for line in [
        "iam service-api-key-create k nightly --file key.json",
        "iam api-key-create k --file key.json",
        "iam service-api-key-create k nightly --file no/such/folder/key.json",
    ] {
        let own = admin.json("iam api-keys");
        let refused = admin.run(line);
        assert_eq!(refused.code, 1, "{line}");
        assert!(refused.err.contains("FAILED\n--file: "), "{line}: {}", refused.err);
        assert_eq!((keys(), admin.json("iam api-keys")), (0, own), "{line}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    admin.run("iam service-api-key-create k nightly --file key.json -f").ok();
    let written: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert!(!text(&written, "/apikey").is_empty());
    assert_eq!((mode(&file), keys()), (0o600, 1));
    // What the server refuses leaves no file.
    let refused = admin.run("iam service-api-key-create k nightly --file other.json --expires-at yesterday");
    assert_eq!(refused.code, 1);
    assert!(!file.with_file_name("other.json").exists());
    let listed = admin.run("iam service-api-keys nightly").ok();
    assert!(listed.out.lines().nth(1).unwrap().ends_with("  active"), "{}", listed.out);
}

#[test]
fn the_audit_table_has_what_why_takes() {
    let world = World::start();
    let admin = world.owner();
    admin.run("iam trusted-profile-create p").ok();
    let table = admin.run("audit list --action iam-identity.account-profile.create").ok().out;
    let transaction = table.lines().nth(1).unwrap().split_whitespace().last().unwrap();
    let event = admin.json("audit list --action iam-identity.account-profile.create");
    assert_eq!(text(&event, "/0/correlationId"), transaction);
    let why = admin.run(&format!("iam why --transaction {transaction}")).ok();
    assert!(why.out.contains("Decision:  permitted"), "{}", why.out);
}

#[test]
fn refusals_name_what_is_wrong_and_the_option_that_helps() {
    let world = World::start();
    let admin = world.owner();
    admin.run("iam access-group-create g").ok();
    admin.run("iam service-id-create s").ok();
    admin.run("iam access-group-service-id-add g s").ok();
    let refused = admin.run("iam access-group-delete g -f");
    assert!(refused.code == 1 && refused.err.contains("--recursive"), "{}", refused.err);
    assert!(refused.err.contains("Code: group_not_empty, HTTP status: 400"), "{}", refused.err);
    admin.run("iam access-group-delete g -f --recursive").ok();

    admin.run("resource service-instance-create i secrets-manager trial us-south").ok();
    let refused = admin.run(
        "sm secret-create --secret-type arbitrary --secret-name db --secret-group-id typo --arbitrary-payload x",
    );
    assert!(refused.code == 1 && refused.err.contains("The secret group was not found."), "{}", refused.err);
}

#[test]
fn locks_are_told_without_empty_parts() {
    let world = World::start();
    let admin = world.owner();
    admin.run("resource service-instance-create i secrets-manager trial us-south").ok();
    let made =
        admin.json("sm secret-create --secret-type arbitrary --secret-name db --secret-group-id default --arbitrary-payload x");
    let id = text(&made, "/id");
    admin.run(&format!("sm secret-version-create --secret-id {id} --arbitrary-payload y")).ok();
    let locked = admin
        .run(&format!("sm secret-locks-bulk-create --id {id} --locks '[{{\"name\":\"release\"}}]'"))
        .ok();
    assert!(locked.out.lines().any(|l| l == "Locks:        current: release"), "{}", locked.out);
    let free = admin.run(&format!("sm secret-locks-bulk-delete --id {id} -f")).ok();
    assert!(free.out.lines().any(|l| l == "Locks:        none"), "{}", free.out);
}

#[test]
fn an_address_of_this_machine_needs_no_scheme() {
    let world = World::start();
    let bare = world.url.strip_prefix("http://").unwrap();
    let user = world.user("bare");
    let login = user.run(&format!("login -a {bare} --apikey {} -r us-south", world.key)).ok();
    assert!(login.err.contains(&format!("API endpoint: {}", world.url)), "{}", login.err);
    let by_variable = world.user("variable").with("AVOUCH_URL", bare);
    let shown = by_variable.run("api").ok().out;
    assert_eq!(shown, format!("API endpoint: {}\n", world.url));
}

#[test]
fn versions_and_usage_lines_name_the_program_that_was_called() {
    let world = World::start();
    let user = world.user("new");
    assert_eq!(user.run("--version").ok().out, format!("avouch {}\n", env!("CARGO_PKG_VERSION")));
    for (name, option) in [("server", "--data"), ("dev", "--listen"), ("demo", ""), ("agent", "--state")] {
        let help = user.run(&format!("{name} --help")).ok().out;
        assert!(help.contains(&format!("Usage: avouch {name}")) && help.contains(option), "{help}");
    }
}

#[test]
fn the_script_of_completion_is_accepted_by_bash_and_offers_commands() {
    let world = World::start();
    let user = world.user("new");
    let script = user.run("completion bash").ok().out;
    let offered = r#"
COMP_WORDS=(avouch secrets-manager secret); COMP_CWORD=2
_avouch avouch secret secrets-manager
printf '%s\n' "${COMPREPLY[@]}""#;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("completion.sh");
    std::fs::write(&file, format!("{script}{offered}")).unwrap();
    let run = std::process::Command::new("bash").arg(&file).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success() && err.is_empty(), "{err}");
    for name in ["secret", "secret-create", "secret-groups"] {
        assert!(out.lines().any(|line| line == name), "{name}: {out}");
    }
    for name in ["server", "dev", "demo", "agent", "iam"] {
        assert!(script.contains(name));
    }
}
