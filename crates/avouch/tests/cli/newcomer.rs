//! What people meet who try things for the first time: mistyped words, a second server, a session that was there before.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::text;
use crate::world::{Cluster, Ended, PROGRAM, World};

/// The id of the transaction in a refusal.
#[track_caller]
fn transaction(err: &str) -> &str {
    let (_, rest) = err.split_once("transaction ID: ").unwrap_or_else(|| panic!("no transaction: {err}"));
    rest.split_whitespace().next().unwrap()
}

fn warns(ended: &Ended) -> bool {
    ended.err.contains("WARNING")
}

#[test]
fn a_session_of_another_server_is_told_before_it_is_replaced() {
    let world = World::start();
    let user = world.user("other");
    let login = format!("login -a {} --apikey {} -r us-south", world.url, world.key);
    let fresh = user.run(&login).ok();
    assert!(!warns(&fresh), "{}", fresh.err);
    let theirs =
        json!({"APIEndpoint": "https://cloud.ibm.com", "IAMToken": "Bearer theirs", "Region": "eu-de"});
    std::fs::write(user.state(), theirs.to_string()).unwrap();
    let warned = user.run(&login).ok();
    let (before, _) = warned.err.split_once("Authenticating").unwrap();
    assert!(
        before.contains("WARNING")
            && before.contains("https://cloud.ibm.com")
            && before.contains("IBMCLOUD_HOME"),
        "{}",
        warned.err
    );
    assert!(!warns(&user.run(&login).ok()));
    assert!(!warns(&user.run(&format!("api {}/", world.url)).ok()));
    std::fs::write(user.state(), theirs.to_string()).unwrap();
    assert!(warns(&user.run(&format!("api {}", world.url)).ok()));
}

#[test]
fn a_second_server_on_an_address_says_what_is_wrong_and_which_option_helps() {
    let world = World::start();
    let dir = tempfile::tempdir().unwrap();
    let address = world.url.strip_prefix("http://").unwrap();
    let data = dir.path().join("data");
    let server = [OsStr::new("server"), OsStr::new("--data"), data.as_os_str()];
    for command in [server.as_slice(), &[OsStr::new("dev")]] {
        let second = Command::new(PROGRAM)
            .args(command)
            .args(["--listen", address])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let err = String::from_utf8(second.stderr).unwrap();
        assert_eq!(second.status.code(), Some(1), "{err}");
        assert!(err.contains(address) && err.contains("another `avouch server` or `avouch dev`"), "{err}");
        assert!(err.contains("--listen"), "{err}");
    }
}

#[test]
fn an_address_that_the_settings_refuse_is_not_blamed_on_policies() {
    let world = World::start();
    let admin = world.owner();
    let refused = admin.run(
        "ks cluster register --name p --issuer https://k8s.example.com --discovery-url https://10.1.2.3",
    );
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("AVOUCH_FETCH_ALLOW"), "{}", refused.err);
    assert!(!refused.err.contains("iam why"), "{}", refused.err);
    let why = admin.run(&format!("iam why {}", transaction(&refused.err))).ok().out;
    assert!(why.contains("failed for another reason") && why.contains("fetch.allow"), "{why}");
}

#[test]
fn words_that_audit_does_not_know_are_refused_and_its_table_leads_to_the_event() {
    let world = World::start();
    let admin = world.owner();
    let refused = admin.run("audit --outcome typo");
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("success") && refused.err.contains("failure"), "{}", refused.err);
    let refused = admin.run("audit list --limit 0");
    assert!(refused.code == 2 && refused.err.contains("--limit"), "{}", refused.err);
    admin.run("iam trusted-profile-create p").ok();
    assert_eq!(admin.json("audit --limit 1").as_array().unwrap().len(), 1);

    let events = admin.json("audit --outcome success --action iam-identity.account-profile.create");
    let event = &events[0];
    for id in [text(event, "/correlationId"), text(event, "/id")] {
        assert_eq!(admin.run(&format!("audit show {id}")).json(), *event, "{id}");
    }
    let unknown = admin.run("audit show nothing");
    assert!(unknown.code == 1 && unknown.err.contains("404"), "{}", unknown.err);
}

