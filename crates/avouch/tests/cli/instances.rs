//! Virtual servers that really run: the server, the helper and the command line as processes, in real namespaces.

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use avouch_agent::client::{Client, launch};
use avouch_agent::protocol::InstanceId;
use serde_json::Value;

use crate::text;
use crate::world::{PROGRAM, User, World};

const IMAGE: &str = "r006-b9ebf1d8-a674-42e8-898e-0fcb08994f66";
const LIMIT: Duration = Duration::from_secs(60);

/// The helper.
pub struct Helper {
    child: Child,
    socket: PathBuf,
    state: PathBuf,
    killed: bool,
}

impl Helper {
    fn start(dir: &Path) -> Helper {
        let (socket, state) = (dir.join("agent/socket"), dir.join("agent-state"));
        let mut command = Command::new(PROGRAM);
        command.args(["agent", "--socket"]).arg(&socket).arg("--state").arg(&state);
        let (child, _) = launch(command.stderr(Stdio::null())).unwrap();
        Helper { child, socket, state, killed: false }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // Its instances live on, and are another's.
        self.killed = true;
    }

    /// What a command prints in an instance.
    pub fn exec(&self, id: &str, argv: &[&str]) -> String {
        self.exec_with(id, argv, std::fs::File::open("/dev/null").unwrap())
    }

