//! A server process on a throw-away folder, the command line as a process, and a cluster that publishes its keys.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use avouch_crypto::jws::{Alg, SigningKey, compact};
use serde_json::{Value, json};
use tempfile::TempDir;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_avouch");

/// Variables of whoever runs the tests that must not reach the program.
const FOREIGN: &[&str] = &[
    "AVOUCH_URL",
    "IBMCLOUD_API_KEY",
    "IBMCLOUD_CR_TOKEN",
    "IBMCLOUD_CR_PROFILE",
    "IBMCLOUD_TRACE",
    "SECRETS_MANAGER_URL",
    "IAM_ENDPOINT",
    "RESOURCE_CONTROLLER_ENDPOINT",
    "RESOURCE_MANAGER_ENDPOINT",
    "USER_MANAGEMENT_ENDPOINT",
    "CONTAINERS_ENDPOINT",
    "AVOUCH_ENDPOINT",
    "SSL_CERT_FILE",
];

/// What a command left behind.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// Fails unless the command succeeded.
    #[track_caller]
    pub fn ok(self) -> Ended {
        assert_eq!(self.code, 0, "{}{}", self.err, self.out);
        self
    }

    /// The data as JSON; nothing else may stand on stdout.
    #[track_caller]
    pub fn json(self) -> Value {
        let ended = self.ok();
        serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{e}: {}", ended.out))
    }
}

/// A server and a place for files.
pub struct World {
    server: Child,
    dir: TempDir,
    settings: Vec<(&'static str, String)>,
    pub url: String,
    pub account: String,
    pub owner: String,
    pub key: String,
}

impl World {
    /// Starts a server and logs the owner in.
    pub fn start() -> World {
        World::with(tempfile::tempdir().unwrap(), &[])
    }

    /// The same in a folder that is there, with settings as variables.
    pub fn with(dir: TempDir, settings: &[(&'static str, String)]) -> World {
        let data = dir.path().join("data");
        let settings = settings.to_vec();
        let server = serve(&data, &settings);
        let env = std::fs::read_to_string(data.join("bootstrap.env")).unwrap();
        let value = |name: &str| {
            let prefix = format!("{name}=");
            env.lines()
                .find_map(|l| l.strip_prefix(&prefix))
                .unwrap_or_else(|| panic!("no {name}"))
                .to_owned()
        };
        let world = World {
            server,
            url: value("AVOUCH_URL"),
            account: value("ACCOUNT_ID"),
            owner: value("IAM_ID"),
            key: value("IAM_APIKEY"),
            dir,
            settings,
        };
        world
            .owner()
            .run(&format!("login -a {} --apikey {} -r us-south -g default", world.url, world.key))
            .ok();
        world
    }

    /// Stops the server and lets it end by itself.
    pub fn stop(&mut self) {
        let id = self.server.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
        self.server.wait().unwrap();
    }

    /// Ends the server as the kernel would.
    pub fn kill(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    /// Starts the server again, at an address of its own.
    pub fn restart(&mut self) {
        let data = self.dir.path().join("data");
        self.server = serve(&data, &self.settings);
        let env = std::fs::read_to_string(data.join("bootstrap.env")).unwrap();
        self.url = env.lines().find_map(|l| l.strip_prefix("AVOUCH_URL=")).unwrap().to_owned();
    }

    /// Id of the server process.
    pub fn pid(&self) -> u32 {
        self.server.id()
    }

    /// Who logged in at the start.
    pub fn owner(&self) -> User<'_> {
        self.user("owner")
    }

    /// Somebody with a home of his own.
    pub fn user(&self, name: &str) -> User<'_> {
        let home = self.dir.path().join(name);
        std::fs::create_dir_all(&home).unwrap();
        User { world: self, home, env: Vec::new() }
    }

    /// A file for `@file` options.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

fn serve(data: &Path, settings: &[(&'static str, String)]) -> Child {
    let mut server = Command::new(PROGRAM)
        .args([OsStr::new("server"), OsStr::new("--data"), data.as_os_str()])
        .args(["--listen", "127.0.0.1:0"])
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
    let listens = lines.any(|line| {
        let line = line.unwrap();
        said.push_str(&line);
        line.contains("listens on")
    });
    assert!(listens, "the server did not start: {said}");
    std::thread::spawn(move || lines.for_each(drop));
    server
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The command line of one person.
pub struct User<'w> {
    world: &'w World,
    home: PathBuf,
    env: Vec<(&'static str, String)>,
}

impl User<'_> {
    /// With a variable.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.env.push((name, value.to_owned()));
        self
    }

    /// The state file.
    pub fn state(&self) -> PathBuf {
        self.home.join(".bluemix/config.json")
    }

    /// Runs a line as a script would: without a terminal.
    #[track_caller]
    pub fn run(&self, line: &str) -> Ended {
        let output = self.command(line).output().unwrap();
        Ended {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// A line that is not started yet.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        for name in FOREIGN {
            command.env_remove(name);
        }
        command
            .args(words(line))
            .env("IBMCLOUD_HOME", &self.home)
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .current_dir(self.world.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs a line for its data.
    #[track_caller]
    pub fn json(&self, line: &str) -> Value {
        self.run(&format!("{line} --output json")).json()
    }
}

/// Quotes keep words together.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|w| !w.is_empty());
    words
}

/// A cluster: an API server that publishes issuer and keys to its administrator, and mints tokens.
pub struct Cluster {
    key: SigningKey,
    address: String,
}

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const ADMIN: &str = "admin-token";

impl Cluster {
    /// Starts the API server.
    pub fn start() -> Cluster {
        let key = SigningKey::generate(Alg::ES256).unwrap();
        let jwks = json!({"keys": [key.jwk("k1")]}).to_string();
        let discovery = json!({"issuer": ISSUER, "jwks_uri": "https://elsewhere/openid/v1/jwks"}).to_string();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = vec![0; 8192];
                let n = stream.read(&mut request).unwrap();
                let request = String::from_utf8_lossy(&request[..n]).into_owned();
                let (status, body) = match request.split(' ').nth(1) {
                    _ if !request.contains(ADMIN) => ("403 Forbidden", "{}"),
                    Some("/.well-known/openid-configuration") => ("200 OK", discovery.as_str()),
                    Some("/openid/v1/jwks") => ("200 OK", jwks.as_str()),
                    _ => ("404 Not Found", "{}"),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
            }
        });
        Cluster { key, address }
    }

    /// A kubeconfig of somebody with this token; of the administrator if none is given.
    pub fn kubeconfig(&self, token: Option<&str>) -> String {
        let token = token.unwrap_or(ADMIN);
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- name: c\n  context: {{cluster: c, user: u}}\n\
             clusters:\n- name: c\n  cluster: {{server: '{}'}}\nusers:\n- name: u\n  user: {{token: {token}}}\n",
            self.address
        )
    }

    /// What the kubelet puts into a pod.
    #[allow(clippy::disallowed_methods)] // the pod's clock
    pub fn token(&self, namespace: &str, name: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let claims = json!({
            "iss": ISSUER, "aud": ["iam"], "iat": now, "nbf": now, "exp": now + 3600,
            "jti": format!("{namespace}-{name}"), "sub": format!("system:serviceaccount:{namespace}:{name}"),
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": {"name": name, "uid": "8a2a5ad0-9f4d-4b6a-9f37-000000000001"},
                "pod": {"name": format!("{name}-1"), "uid": "8a2a5ad0-9f4d-4b6a-9f37-000000000002"},
            },
        });
        compact(&self.key, "k1", &claims)
    }
}

/// Permissions of a file.
pub fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
