//! What is kept between two commands: address, session, targets. One file, readable by its owner only, because it
//! holds the session's tokens. Refuses to be written anywhere but next to its temporary file, by rename, so that a
//! crash leaves the old or the new state and never half of one.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::failure::{Result, failed};

/// Something with an id and a name that commands aim at.
#[derive(Serialize, Deserialize, Default, Clone, PartialEq, Eq, Debug)]
#[serde(rename_all = "PascalCase", default)]
pub struct Named {
    /// Id.
    #[serde(rename = "GUID")]
    pub guid: String,
    /// Name.
    pub name: String,
}

/// The tokens of a session. No `Debug`: they are secret.
#[derive(Serialize, Deserialize, Default, Clone)]
#[serde(default)]
pub struct Tokens {
    /// `Bearer …`; empty when nobody is logged in.
    #[serde(rename = "IAMToken")]
    pub access: String,
    /// Empty when the session cannot be prolonged.
    #[serde(rename = "IAMRefreshToken")]
    pub refresh: String,
}

/// Content of the state file. No `Debug`: it holds tokens.
#[derive(Serialize, Deserialize, Default, Clone)]
#[serde(rename_all = "PascalCase", default)]
pub struct Config {
    /// Base address of the server.
    #[serde(rename = "APIEndpoint")]
    pub endpoint: String,
    /// Targeted region.
    pub region: String,
    /// The session.
    #[serde(flatten)]
    pub tokens: Tokens,
    /// Targeted account.
    pub account: Named,
    /// Targeted resource group.
    pub resource_group: Named,
    /// The session from before a trusted profile was assumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original: Option<Tokens>,
    /// Certificates of the server are not checked.
    #[serde(rename = "SSLDisabled")]
    pub skip_tls: bool,
    /// Seconds; 0 = default.
    #[serde(rename = "HTTPTimeout")]
    pub http_timeout: u64,
    /// `true`, `false` or a file.
    pub trace: String,
    /// `true` or `false`.
    pub color: String,
    /// Language of messages; kept, not used.
    pub locale: String,
    /// `true` or `false`; kept, not used.
    pub check_version: String,
    /// Whatever another program keeps here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The state file and its content.
pub struct State {
    home: PathBuf,
    dir: PathBuf,
    /// As it was read.
    read: Map<String, Value>,
    /// Content.
    pub config: Config,
}

/// Only one command at a time writes the state, or spends what works once. Ends with the value.
pub struct Turn(#[allow(dead_code, reason = "held for its lock")] File);

impl State {
    /// Reads the state below `home`; a missing file is an empty state.
    pub fn open(home: &Path) -> Result<State> {
        let dir = home.join(".bluemix");
        let read: Map<String, Value> = read(&dir.join("config.json"))?.unwrap_or_default();
        let config = serde_json::from_value(Value::Object(read.clone())).map_err(|_| {
            failed(format!("{} is damaged. Remove it and log in again.", dir.join("config.json").display()))
        })?;
        Ok(State { home: home.to_owned(), dir, read, config })
    }

    /// Waits until no other command writes.
    pub fn turn(&self) -> Result<Turn> {
        let path = self.dir.join("lock");
        make_folder(&self.dir)
            .and_then(|()| {
                OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)
            })
            .and_then(|file| file.lock().map(|()| Turn(file)))
            .map_err(|e| failed(format!("Cannot write {}: {e}.", path.display())))
    }

    /// Takes what other commands wrote since.
    pub fn read_again(&mut self) -> Result<()> {
        *self = State::open(&self.home)?;
        Ok(())
    }

    /// Where it is kept.
    pub fn path(&self) -> PathBuf {
        self.dir.join("config.json")
    }

    /// Writes what this command changed; what others wrote since stays.
    pub fn save(&mut self) -> Result<()> {
        let _turn = self.turn()?;
        self.save_in_turn()
    }

    /// The same for who has the turn already.
    pub fn save_in_turn(&mut self) -> Result<()> {
        let path = self.path();
        let Ok(Value::Object(ours)) = serde_json::to_value(&self.config) else {
            return Err(failed("The state cannot be written as JSON."));
        };
        let mut there: Map<String, Value> = read(&path)?.unwrap_or_default();
        for (key, value) in &ours {
            if self.read.get(key) != Some(value) {
                there.insert(key.clone(), value.clone());
            }
        }
        for key in self.read.keys().filter(|key| !ours.contains_key(*key)) {
            there.remove(key);
        }
        // Nobody else writes now: what lies beside the file was left by a command that was killed.
        for left in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if left.file_name().to_str().is_some_and(|name| name.starts_with("config.json.")) {
                let _ = fs::remove_file(left.path());
            }
        }
        write(&self.dir, "config.json", &there)?;
        self.read = there;
        Ok(())
    }

    /// Ends the session; address and settings stay.
    pub fn forget_session(&mut self) {
        self.config.tokens = Tokens::default();
        self.config.original = None;
        self.config.account = Named::default();
        self.config.resource_group = Named::default();
    }