#[test]
fn conditions_that_never_hold_are_warned_about() {
    let world = World::start();
    let admin = world.owner();
    admin.run("iam trusted-profile-create p").ok();
    let create = "iam trusted-profile-rule-create p --type Profile-CR --cr-type IKS_SA \
                  --conditions claim:crn,operator:EQUALS,value:crn:v1:x";
    for (condition, told) in [
        ("claim:namespace,operator:EQUALS,value:", "empty value"),
        (
            "claim:namespace,operator:EQUALS,value:shop --conditions claim:nmae,operator:EQUALS,value:api",
            "'nmae'",
        ),
    ] {
        let made = admin.run(&format!("{create} --conditions {condition}")).ok();
        assert!(made.err.contains("WARNING") && made.err.contains(told), "{}", made.err);
    }
    let good = admin.run(&format!("{create} --conditions claim:namespace,operator:EQUALS,value:shop")).ok();
    assert!(!warns(&good), "{}", good.err);
}

#[test]
fn an_action_that_there_is_not_is_told_with_those_like_it() {
    let world = World::start();
    let admin = world.owner();
    let resource = format!("crn:v1:bluemix:public:secrets-manager:us-south:a/{}:::", world.account);
    let ask = |action: &str| {
        let line = format!("iam why --iam-id {} --action {action} --resource {resource}", world.owner);
        admin.run(&line).ok().out
    };
    let told = ask("secrets-manager.secret.raed");
    assert!(told.contains("Decision:  refused") && told.contains("no such action is known"), "{told}");
    assert!(told.contains("secrets-manager.secret.read") && told.contains("policy"), "{told}");
    let told = ask("frobnicate");
    assert!(told.contains("no such action is known."), "{told}");
    let told = ask("secrets-manager.secret.read");
    assert!(told.contains("Decision:  permitted") && !told.contains("no such action"), "{told}");
    // Whether somebody of another account lives is not known here.
    assert!(told.contains("+ identity"), "{told}");
    let elsewhere = ask("secrets-manager.secret.read --home-account 22222222222222222222222222222222");
    assert!(!elsewhere.contains("identity '"), "{elsewhere}");
}

#[test]
fn help_is_there_for_what_starts_servers_too() {
    let world = World::start();
    let user = world.user("new");
    for name in ["server", "dev", "demo", "agent"] {
        let help = user.run(&format!("help {name}")).ok().out;
        assert_eq!(help, user.run(&format!("{name} --help")).ok().out);
        assert!(help.contains(&format!("Usage: avouch {name}")), "{help}");
    }
    assert!(user.run("help iam why").ok().out.contains("Usage: avouch iam why"));
    assert_eq!(user.run("help no-such-word").code, 2);
}

#[test]
fn a_secret_that_nobody_has_read_has_no_time_of_reading() {
    let world = World::start();
    let admin = world.owner();
    admin.run("resource service-instance-create i secrets-manager trial us-south").ok();
    let create = "sm secret-create --secret-type arbitrary --secret-group-id default --arbitrary-payload x";
    let made = admin.run(&format!("{create} --secret-name one")).ok().out;
    assert!(!made.contains("1970") && !made.contains("retrieved_at"), "{made}");
    // Programs get what the published interface says.
    let made = admin.json(&format!("{create} --secret-name two"));
    assert_eq!(made["retrieved_at"], "1970-01-01T00:00:00Z");
    admin.run(&format!("sm secret --id {}", text(&made, "/id"))).ok();
    let read = admin.run(&format!("sm secret-metadata --id {}", text(&made, "/id"))).ok().out;
    assert!(read.contains("retrieved_at:"), "{read}");
}