    /// The same with an input.
    pub fn exec_with(&self, id: &str, argv: &[&str], input: std::fs::File) -> String {
        let mut client = Client::connect(&self.socket).unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let id = InstanceId::new(id).unwrap();
        client.exec(&id, argv, &[], [input.as_fd(), writer.as_fd(), writer.as_fd()]).unwrap();
        drop(writer);
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        said
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        if self.killed {
            return;
        }
        if let Ok(mut client) = Client::connect(&self.socket) {
            for id in client.list().unwrap_or_default() {
                let _ = client.close(&id);
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[allow(clippy::disallowed_methods)] // only ends a test that hangs
pub fn wait(admin: &User<'_>, name: &str, wanted: &str) -> Value {
    let begun = Instant::now();
    loop {
        let now = admin.json(&format!("is instance {name}"));
        if text(&now, "/status") == wanted {
            return now;
        }
        assert!(begun.elapsed() < LIMIT, "not {wanted}: {now}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Nothing where the host allows no namespaces and nobody demands them.
pub fn scene() -> Option<(World, Helper)> {
    // Where instances could look, if nobody hid it.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let images = dir.path().join("images");
    std::fs::create_dir(&images).unwrap();
    let helper = Helper::start(dir.path());
    let allowed = Client::connect(&helper.socket).unwrap().host().layout.is_some();
    if !allowed {
        assert!(std::env::var_os("AVOUCH_REQUIRE_NAMESPACES").is_none(), "the host allows no namespaces");
        eprintln!("left out: the host allows no namespaces");
        return None;
    }
    let socket = helper.socket.display().to_string();
    let images = images.display().to_string();
    let world = World::with(dir, &[("AVOUCH_VPC_AGENT", socket), ("AVOUCH_VPC_IMAGES", images)]);
    let admin = world.owner();
    admin.run("is vpc-create shop").ok();
    admin.run("is subnet-create front shop us-south-1 --ipv4-address-count 16").ok();
    Some((world, helper))
}

pub fn create(admin: &User<'_>, name: &str, more: &str) -> Value {
    admin.json(&format!("is instance-create {name} shop us-south-1 bx2-2x8 front --image {IMAGE} {more}"))
}

#[test]
fn an_instance_boots_reaches_the_server_stops_starts_and_goes() {
    let Some((world, helper)) = scene() else { return };
    let admin = world.owner();
    world.file("boot.sh", "#!/bin/sh\nhostname > /run/booted\n");
    let made = create(&admin, "web", "--user-data @boot.sh");
    let id = text(&made, "/id");
    let running = wait(&admin, "web", "running");
    assert_eq!(running["status_reasons"], serde_json::json!([]));
    // User data is carried out after the start.
    let seen = |file: &str| {
        helper.exec(
            id,
            &[
                "/bin/sh",
                "-c",
                &format!("for i in $(seq 100); do cat {file} && break; sleep 0.1; done 2>/dev/null"),
            ],
        )
    };
    assert_eq!(seen("/run/booted"), "web\n");
    let script =
        "import urllib.request as u; print(u.urlopen('http://avouch.internal/identity/keys').status)";
    assert_eq!(helper.exec(id, &["python3", "-c", script]), "200\n");
    let data = world.file("marker", "").with_file_name("data");
    assert!(data.join("keyring").exists());
    let listed = helper.exec(id, &["ls", "-la", &data.display().to_string()]);
    assert!(!listed.contains("keyring") && !listed.contains("avouch.db"), "{listed}");
    let above = helper.exec(id, &["ls", &data.parent().unwrap().display().to_string()]);
    // Seen around it, unless an instance has a folder of its own there.
    let own = ["/tmp", "/home", "/root", "/run", "/srv", "/var/tmp", "/var/log"];
    assert!(above.contains("boot.sh") || own.iter().any(|own| data.starts_with(own)), "{above}");
    let others = "import socket; s = socket.socket(); s.settimeout(1); s.connect(('10.240.0.1', 80))";
    assert!(helper.exec(id, &["python3", "-c", others]).contains("Error"));
    assert_eq!(admin.run("is instance-start web").code, 1);
    admin.run("is instance-reboot web -f").ok();
    wait(&admin, "web", "running");
    admin.run("is instance-stop web -f").ok();
    let stopped = wait(&admin, "web", "stopped");
    assert_eq!(stopped["startable"], true);
    assert_eq!(admin.run("is instance-stop web -f").code, 1);
    admin.run("is instance-start web").ok();
    wait(&admin, "web", "running");
    assert_eq!(helper.exec(id, &["hostname"]), "web\n");
    admin.run("is instance-delete web -f").ok();
    gone(&admin, "web");
    assert_eq!(Client::connect(&helper.socket).unwrap().list().unwrap(), []);
    for line in ["is subnet-delete front -f", "is vpc-delete shop -f"] {
        admin.run(line).ok();
    }
}

/// A root folder with a shell and nothing else.
fn image(root: &Path) {
    for folder in ["proc", "dev", "etc", "tmp", "root", "run", "bin"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    for program in ["/bin/sh", "/bin/cat"] {
        let libraries = Command::new("ldd").arg(program).output().unwrap();
        let libraries = String::from_utf8(libraries.stdout).unwrap();
        for from in libraries.split_whitespace().filter(|w| w.starts_with('/')).chain([program]) {
            let to = root.join(&from[1..]);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            assert!(Command::new("cp").arg("-L").arg(from).arg(to).status().unwrap().success());
        }
    }
    std::fs::write(root.join("etc/mark"), "of the image\n").unwrap();
}

#[test]
fn an_image_is_a_root_folder_of_the_operator_or_nothing_starts() {
    let Some((world, helper)) = scene() else { return };
    let admin = world.owner();
    let images = world.file("marker", "").with_file_name("images");
    image(&images.join("small"));
    for (name, source) in [
        ("small", "rootfs:small"),
        ("missing", "rootfs:missing"),
        ("outside", "rootfs:.."),
        ("deep", "rootfs:small/etc"),
        ("disk", "disk:x.qcow2"),
    ] {
        admin.run(&format!("is image-create {name} --file {source} --os-name ubuntu-24-04-amd64")).ok();
    }
    let make = |name: &str, image: &str| {
        admin.json(&format!("is instance-create {name} shop us-south-1 bx2-2x8 front --image {image}"))
    };
    let small = text(&make("a", "small"), "/id").to_owned();
    wait(&admin, "a", "running");
    assert_eq!(helper.exec(&small, &["/bin/cat", "/etc/mark"]), "of the image\n");
    for image in ["missing", "outside", "deep", "disk"] {
        make(&format!("b-{image}"), image);
        let failed = wait(&admin, &format!("b-{image}"), "failed");
        let why = text(&failed, "/status_reasons/0/message");
        assert!(why.contains("image:"), "{image}: {why}");
    }
}

#[allow(clippy::disallowed_methods)] // only ends a test that hangs
pub fn gone(admin: &User<'_>, name: &str) {
    let begun = Instant::now();
    while admin.run(&format!("is instance {name}")).code == 0 {
        assert!(begun.elapsed() < LIMIT, "{name} stays");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_killed_server_and_a_killed_helper_find_their_instances_again() {
    let Some((mut world, mut helper)) = scene() else { return };
    let ids: Vec<String> = {
        let admin = world.owner();
        ["a", "b"]
            .map(|name| {
                let id = text(&create(&admin, name, ""), "/id").to_owned();
                wait(&admin, name, "running");
                id
            })
            .to_vec()
    };
    for id in &ids {
        helper.exec(id, &["/bin/sh", "-c", &format!("echo {id} > /run/mark")]);
    }
    let marks =
        |helper: &Helper| ids.iter().map(|id| helper.exec(id, &["cat", "/run/mark"])).collect::<Vec<_>>();
    let wanted: Vec<String> = ids.iter().map(|id| format!("{id}\n")).collect();
    assert_eq!(marks(&helper), wanted);
    world.kill();
    world.restart();
    let script =
        "import urllib.request as u; print(u.urlopen('http://avouch.internal/identity/keys').status)";
    answers(&helper, &ids[0], script);
    assert_eq!(marks(&helper), wanted);
    helper.kill();
    let folder = helper.state.parent().unwrap().to_owned();
    helper = Helper::start(&folder);
    assert_eq!(marks(&helper), wanted);
    let admin = world.user("again");
    admin.run(&format!("login -a {} --apikey {}", world.url, world.key)).ok();
    for name in ["a", "b"] {
        wait(&admin, name, "running");
    }
    answers(&helper, &ids[1], script);
    admin.run("is instance-stop a -f").ok();
    wait(&admin, "a", "stopped");
    admin.run("is instance-delete a b -f").ok();
    gone(&admin, "a");
    gone(&admin, "b");
}

/// The walk-through of the published documents, by curl.
const WALK: &str = r#"
vpc=http://169.254.169.254
pick() { python3 -c "import json,sys; d=json.load(sys.stdin); print(d.get('$1') or d['errors'][0]['code'])"; }
token=$(curl -s -X PUT "$vpc/instance_identity/v1/token?version=2022-03-01" -H "Metadata-Flavor: ibm" \
  -H "Accept: application/json" -d '{"expires_in": 3600}' | pick instance_identity_token)
iam=$(curl -s -X POST "$vpc/instance_identity/v1/iam_token?version=2022-03-01" -H "Authorization: Bearer $token" \
  -H "Accept: application/json" -d "$1" | pick access_token)
curl -s "http://api.metadata.cloud.ibm.com/metadata/v1/instance?version=2022-03-01" -H "Authorization: Bearer $token" | pick name
case $iam in
  *.*.*) curl -s "http://avouch.internal/secrets-manager/$2/api/v2/secrets/$3" -H "Authorization: Bearer $iam" | pick payload;;
  *) echo "refused: $iam";;
esac
curl -s -o /dev/null -w '%{http_code}\n' "$vpc/v1/profiles"
curl -s -o /dev/null -w '%{http_code}\n' "http://avouch.internal/metadata/v1/instance?version=2022-03-01"
echo "$token" > /run/token
"#;

#[test]
fn an_instance_that_holds_nothing_reads_a_secret_and_one_that_is_not_linked_does_not() {
    let Some((world, helper)) = scene() else { return };
    let admin = world.owner();
    admin.run("resource service-instance-create s secrets-manager trial us-south").ok();
    let guid = text(&admin.json("resource service-instance s"), "/0/guid").to_owned();
    let made =
        admin.json("sm secret-create --secret-type arbitrary --secret-name db --arbitrary-payload horse");
    let secret = text(&made, "/id").to_owned();
    admin.run("iam trusted-profile-create shop-web").ok();
    admin
        .run(&format!(
            "iam trusted-profile-policy-create shop-web --roles SecretsReader --service-name secrets-manager \
             --service-instance {guid}"
        ))
        .ok();
    let linked = create(&admin, "web", "--metadata-service true --default-trusted-profile shop-web");
    let stranger = create(
        &admin,
        "stranger",
        "--metadata-service true --default-trusted-profile shop-web --default-trusted-profile-auto-link false",
    );
    for name in ["web", "stranger"] {
        wait(&admin, name, "running");
    }
    let (linked, stranger) = (text(&linked, "/id"), text(&stranger, "/id"));
    let walk = |id: &str, body: &str| helper.exec(id, &["bash", "-c", WALK, "walk", body, &guid, &secret]);
    assert_eq!(walk(linked, ""), "web\nhorse\n404\n404\n");
    assert_eq!(walk(linked, r#"{"trusted_profile": {"name": "shop-web"}}"#), "web\nhorse\n404\n404\n");
    assert_eq!(walk(stranger, ""), "stranger\nrefused: profile_not_linked\n404\n404\n");
    // Carried to another instance, a token is nobody's.
    let stolen = helper.exec(linked, &["cat", "/run/token"]);
    let use_it = format!(
        "curl -s -o /dev/null -w '%{{http_code}}' 'http://169.254.169.254/metadata/v1/instance?version=2022-03-01' \
         -H 'Authorization: Bearer {}'",
        stolen.trim()
    );
    assert_eq!(helper.exec(stranger, &["bash", "-c", &use_it]), "401");
    assert_eq!(helper.exec(linked, &["bash", "-c", &use_it]), "200");
    let trusting = admin
        .json(&format!("iam trusted-profiles --linked-to {}", text(&admin.json("is instance web"), "/crn")));
    assert_eq!(text(&trusting, "/0/profile_name"), "shop-web");
    let told = admin.json("audit list --action is.metadata.computeresource-token.request --outcome success");
    let crn = text(&admin.json("is instance web"), "/crn").to_owned();
    assert_eq!(text(&told, "/0/initiator/authnId"), format!("crn-{crn}"));
    let pair = text(&told, "/0/correlationId");
    let login = admin
        .json(&format!("audit list --action iam-identity.computeresource-token.login --transaction {pair}"));
    assert_eq!(text(&login, "/0/initiator/id"), text(&told, "/0/initiator/id"));
    // Off at once, also for tokens that are out; and an earlier life's tokens are not this one's.
    admin.run("is instance-update web --metadata-service false").ok();
    let status = helper.exec(linked, &["bash", "-c", &use_it]);
    assert!(["403", "000"].contains(&status.as_str()), "{status}");
    admin.run("is instance-update web --metadata-service true").ok();
    admin.run("is instance-stop web -f").ok();
    wait(&admin, "web", "stopped");
    admin.run("is instance-start web").ok();
    wait(&admin, "web", "running");
    assert_eq!(helper.exec(linked, &["bash", "-c", &use_it]), "401");
    assert_eq!(walk(linked, ""), "web\nhorse\n404\n404\n");
}

#[allow(clippy::disallowed_methods)] // only ends a test that hangs
fn answers(helper: &Helper, id: &str, script: &str) {
    let begun = Instant::now();
    while helper.exec(id, &["python3", "-c", script]) != "200\n" {
        assert!(begun.elapsed() < LIMIT, "the server does not answer in {id}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
