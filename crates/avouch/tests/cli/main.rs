//! The program from outside: a server process, and lines as people and scripts type them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod dev;
mod instances;
mod is;
mod memory;
mod newcomer;
mod once;
mod recover;
mod sessions;
mod told;
mod walks;
mod world;

use std::time::{Duration, Instant};

use serde_json::Value;
use world::{Cluster, World, mode};

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

#[test]
fn a_pod_of_a_registered_cluster_reads_a_secret_and_another_does_not() {
    let world = World::start();
    let cluster = Cluster::start();
    let admin = world.owner();
    world.file("kubeconfig", &cluster.kubeconfig(None));
    world.file("password", "correct horse\n");

    let crn = text(&admin.json("ks cluster register --name prod --kubeconfig kubeconfig"), "/crn").to_owned();
    assert_eq!(text(&admin.json("ks cluster get -c prod"), "/crn"), crn);
    admin
        .run("resource service-instance-create shop-secrets secrets-manager standard us-south -g default")
        .ok();
    let guid = text(&admin.json("resource service-instance shop-secrets"), "/0/guid").to_owned();
    let made = admin.json(
        "secrets-manager secret-create --secret-type arbitrary --secret-name db --secret-group-id default \
         --arbitrary-payload @password",
    );
    let secret = text(&made, "/id").to_owned();
    admin.run("iam trusted-profile-create shop-api").ok();
    admin
        .run(&format!(
            "iam trusted-profile-link-create shop-api --name prod-api --cr-type IKS_SA --link-crn {crn} \
             --link-namespace shop --link-name api"
        ))
        .ok();
    admin
        .run(&format!(
            "iam trusted-profile-policy-create shop-api --roles SecretsReader --service-name secrets-manager \
             --service-instance {guid}"
        ))
        .ok();
    let trusting = admin.json(&format!("iam trusted-profiles --linked-to {crn}"));
    assert_eq!(text(&trusting, "/0/profile_name"), "shop-api");

    world.file("sa-token", &format!("{}\n", cluster.token("shop", "api")));
    let base = format!("{}/secrets-manager/{guid}", world.url);
    let pod = world.user("pod").with("SECRETS_MANAGER_URL", &base);
    pod.run(&format!("login -a {} --cr-token @sa-token --profile shop-api", world.url)).ok();
    assert_eq!(text(&pod.json(&format!("sm secret --id {secret}")), "/payload"), "correct horse\n");
    let refused = pod.run(&format!("sm secret-version-create --secret-id {secret} --arbitrary-payload x"));
    assert_eq!(refused.code, 1, "{}", refused.out);
    assert!(refused.err.starts_with("Creating") && refused.err.contains("FAILED\n"), "{}", refused.err);
    assert!(refused.err.contains("HTTP status: 403, transaction ID: "), "{}", refused.err);

    world.file("other-token", &cluster.token("shop", "newsletter"));
    let stranger = world.user("stranger");
    let refused = stranger.run(&format!("login -a {} --cr-token @other-token --profile shop-api", world.url));
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("BXNIM0398E"), "{}", refused.err);
    let transaction = refused.err.trim().rsplit(' ').next().unwrap().to_owned();
    let why = admin.run(&format!("iam why --transaction {transaction}")).ok();
    assert!(why.out.contains("api, found newsletter"), "{}", why.out);
    let why = admin.run("iam why --profile shop-api --cr-token @sa-token").ok();
    assert!(why.out.contains("Decision:  permitted"), "{}", why.out);

    let tested = admin.run("ks cluster diagnose -c prod --cr-token @other-token --profile shop-api");
    assert!(tested.out.contains("Result:   FAILED") && tested.out.contains("+ "), "{}", tested.out);
    assert_eq!((tested.code, tested.err.contains("OK\n")), (1, false), "{}", tested.err);
    let tested = admin.run("ks cluster diagnose -c prod --cr-token @sa-token --profile shop-api").ok();
    assert!(tested.out.contains("Result:   passed") && tested.err.contains("OK\n"), "{}", tested.err);
    let refreshed = admin.run("ks cluster master refresh").ok();
    assert!(
        refreshed.err.contains("nothing to fetch") && !refreshed.err.contains("OK\n"),
        "{}",
        refreshed.err
    );
    assert!(refreshed.err.contains("ks cluster update -c prod"), "{}", refreshed.err);
    admin.run("ks cluster update -c prod --kubeconfig kubeconfig").ok();
    assert_eq!(text(&admin.json("ks cluster keys -c prod"), "/0/kid"), "k1");
    admin.run("ks cluster keys -c prod --revoke k1 -f").ok();
    assert_eq!(text(&admin.json("ks cluster keys -c prod"), "/0/state"), "revoked");
    assert_eq!(pod.run(&format!("login -a {} --cr-token @sa-token --profile shop-api", world.url)).code, 1);
    admin.run("ks cluster rm -c prod -f").ok();
    assert!(admin.run("ks cluster ls").ok().err.contains("No clusters found."));
    let trail = admin.json("audit list --action iam-identity.computeresource-token.login");
    assert!(trail.as_array().unwrap().len() >= 2, "{trail}");
}

