//! The published walk-throughs, line by line, in instances that really run. Addresses that the published texts leave out
//! are those of an instance; the services are those of this server.

use std::fs::File;
use std::process::Command;

use serde_json::Value;

use crate::instances::{Helper, gone, scene, wait};
use crate::text;
use crate::world::{PROGRAM, User, World};

/// What stands around the lines of a walk-through: `ibmcloud` is this program.
const PREPARED: &str = r#"set -euo pipefail
ibmcloud() { "$AVOUCH" "$@"; }
"#;

/// Runs lines as somebody who typed them.
#[track_caller]
fn type_in(user: &User<'_>, lines: &str) -> String {
    let mut command = user.command("");
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("{PREPARED}{lines}")]).env("AVOUCH", PROGRAM);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.current_dir(command.stdin(std::process::Stdio::null()).get_current_dir().unwrap());
    let done = shell.output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    said
}

/// Whoever may open consoles may run programs in instances.
fn may_sign_on(world: &World, admin: &User<'_>) {
    admin
        .run(&format!(
            "iam user-policy-create {} --roles VirtualServerConsoleAdmin --service-name is",
            world.owner
        ))
        .ok();
}

#[test]
fn an_instance_with_a_trusted_profile_lists_instances_without_an_api_key() {
    let Some((world, _helper)) = scene() else { return };
    let admin = world.owner();
    may_sign_on(&world, &admin);
    world.file("my-key.pub", KEY);
    type_in(
        &admin,
        r#"
# What the text takes for granted.
ibmcloud is vpc-create my-vpc
ibmcloud is subnet-create my-subnet my-vpc us-south-3 --ipv4-address-count 16
ibmcloud is subnet-create my-sn3 my-vpc us-south-3 --ipv4-address-count 16
ibmcloud is key-create my-key @my-key.pub
# Steps 1 to 3.
ibmcloud iam trusted-profile-create my-trusted-profile --description "My trusted profile"
ibmcloud iam trusted-profile-policy-create my-trusted-profile --roles Operator --service-name is
ibmcloud is instance-create my-instance my-vpc us-south-3 bx2-2x8 my-subnet --image r006-b9ebf1d8-a674-42e8-898e-0fcb08994f66 --primary-network-interface '{"name": "primary-nic", "subnet": {"name":"my-sn3"}}' --keys my-key --metadata-service true --default-trusted-profile my-trusted-profile
ibmcloud is floating-ip-reserve my-fip1 --zone us-south-3
ibmcloud is instance-network-interface-floating-ip-add my-instance primary-nic my-fip1
"#,
    );
    wait(&admin, "my-instance", "running");
    let instance = admin.json("is instance my-instance");
    let address = text(&admin.json("is floating-ip my-fip1"), "/address").to_owned();
    let shown = admin.json("is instance-network-interface-floating-ips my-instance primary-nic");
    assert_eq!(text(&shown, "/0/address"), address);
    assert!(text(&instance, "/primary_network_interface/subnet/name") == "my-sn3", "{instance}");
    // Step 4 is another way in; 5 to 7 are typed inside.
    world.file(
        "inside.sh",
        r#"
instance_identity_token=`curl -s -X PUT "http://169.254.169.254/instance_identity/v1/token?version=2022-03-29" -H "Metadata-Flavor: ibm" -d '{ "expires_in": 600}' | jq -r '(.access_token)'`
iam_token=`curl -s -X POST "http://169.254.169.254/instance_identity/v1/iam_token?version=2022-03-29" -H "Authorization: Bearer ${instance_identity_token}" | jq -r '(.access_token)'`
curl -s -X GET "http://avouch.internal/v1/instances?version=2022-03-31&generation=2" -H "Authorization: Bearer ${iam_token}"
"#,
    );
    let listed = type_in(&admin, "ibmcloud is instance-exec --stdin my-instance -- bash <inside.sh");
    let listed: Value = serde_json::from_str(&listed).unwrap_or_else(|e| panic!("{e}: {listed}"));
    assert_eq!(listed["instances"][0]["name"], "my-instance", "{listed}");
    let keys =
        type_in(&admin, "ibmcloud is instance-exec my-instance -- sh -c 'cat ~root/.ssh/authorized_keys'");
    assert_eq!(keys, KEY);
    // What the profile may not, the instance may not.
    let denied = r#"ibmcloud is instance-exec --stdin my-instance -- bash <<'EOF'
t=$(curl -s -X PUT "http://169.254.169.254/identity/v1/token?version=2025-08-26" -H "Metadata-Flavor: ibm" | jq -r .access_token)
i=$(curl -s -X POST "http://169.254.169.254/identity/v1/iam_tokens?version=2025-08-26" -H "Authorization: Bearer $t" | jq -r .access_token)
curl -s -X POST "http://avouch.internal/v1/vpcs?version=2022-03-31&generation=2" -H "Authorization: Bearer $i" -d '{}' | jq -r '.errors[0].code'
EOF"#;
    assert_eq!(type_in(&admin, denied), "not_authorized\n");
    admin.run("is instance-network-interface-floating-ip-remove my-instance primary-nic my-fip1 -f").ok();
    admin.run("is instance-delete my-instance -f").ok();
    gone(&admin, "my-instance");
    assert_eq!(admin.run("is floating-ip my-fip1").ok().code, 0);
}

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@desk\n";