    /// Reads what a built-in plug-in keeps.
    pub fn plugin(&self, name: &str) -> Result<Map<String, Value>> {
        Ok(read(&self.plugin_dir(name).join("config.json"))?.unwrap_or_default())
    }

    /// Writes what a built-in plug-in keeps.
    pub fn save_plugin(&self, name: &str, values: &Map<String, Value>) -> Result<()> {
        write(&self.plugin_dir(name), "config.json", values)
    }

    fn plugin_dir(&self, name: &str) -> PathBuf {
        self.dir.join("plugins").join(name)
    }
}

/// Where the state lives: `IBMCLOUD_HOME`, else the home folder.
pub fn home() -> Result<PathBuf> {
    ["IBMCLOUD_HOME", "HOME"]
        .iter()
        .filter_map(std::env::var_os)
        .find(|v| !v.is_empty())
        .map(PathBuf::from)
        .ok_or_else(|| failed("No home folder. Set IBMCLOUD_HOME."))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(format!("Cannot read {}: {e}.", path.display()))),
    };
    // The parser's own text could quote a token.
    serde_json::from_slice(&text).map(Some).map_err(|e| {
        failed(format!("{} is damaged at line {}. Remove it and log in again.", path.display(), e.line()))
    })
}

fn write<T: Serialize>(dir: &Path, name: &str, value: &T) -> Result<()> {
    let path = dir.join(name);
    let text =
        serde_json::to_vec_pretty(value).map_err(|_| failed("The state cannot be written as JSON."))?;
    make_folder(dir)
        .and_then(|()| private_file(&path, &text))
        .map_err(|e| failed(format!("Cannot write {}: {e}.", path.display())))
}

fn make_folder(dir: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// A name beside `path` that nobody else takes, in whatever process.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{:016x}", RandomState::new().build_hasher().finish()));
    PathBuf::from(name)
}

/// Writes a file that only its owner may read, replacing what was there in one step; behind a symbolic link, what it
/// points at.
pub fn private_file(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let real = fs::canonicalize(path);
    let path = real.as_deref().unwrap_or(path);
    let temporary = beside(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let done =
        file.write_all(content).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temporary, path));
    if done.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    done
}

/// A file for something that exists only once: its place is taken before that is made, and given back unless it is filled.
/// Only its owner may read it.
pub struct Reserved {
    path: PathBuf,
    /// Where the content goes first, when a file is replaced.
    written: PathBuf,
    file: File,
    kept: bool,
}

impl Reserved {
    /// Takes the place. A file that is there already is replaced only if `replace`, and not before the new one is whole.
    pub fn take(path: &Path, replace: bool) -> std::io::Result<Reserved> {
        let written = if replace { beside(path) } else { path.to_owned() };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&written)?;
        Ok(Reserved { path: path.to_owned(), written, file, kept: false })
    }

    /// Writes the content.
    pub fn fill(mut self, content: &[u8]) -> std::io::Result<()> {
        self.file.write_all(content)?;
        self.file.sync_all()?;
        if self.written != self.path {
            fs::rename(&self.written, &self.path)?;
        }
        self.kept = true;
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.written);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn state_is_private_and_keeps_what_it_does_not_know() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join(".bluemix");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("config.json"), r#"{"APIEndpoint":"http://a","Strange":{"x":1}}"#).unwrap();
        let mut state = State::open(home.path()).unwrap();
        assert_eq!(state.config.endpoint, "http://a");
        state.config.tokens.access = "Bearer x".into();
        state.save().unwrap();
        let mode = fs::metadata(dir.join("config.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = fs::read_to_string(dir.join("config.json")).unwrap();
        assert!(text.contains("Strange") && text.contains("IAMToken"), "{text}");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 2);
    }

    #[test]
    fn damaged_state_is_refused_without_quoting_it() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join(".bluemix");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("config.json"), r#"{"IAMToken": SECRET}"#).unwrap();
        let e = State::open(home.path()).err().unwrap().text();
        assert!(e.contains("damaged") && !e.contains("SECRET"), "{e}");
    }

    #[test]
    fn logout_keeps_the_address() {
        let home = tempfile::tempdir().unwrap();
        let mut state = State::open(home.path()).unwrap();
        state.config.endpoint = "http://a".into();
        state.config.tokens.refresh = "r".into();
        state.forget_session();
        assert_eq!((state.config.endpoint.as_str(), state.config.tokens.refresh.as_str()), ("http://a", ""));
    }

    #[test]
    fn a_reserved_place_is_given_back_unless_it_is_filled() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("key");
        let count = || fs::read_dir(home.path()).unwrap().count();
        let place = Reserved::take(&path, false).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(place);
        assert_eq!(count(), 0);
        Reserved::take(&path, false).unwrap().fill(b"first").unwrap();
        assert_eq!(Reserved::take(&path, false).err().unwrap().kind(), std::io::ErrorKind::AlreadyExists);
        drop(Reserved::take(&path, true).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"first");
        Reserved::take(&path, true).unwrap().fill(b"second").unwrap();
        assert_eq!((fs::read(&path).unwrap().as_slice(), count()), (b"second".as_slice(), 1));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