#[test]
fn a_kubeconfig_without_the_rights_registers_nothing() {
    let world = World::start();
    let cluster = Cluster::start();
    world.file("kubeconfig", &cluster.kubeconfig(Some("nobody")));
    let refused = world.owner().run("ks cluster register --name prod --kubeconfig kubeconfig");
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("may not read it"), "{}", refused.err);
    assert_eq!(world.owner().json("ks cluster ls"), Value::Array(vec![]));
}

#[test]
fn lines_of_published_walk_throughs_run() {
    let world = World::start();
    let admin = world.owner();
    let account = world.account.as_str();
    let add = format!(
        "iam trusted-profile-compute-resource-add my-profile --compute-resource \
         crn:v1:bluemix:public:codeengine:us-south:{account}:project:9a8b7c6d-0000-4000-8000-000000000001:app:my-app \
         --compute-resource-type code_engine"
    );
    for line in [
        "plugin install code-engine",
        "resource service-instance-create my-sm secrets-manager standard us-south --resource-group Default",
        "iam trusted-profile-create my-profile --description 'Trusted Profile for Next.js app'",
        "iam trusted-profile-policy-create my-profile --roles Operator --service-name is",
        "iam tps",
        "iam trusted-profiles",
        "iam authorization-policy-create secrets-manager Reader --source-service-name iam-profile \
         --source-resource-instance-name my-profile --target-resource-instance-name my-sm",
        &add,
        "resource service-instances --service-name secrets-manager",
    ] {
        admin.run(line).ok();
    }
    let policies = admin.json("iam trusted-profile-policies my-profile");
    assert_eq!(policies.as_array().unwrap().len(), 2, "{policies}");
    let links = admin.json("iam trusted-profile-links my-profile");
    assert_eq!(text(&links, "/0/cr_type"), "CE");
    assert_eq!(text(&links, "/0/link/component_name"), "my-app");
    let crn = admin.run("resource service-instance my-sm --location us-south -g Default --crn").ok().out;
    assert!(crn.starts_with("crn:v1:bluemix:public:secrets-manager:us-south:a/"), "{crn}");
    let tokens = admin.run("iam oauth-tokens").ok().out;
    assert!(tokens.starts_with("IAM token:  Bearer ey"), "{tokens}");
}

#[test]
fn every_list_is_json_and_nothing_else() {
    let world = World::start();
    let admin = world.owner();
    admin.run("iam trusted-profile-create p").ok();
    admin.run("iam service-id-create s").ok();
    admin.run("iam access-group-create g").ok();
    admin.run("resource service-instance-create i secrets-manager trial us-south").ok();
    let lists = "account list|account users|audit|iam access-group-policies g|iam access-group-service-ids g|\
        iam access-group-trusted-profiles g|iam access-group-users g|iam access-groups|iam access-policies|\
        iam account-policies|iam api-keys|iam authorization-policies|iam issuer ls|iam roles|iam roles --service kms|\
        iam service-api-keys s|iam service-api-keys --all|iam service-ids|iam service-policies s|\
        iam trusted-profile-identities p|iam trusted-profile-links p|iam trusted-profile-policies p|\
        iam trusted-profile-rules p|iam tps|iam tps --can-assume|iam user-policies owner@avouch.test|ks cluster ls|\
        plugin list|regions|resource groups|resource plans|resource reclamations|resource service-instances|\
        sm secret-groups|sm secrets|sm secrets-locks";
    for line in lists.split('|') {
        assert!(admin.json(line).is_array(), "{line}");
    }
    let objects = "account show|iam account-settings|iam bearer-token|iam oauth-tokens|iam service-id s|\
        iam trusted-profile p|iam access-group g|resource group default|target|version|api";
    for line in objects.split('|') {
        assert!(admin.json(line).is_object(), "{line}");
    }
}