#[test]
fn an_instance_becomes_its_default_profile_or_another_that_is_linked() {
    let Some((world, _helper)) = scene() else { return };
    let admin = world.owner();
    may_sign_on(&world, &admin);
    for profile in ["usual", "special"] {
        admin.run(&format!("iam trusted-profile-create {profile}")).ok();
    }
    let profile = |name: &str| admin.json(&format!("iam trusted-profile {name}"));
    let (usual, special) = (profile("usual"), profile("special"));
    let subnet = text(&admin.json("is subnet front"), "/id").to_owned();
    world.file(
        "prototype.json",
        &format!(
            r#"{{"name": "web", "zone": {{"name": "us-south-1"}}, "profile": {{"name": "bx2-2x8"}},
                "image": {{"id": "r006-b9ebf1d8-a674-42e8-898e-0fcb08994f66"}},
                "primary_network_interface": {{"subnet": {{"id": "{subnet}"}}}},
                "metadata_service": {{"enabled": true}},
                "default_trusted_profile": {{"auto_link": true, "target": {{"crn": "{}"}}}}}}"#,
            text(&usual, "/crn")
        ),
    );
    let made = type_in(
        &admin,
        &format!(
            r#"iam_token=$(ibmcloud iam oauth-tokens --output json | jq -r .iam_token)
vpc_api_endpoint={}
curl -s -X POST "$vpc_api_endpoint/v1/instances?version=2022-03-01&generation=2" -H "Authorization: $iam_token" -d @prototype.json"#,
            world.url
        ),
    );
    let made: Value = serde_json::from_str(&made).unwrap();
    wait(&admin, "web", "running");
    admin
        .run(&format!(
            "iam trusted-profile-link-create special --name web --cr-type VSI --link-crn {}",
            text(&made, "/crn")
        ))
        .ok();
    let become_who = |body: &str| {
        world.file(
            "inside.sh",
            &format!(
                r#"
vpc_metadata_api_endpoint=http://169.254.169.254
instance_identity_token=$(curl -s -X PUT "$vpc_metadata_api_endpoint/instance_identity/v1/token?version=2022-03-01" -H "Metadata-Flavor: ibm" -d '{{"expires_in": 3600}}'| jq -r '(.instance_identity_token)')
curl -s -X POST "$vpc_metadata_api_endpoint/instance_identity/v1/iam_token?version=2025-06-10" -H "Authorization: Bearer $instance_identity_token" {body} | jq -r '.access_token | split(".")[1] | gsub("-";"+") | gsub("_";"/") | @base64d'
"#
            ),
        );
        let claims = type_in(&admin, "ibmcloud is instance-exec --stdin web -- bash <inside.sh");
        let claims: Value = serde_json::from_str(&claims).unwrap_or_else(|e| panic!("{e}: {claims}"));
        text(&claims, "/sub").to_owned()
    };
    assert_eq!(become_who(""), text(&usual, "/id"));
    let by = |word: &str, value: &str| format!("-d '{{\"trusted_profile\": {{\"{word}\": \"{value}\"}}}}'");
    assert_eq!(become_who(&by("id", text(&special, "/id"))), text(&special, "/id"));
    assert_eq!(become_who(&by("crn", text(&special, "/crn"))), text(&special, "/id"));
}

