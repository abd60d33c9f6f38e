//! The part of the demo that runs in instances: a helper for the time of the demo, two instances, and what fares how.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use avouch_agent::client::{Client, launch};
use avouch_agent::protocol::InstanceId;
use avouch_server::Bootstrap;
use reqwest::Method;
use serde_json::{Value, json};

use crate::story::{self, Api, PAYLOAD, World, text};

/// How long an instance may take to run.
const LIMIT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);
const IMAGE: &str = "r006-b9ebf1d8-a674-42e8-898e-0fcb08994f66";
const ASKED: &str = "version=2025-08-26&generation=2";
/// Where the program lies in an instance.
const INSIDE: &str = "/srv/avouch";

/// A helper that goes with the demo, and what it made.
pub struct Helper {
    child: Child,
    socket: PathBuf,
}

impl Helper {
    /// Starts one below `folder`; why there can be none.
    pub fn start(folder: &Path) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|e| format!("this program cannot be found: {e}"))?;
        let socket = folder.join("agent/socket");
        let mut command = Command::new(program);
        command.args(["agent", "--socket"]).arg(&socket).arg("--state").arg(folder.join("agent-state"));
        let (child, _) =
            launch(command.stdin(Stdio::null()).stderr(Stdio::null())).map_err(|e| e.to_string())?;
        let helper = Self { child, socket };
        let client = Client::connect(&helper.socket).map_err(|e| e.to_string())?;
        let host = client.host();
        if host.layout.is_none() {
            let why: Vec<_> = host.layouts.iter().filter_map(|l| l.why_not.clone()).collect();
            return Err(why.join("; "));
        }
        Ok(helper)
    }

    /// Its socket.
    pub fn socket(&self) -> String {
        self.socket.display().to_string()
    }

    /// What a program in an instance prints, and its status.
    async fn run(&self, id: &str, argv: &[&str], input: Option<&Path>) -> anyhow::Result<String> {
        let (socket, id) = (self.socket.clone(), InstanceId::new(id)?);
        let argv: Vec<String> = argv.iter().map(|&word| word.to_owned()).collect();
        let input = File::open(input.unwrap_or(Path::new("/dev/null")))?;
        let run = move || {
            let mut client = Client::connect(&socket)?;
            let (mut reader, writer) = std::io::pipe()?;
            let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
            let reading = std::thread::spawn(move || {
                let mut said = String::new();
                reader.read_to_string(&mut said).map(|_| said)
            });
            client.exec(&id, &argv, &[], [input.as_fd(), writer.as_fd(), writer.as_fd()])?;
            drop(writer);
            let said = reading.join().map_err(|_| anyhow::anyhow!("nobody read what it printed"))?;
            anyhow::Ok(said?)
        };
        tokio::task::spawn_blocking(run).await?
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        if let Ok(mut client) = Client::connect(&self.socket) {
            for id in client.list().unwrap_or_default() {
                let _ = client.close(&id);
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An instance that runs.
struct Machine {
    id: String,
    name: &'static str,
}

async fn create(admin: &Api, subnet: &str, name: &'static str, profile: Value) -> anyhow::Result<Machine> {
    let made = admin
        .post(
            &format!("/v1/instances?{ASKED}"),
            json!({
                "name": name, "zone": {"name": "us-south-1"}, "profile": {"name": "bx2-2x8"}, "image": {"id": IMAGE},
                "primary_network_interface": {"subnet": {"id": subnet}}, "metadata_service": {"enabled": true},
                "default_trusted_profile": profile,
            }),
        )
        .await?;
    let id = text(&made, "/id")?.to_owned();
    let path = format!("/v1/instances/{id}?{ASKED}");
    let running = async {
        loop {
            let now = admin.send(Method::GET, &path, None).await?;
            match text(&now.body, "/status")? {
                "running" => return anyhow::Ok(()),
                "failed" => bail!("instance {name} failed: {}", now.body["status_reasons"]),
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    };
    tokio::time::timeout(LIMIT, running).await.with_context(|| format!("instance {name} does not run"))??;
    Ok(Machine { id, name })
}

impl Machine {
    /// Puts the program into the instance, and runs a line of it there.
    async fn prepare(&self, helper: &Helper) -> anyhow::Result<()> {
        let program = std::env::current_exe()?;
        let put = format!("cat >{INSIDE} && chmod 755 {INSIDE}");
        let said = helper.run(&self.id, &["/bin/sh", "-c", &put], Some(&program)).await?;
        ensure!(said.is_empty(), "the program could not be put into {}: {said}", self.name);
        Ok(())
    }

    async fn types(&self, helper: &Helper, line: &str) -> anyhow::Result<String> {
        let shell = format!("export HOME=/root; cd /root; {line}");
        helper.run(&self.id, &["/bin/sh", "-c", &shell], None).await
    }
}

/// Two instances: one is linked to the profile, one is not. Fails unless each fares as promised.
pub async fn play(made: &Bootstrap, world: &World, helper: &Helper) -> anyhow::Result<()> {
    let admin = Api::new(&made.url)?.with(&world.admin);
    let vpc = admin.post(&format!("/v1/vpcs?{ASKED}"), json!({"name": "shop"})).await?;
    let subnet = json!({"name": "front", "vpc": {"id": text(&vpc, "/id")?}, "zone": {"name": "us-south-1"},
        "total_ipv4_address_count": 16});
    let subnet = admin.post(&format!("/v1/subnets?{ASKED}"), subnet).await?;
    let subnet = text(&subnet, "/id")?;
    let profile = json!({"id": world.profile_id});
    let linked = create(&admin, subnet, "checkout-vm", json!({"target": profile, "auto_link": true})).await?;
    let stranger =
        create(&admin, subnet, "newsletter-vm", json!({"target": profile, "auto_link": false})).await?;
    println!(
        "\n== Two instances run, each in namespaces of its own; {} is linked to the profile, {} is not",
        linked.name, stranger.name
    );
    for machine in [&linked, &stranger] {
        machine.prepare(helper).await?;
        println!("   {:<14} {}", machine.name, machine.id);
    }

    println!("\n== Inside {}, which holds nothing, somebody logs in as the instance", linked.name);
    let login = format!("{INSIDE} login -a http://avouch.internal --vpc-cri --no-region 2>&1");
    let said = linked.types(helper, &login).await?;
    ensure!(said.contains("OK"), "the linked instance could not log in: {said}");
    println!("   $ avouch login -a http://avouch.internal --vpc-cri\n   OK, as {}", world.profile_name);
    let read = format!(
        "SECRETS_MANAGER_URL=http://avouch.internal/secrets-manager/{} {INSIDE} secrets-manager secret --id {} --output json",
        world.instance, world.secret_id
    );
    let said = linked.types(helper, &read).await?;
    let secret: Value = serde_json::from_str(&said).with_context(|| format!("not a secret: {said}"))?;
    ensure!(secret["payload"] == PAYLOAD, "the linked instance did not read the secret");
    println!(
        "   $ avouch secrets-manager secret --id {}\n   {} characters of payload, the same that the pod read",
        world.secret_id,
        PAYLOAD.len()
    );

    println!("\n== Inside {} the same is refused", stranger.name);
    let said = stranger.types(helper, &login).await?;
    ensure!(said.contains("profile_not_linked"), "the stranger was not refused as it should be: {said}");
    let shown = said.lines().filter(|line| line.contains("link") || line.contains("Code"));
    println!("   $ avouch login -a http://avouch.internal --vpc-cri");
    for line in shown {
        println!("   {line}");
    }
    let transaction = said.rsplit("transaction ID: ").next().and_then(|rest| rest.split_whitespace().next());
    story::why(&admin, transaction.context("the refusal names no transaction")?, "trust").await?;

    println!("\n== The metadata address is the same in both, and leads each to its own service only");
    for machine in [&linked, &stranger] {
        let who = whoami(helper, machine, None).await?;
        ensure!(who == machine.id, "{} is told to be {who}", machine.name);
        println!("   {:<14} asks 169.254.169.254 who it is: {who}", machine.name);
    }
    let stolen = identity(helper, &linked).await?;
    let status = whoami(helper, &stranger, Some(&stolen)).await?;
    ensure!(status == "401", "a token of another instance counted: {status}");
    println!("   carried into {}, an identity token of {} is nobody's: 401", stranger.name, linked.name);
    Ok(())
}

/// A request to the metadata service by the shell alone: neither curl nor anything else need be there. The first line of
/// the answer, and the body.
async fn ask(helper: &Helper, machine: &Machine, head: &str) -> anyhow::Result<(String, Value)> {
    let script = format!(
        "exec 3<>/dev/tcp/169.254.169.254/80; printf '{head}\\r\\nHost: 169.254.169.254\\r\\nConnection: close\\r\\n\\r\\n' >&3; cat <&3"
    );
    let said = helper.run(&machine.id, &["/bin/bash", "-c", &script], None).await?;
    let status = said.split_whitespace().nth(1).unwrap_or_default().to_owned();
    let body = said.split("\r\n\r\n").nth(1).and_then(|body| serde_json::from_str(body).ok());
    Ok((status, body.unwrap_or_default()))
}

/// An identity token of the instance.
async fn identity(helper: &Helper, machine: &Machine) -> anyhow::Result<String> {
    let head =
        "PUT /identity/v1/token?version=2025-08-26 HTTP/1.1\\r\\nMetadata-Flavor: ibm\\r\\nContent-Length: 0";
    let (status, body) = ask(helper, machine, head).await?;
    ensure!(status == "200", "{} got no identity: {status} {body}", machine.name);
    Ok(text(&body, "/access_token")?.to_owned())
}

/// Who the metadata service takes the instance for, by its own token or another; a refusal's status.
async fn whoami(helper: &Helper, machine: &Machine, token: Option<&str>) -> anyhow::Result<String> {
    let token = match token {
        Some(token) => token.to_owned(),
        None => identity(helper, machine).await?,
    };
    let head =
        format!("GET /metadata/v1/instance?version=2025-08-26 HTTP/1.1\\r\\nAuthorization: Bearer {token}");
    let (status, body) = ask(helper, machine, &head).await?;
    if status == "200" { Ok(text(&body, "/id")?.to_owned()) } else { Ok(status) }
}