#[test]
fn unknown_services_and_regions_are_told() {
    let world = World::start();
    let admin = world.owner();
    admin.run("iam trusted-profile-create p").ok();
    for line in [
        "iam roles --service secret-manager",
        "iam trusted-profile-policy-create p --roles Reader --service-name secret-manager",
    ] {
        let refused = admin.run(line);
        assert_eq!(refused.code, 1, "{line}");
        assert!(refused.err.contains("no service 'secret-manager'"), "{line}: {}", refused.err);
        assert!(
            refused.err.contains("secrets-manager") && !refused.err.contains("avouch-"),
            "{}",
            refused.err
        );
    }
    let login = format!("login -a {} --apikey {} -r", world.url, world.key);
    for line in ["target -r", &login] {
        let doubtful = admin.run(&format!("{line} nowhere")).ok();
        assert!(doubtful.err.contains("'nowhere'") && doubtful.err.contains("us-south"), "{}", doubtful.err);
        assert!(!warns(&admin.run(&format!("{line} us-south")).ok()), "{line}");
    }
}

#[test]
fn the_name_of_a_file_in_place_of_its_content_is_told() {
    let world = World::start();
    let admin = world.owner();
    admin.run("resource service-instance-create i secrets-manager trial us-south").ok();
    world.file("password", "correct horse");
    let create = "sm secret-create --secret-type arbitrary --secret-group-id default";
    for (name, payload, told) in
        [("one", "password", true), ("two", "@password", false), ("three", "passwort", false)]
    {
        let made = admin.run(&format!("{create} --secret-name {name} --arbitrary-payload {payload}")).ok();
        assert_eq!(made.err.contains("write @ before it"), told, "{payload}: {}", made.err);
    }
    world.file("key.json", &json!({"apikey": world.key}).to_string());
    let refused = world.user("new").run(&format!("login -a {} --apikey key.json", world.url));
    assert!(refused.code == 1 && refused.err.contains("write @ before it"), "{}", refused.err);
}

#[test]
fn whoever_may_see_no_resource_group_is_told_how_to_go_on() {
    let world = World::start();
    let admin = world.owner();
    admin.run("iam service-id-create nightly").ok();
    admin.run("iam service-api-key-create k nightly --file nightly.json").ok();
    let fresh = world.user("fresh");
    let login = format!("login -a {} --apikey @nightly.json", world.url);
    let refused = fresh.run(&format!("{login} -g default"));
    assert!(refused.code == 1 && refused.err.contains("without -g"), "{}", refused.err);
    fresh.run(&login).ok();
    let refused = fresh.run("target -g default");
    assert!(refused.code == 1 && refused.err.contains("role Viewer"), "{}", refused.err);
    // The policy that the text names.
    let group = text(&admin.json("resource groups"), "/0/id").to_owned();
    admin
        .run(&format!(
            "iam service-policy-create nightly --roles Viewer --resource-type resource-group --resource {group}"
        ))
        .ok();
    fresh.run("target -g default").ok();
    let typo = fresh.run("target -g defualt");
    assert!(typo.err.contains("Resource group 'defualt' was not found.\n"), "{}", typo.err);
}

#[test]
fn a_refused_exchange_is_explained_in_sentences() {
    let world = World::start();
    let cluster = Cluster::start();
    let admin = world.owner();
    world.file("kubeconfig", &cluster.kubeconfig(None));
    admin.run("ks cluster register --name prod --kubeconfig kubeconfig").ok();
    world.file("sa-token", &cluster.token("shop", "api"));
    let refused =
        world.user("pod").run(&format!("login -a {} --cr-token @sa-token --profile shop-api", world.url));
    let id = transaction(&refused.err).to_owned();
    let why = admin.run(&format!("iam why {id}")).ok().out;
    assert!(why.contains("there is no trusted profile of this name") && why.contains("shop-api"), "{why}");
    assert!(!why.contains("profile_not_found"), "{why}");
    let event: Value = admin.run(&format!("audit show {id}")).json();
    assert_eq!(text(&event, "/avouch/decision/reason_code"), "profile_not_found");
}