#[test]
fn programs_run_in_an_instance_for_whoever_may_open_its_console() {
    let Some((world, _helper)) = scene() else { return };
    let admin = world.owner();
    crate::instances::create(&admin, "web", "");
    wait(&admin, "web", "running");
    let refused = admin.run("is instance-exec web -- true");
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("not authorized"), "{}", refused.err);
    may_sign_on(&world, &admin);
    let ran = admin.run("is instance-exec web -- sh -c 'echo out; echo err >&2; exit 7'");
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (7, "out\n", "err\n"));
    assert_eq!(admin.run("is instance-exec web -- sh -c 'kill -9 $$'").code, 137);
    let long = admin.run("is instance-exec web -- sh -c 'head -c 2000000 /dev/zero'");
    assert!(long.err.contains("more than 1 MiB"), "{}", long.err);
    let slow = admin.run("is instance-exec web --timeout 1 -- sh -c 'mkfifo /run/n; read x </run/n'");
    assert!(slow.err.contains("took too long"), "{}", slow.err);
    let left = admin.run("is instance-exec web -- sh -c 'cat /proc/[0-9]*/cmdline | tr \"\\0\" \" \"'").ok();
    assert!(!left.out.contains("mkfifo"), "{}", left.out);
    let missing = admin.run("is instance-exec web -- /no/such/program");
    assert!(missing.code != 0 && !missing.err.is_empty(), "{}", missing.err);
    let told = admin.json("audit list --action is.instance.instance.console --outcome success");
    assert!(told.as_array().unwrap().len() >= 5, "{told}");
    assert_eq!(text(&told, "/0/requestData/program"), "/no/such/program");
    assert!(!told.to_string().contains("mkfifo"));
    admin.run("is instance-stop web -f").ok();
    wait(&admin, "web", "stopped");
    assert!(admin.run("is instance-exec web -- true").err.contains("running instance"));
}

/// The program itself, inside: wherever the file lies outside.
fn install(helper: &Helper, world: &World, id: &str) {
    let small = world.file("small", "");
    let stripped = Command::new("strip").arg("-o").arg(&small).arg(PROGRAM).status().unwrap();
    assert!(stripped.success());
    let into = ["sh", "-c", "cat >/srv/avouch && chmod 755 /srv/avouch"];
    assert_eq!(helper.exec_with(id, &into, File::open(&small).unwrap()), "");
}

#[test]
fn the_command_line_logs_in_as_the_instance_that_it_runs_in() {
    let Some((world, helper)) = scene() else { return };
    let admin = world.owner();
    admin.run("iam trusted-profile-create shop-web").ok();
    admin.run("iam trusted-profile-create other").ok();
    admin.run("iam trusted-profile-policy-create shop-web --roles Viewer --service-name is").ok();
    let made =
        crate::instances::create(&admin, "web", "--metadata-service true --default-trusted-profile shop-web");
    wait(&admin, "web", "running");
    let id = text(&made, "/id");
    install(&helper, &world, id);
    let line = |line: &str| {
        helper.exec(id, &["sh", "-c", &format!("HOME=/root; export HOME; cd /root; /srv/avouch {line} 2>&1")])
    };
    let login = line("login -a http://avouch.internal --vpc-cri");
    assert!(login.contains("shop-web") || login.contains("OK"), "{login}");
    assert!(line("is instances").contains("web"), "{}", line("is instances"));
    assert!(line("is vpc-create mine").contains("not authorized"));
    assert!(line("login -a http://avouch.internal --vpc-cri --profile shop-web").contains("OK"));
    let refused = line("login -a http://avouch.internal --vpc-cri --profile other");
    assert!(refused.contains("FAILED") && refused.contains("profile_not_linked"), "{refused}");
    // The session before stays.
    assert!(line("is instances").contains("web"));
}

#[test]
fn the_demo_shows_instances_where_the_host_allows_them() {
    let required = std::env::var_os("AVOUCH_REQUIRE_NAMESPACES").is_some();
    let home = tempfile::tempdir().unwrap();
    let mut demo = Command::new(PROGRAM);
    demo.arg("demo").args(required.then_some(["--require", "instances"]).into_iter().flatten());
    demo.env("HOME", home.path()).env_remove("AVOUCH_VPC_AGENT");
    let output = demo.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("Every step was as promised."), "{said}");
    let shown = said.contains("the same that the pod read") && said.contains("is nobody's: 401");
    assert!(shown || (!required && said.contains("allows no workloads")), "{said}");
}