#[test]
#[allow(clippy::disallowed_methods)] // looks how long a person would wait
fn without_a_terminal_nothing_is_deleted_and_nobody_waits() {
    let world = World::start();
    let admin = world.owner();
    admin.run("iam trusted-profile-create p").ok();
    for line in [
        "iam trusted-profile-delete p",
        "iam access-group-delete x",
        "iam service-id-lock x",
        "iam api-key-delete bootstrap",
        "resource service-instance-delete x",
        "resource group-delete Default",
        "sm secret-delete --id x",
        "ks cluster rm -c x",
    ] {
        let start = Instant::now();
        let ended = admin.run(line);
        assert_eq!(ended.code, 1, "{line}");
        assert!(ended.err.contains("FAILED\nReally"), "{line}: {}", ended.err);
        assert!(start.elapsed() < Duration::from_secs(1), "{line}");
    }
    assert_eq!(admin.json("iam tps").as_array().unwrap().len(), 1);
    admin.run("iam trusted-profile-delete p -f").ok();
    let gone = admin.run("iam trusted-profile p");
    assert_eq!(gone.code, 1);
    assert!(gone.err.contains("Trusted profile 'p' was not found.\nTransaction ID: "), "{}", gone.err);
}

#[test]
fn names_that_fit_several_objects_are_refused_with_their_ids() {
    let world = World::start();
    let admin = world.owner();
    let first = admin.json("iam service-id-create twin");
    admin.run("iam service-id-create twin").ok();
    let refused = admin.run("iam service-id-delete twin -f");
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains(text(&first, "/id")), "{}", refused.err);
    admin.run(&format!("iam service-id-delete {} -f", text(&first, "/id"))).ok();
    admin.run("iam service-id-delete twin -f").ok();
}

#[test]
fn the_data_folder_and_what_is_in_it_are_of_their_owner_only() {
    let world = World::start();
    let data = world.file("marker", "").with_file_name("data");
    assert_eq!(mode(&data), 0o700);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        names.push(path.file_name().unwrap().to_string_lossy().into_owned());
    }
    for name in ["avouch.db", "bootstrap.env", "keyring"] {
        assert!(names.iter().any(|n| n == name), "{name} is not among {names:?}");
    }
}

#[test]
fn sessions_are_private_and_renewed_and_end() {
    let world = World::start();
    let admin = world.owner();
    assert_eq!(mode(&admin.state()), 0o600);
    let stranger = world.user("stranger");
    let refused = stranger.run("iam tps");
    assert_eq!((refused.code, refused.err.as_str()), (1, "FAILED\nNot logged in. Use 'login' first.\n"));

    // {"exp":1}: long over, so the refresh token is used.
    let old = "Bearer e30.eyJleHAiOjF9.sig";
    let mut state: Value = serde_json::from_slice(&std::fs::read(admin.state()).unwrap()).unwrap();
    state["IAMToken"] = old.into();
    std::fs::write(admin.state(), state.to_string()).unwrap();
    admin.run("iam tps").ok();
    let mut state: Value = serde_json::from_slice(&std::fs::read(admin.state()).unwrap()).unwrap();
    assert_ne!(state["IAMToken"], old);
    state["IAMToken"] = old.into();
    state["IAMRefreshToken"] = "".into();
    std::fs::write(admin.state(), state.to_string()).unwrap();
    let ended = admin.run("iam tps");
    assert_eq!(ended.code, 1);
    assert!(ended.err.ends_with("FAILED\nSession expired. Log in again.\n"), "{}", ended.err);

    let by_variable =
        world.user("variable").with("IBMCLOUD_API_KEY", &world.key).with("AVOUCH_URL", &world.url);
    by_variable.run("login -r us-south").ok();
    by_variable.run("logout").ok();
    let state = std::fs::read_to_string(by_variable.state()).unwrap();
    assert!(!state.contains("Bearer"), "{state}");
    assert_eq!(by_variable.run("iam tps").code, 1);
}

#[test]
fn a_failed_login_or_another_address_leaves_the_session() {
    let world = World::start();
    let admin = world.owner();
    for line in [
        "api http://127.0.0.1:9",
        "login -a http://127.0.0.1:9 --apikey x",
        "login --apikey wrong-key-0000000000000000000000000000",
        "login --sso",
        "login -u me -p x",
    ] {
        assert_eq!(admin.run(line).code, 1, "{line}");
        admin.run("iam tps").ok();
    }
}

#[test]
fn traces_hold_no_secret() {
    let world = World::start();
    let trace = world.file("trace", "");
    let admin = world.owner().with("IBMCLOUD_TRACE", &trace.display().to_string());
    admin.run(&format!("login -a {} --apikey {}", world.url, world.key)).ok();
    admin.run("resource service-instance-create i secrets-manager trial us-south").ok();
    let secret =
        admin.json("sm secret-create --secret-type arbitrary --secret-name nn --arbitrary-payload TOPSECRET");
    admin.run(&format!("sm secret --id {}", text(&secret, "/id"))).ok();
    let key = admin.json("iam api-key-create mine");
    let bearer = admin.json("iam bearer-token");
    let written = std::fs::read_to_string(trace).unwrap();
    assert!(written.contains("REQUEST POST") && written.contains("RESPONSE 201"), "{written}");
    let token = text(&bearer, "/iam_token").trim_start_matches("Bearer ");
    for secret in [world.key.as_str(), "TOPSECRET", text(&key, "/apikey"), token] {
        assert!(!written.contains(secret), "the trace holds a secret");
    }
}

