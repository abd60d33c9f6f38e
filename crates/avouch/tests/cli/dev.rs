//! The throw-away server, as somebody tries it who has read nothing.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::world::PROGRAM;

struct Dev(Child);

impl Drop for Dev {
    fn drop(&mut self) {
        // Its folder goes with it only when it may end by itself.
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

#[test]
fn what_dev_prints_can_be_pasted_and_shows_the_secret_to_the_pod() {
    use std::os::unix::ffi::OsStrExt as _;
    let elsewhere = tempfile::tempdir().unwrap();
    let mut child = Command::new(PROGRAM)
        .args(["dev", "--listen", "127.0.0.1:0"])
        // What is set for a server that stays is not touched, and what belongs to nobody here may be anything.
        .env("AVOUCH_STORE", "postgres://nobody@127.0.0.1:1/none")
        .env("AVOUCH_KEYRING", elsewhere.path().join("keyring"))
        .env("AVOUCH_PUBLIC_URL", "https://avouch.example.test")
        .env("AVOUCH_TLS_CERT", "/nowhere/cert.pem")
        .env("UNREADABLE", std::ffi::OsStr::from_bytes(b"\xff\xfe"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (out, said) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let dev = Dev(child);
    let mut said = BufReader::new(said).lines().map(Result::unwrap);
    assert!(said.any(|line| line.contains("Try next")), "it ended before it said what to do");
    let pasted: Vec<String> = said.by_ref().take(5).map(|line| line.trim().to_owned()).collect();
    let mut variables = BufReader::new(out).lines().map(Result::unwrap);
    let url = variables.find(|line| line.starts_with("SECRETS_MANAGER_URL=")).unwrap();
    assert!(
        url.starts_with("SECRETS_MANAGER_URL=http://127.0.0.1:") && url.contains("/secrets-manager/"),
        "{url}"
    );

    let home = tempfile::tempdir().unwrap();
    let ended = Command::new("sh")
        .args(["-ec", &pasted.join("\n")])
        .env("IBMCLOUD_HOME", home.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{pasted:?}: {err}");
    assert!(out.contains("checkout") && out.contains("postgres://"), "{out}");
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    // The person's own session was not touched.
    assert!(!home.path().join(".bluemix").exists());
    drop(dev);
}