#[test]
fn keys_are_written_for_their_owner_only_and_log_in() {
    let world = World::start();
    let admin = world.owner();
    admin.run("iam service-id-create nightly").ok();
    let made = admin.run("iam service-api-key-create nightly-key nightly --file key.json").ok();
    let file = world.file("marker", "").with_file_name("key.json");
    assert_eq!(mode(&file), 0o600);
    let key: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert!(!made.out.contains(text(&key, "/apikey")), "{}", made.out);
    let program = world.user("program");
    program.run(&format!("login -a {} --apikey @key.json", world.url)).ok();
    assert_eq!(text(&program.json("target"), "/user/display_name"), "nightly");
    let wrong = world.user("wrong");
    let line = format!("login -a {} --apikey @key.json -c ffffffffffffffffffffffffffffffff", world.url);
    assert_eq!(wrong.run(&line).code, 1);
    assert_eq!(world.owner, text(&admin.json("target"), "/user/iam_id"));
}

#[test]
fn lines_that_are_not_understood_end_with_two() {
    let world = World::start();
    let admin = world.owner();
    let unclear = [
        "iam trusted-profile-lst",
        "iam trusted-profile-create",
        "iam tps --output yaml",
        "login --profile p",
    ];
    for line in unclear {
        let ended = admin.run(line);
        assert_eq!(ended.code, 2, "{line}");
        assert!(ended.err.starts_with("Incorrect Usage\n") && ended.out.is_empty(), "{line}: {}", ended.err);
    }
    let help = admin.run("iam --help").ok();
    assert!(help.out.contains("trusted-profile-create") && help.err.is_empty());
    assert!(admin.run("completion bash").ok().out.contains("trusted-profile-create"));
}

#[test]
fn doubtful_claim_rules_are_warned_about_when_they_are_written() {
    let world = World::start();
    let admin = world.owner();
    admin.run("iam trusted-profile-create shop-api").ok();
    let create = "iam trusted-profile-rule-create shop-api --type Profile-CR --cr-type IKS_SA";
    let wide = admin
        .run(&format!("{create} --name wide --conditions claim:namespace,operator:EQUALS,value:shop"))
        .ok();
    assert!(wide.err.contains("WARNING: ") && wide.err.contains("every cluster"), "{}", wide.err);
    let crn = "claim:crn,operator:EQUALS,value:crn:v1:x";
    let narrow = admin
        .run(&format!("{create} --name narrow --conditions {crn} --conditions claim:namespace,operator:EQUALS,value:shop"))
        .ok();
    assert!(!narrow.err.contains("WARNING"), "{}", narrow.err);
    // A change that widens it is told too, and scripts read the rule as ever.
    let changed = admin
        .run(&format!("iam trusted-profile-rule-update shop-api narrow --conditions {crn} --output json"));
    assert!(changed.err.contains("every service account"), "{}", changed.err);
    let rule: Value = serde_json::from_str(&changed.out).unwrap();
    assert_eq!(text(&rule, "/name"), "narrow");
}

#[test]
fn why_tells_of_life_and_of_the_account_that_somebody_comes_from() {
    let world = World::start();
    let admin = world.owner();
    let profile = admin.json("iam trusted-profile-create shop-api");
    let (id, account) = (text(&profile, "/id"), text(&profile, "/account_id"));
    let crn = format!("crn:v1:bluemix:public:iam-identity::a/{account}::profile:{id}");
    let why = format!("iam why --iam-id iam-{id} --action iam-identity.profile.get --resource {crn}");
    admin.run("iam trusted-profile-policy-create shop-api --roles Viewer --service-name iam-identity").ok();
    assert_eq!(text(&admin.json(&why), "/decision"), "permitted");
    let elsewhere = admin.json(&format!("{why} --home-account 0123456789abcdef0123456789abcdef"));
    // Whether it lives in another account is not told here.
    assert_eq!(text(&elsewhere, "/decision"), "permitted");
    let malformed = admin.run(&format!("{why} --home-account elsewhere"));
    assert!(malformed.code == 1 && malformed.err.contains("account_id"), "{}", malformed.err);
    admin.run("iam trusted-profile-delete shop-api -f").ok();
    let gone = admin.run(&why).ok();
    assert!(gone.out.contains("refused") && gone.out.contains("No such identity"), "{}", gone.out);
}
