//! What is kept between two commands: address, session, targets. One file, readable by its owner only, because it
//! holds the session's tokens. Refuses to be written anywhere but next to its temporary file, by rename, so that a
//! crash leaves the old or the new state and never half of one.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::failure::{Result, failed};
use crate::output::say;

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
    /// The content as it was read.
    before: Map<String, Value>,
    /// Content.
    pub config: Config,
}

/// What belongs together: a token goes to the server that gave it only, and account and resource group are that server's.
const SESSION: [&str; 7] =
    ["APIEndpoint", "SSLDisabled", "IAMToken", "IAMRefreshToken", "Account", "ResourceGroup", "Original"];
/// Of these, what is another session when it changes.
const IDENTITY: [&str; 4] = ["APIEndpoint", "IAMToken", "IAMRefreshToken", "Original"];
/// When another command holds the turn: how often to look, when to say so, when to give up.
const LOOK: Duration = Duration::from_millis(20);
const SAY: u32 = 100;
const GIVE_UP: u32 = 6000;

/// Only one command at a time writes the state, or spends what works once. Ends with the value.
pub struct Turn(#[allow(dead_code, reason = "held for its lock")] File);

impl State {
    /// Reads the state below `home`; a missing file is an empty state.
    pub fn open(home: &Path) -> Result<State> {
        let dir = home.join(".bluemix");
        let there: Map<String, Value> = read(&dir.join("config.json"))?.unwrap_or_default();
        let config = serde_json::from_value(Value::Object(there)).map_err(|_| {
            failed(format!("{} is damaged. Remove it and log in again.", dir.join("config.json").display()))
        })?;
        Ok(State { home: home.to_owned(), dir, before: fields(&config)?, config })
    }

    /// Waits until no other command writes; not for ever, because one may have been stopped in the middle.
    pub fn turn(&self) -> Result<Turn> {
        let path = self.dir.join("lock");
        let refused = |e: std::io::Error| failed(format!("Cannot write {}: {e}.", path.display()));
        let file = make_folder(&self.dir)
            .and_then(|()| {
                OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)
            })
            .map_err(refused)?;
        for tried in 0..GIVE_UP {
            match file.try_lock() {
                Ok(()) => return Ok(Turn(file)),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(e)) => return Err(refused(e)),
            }
            if tried == SAY {
                say(&format!("Waiting for another command that holds {}.\n", path.display()));
            }
            std::thread::sleep(LOOK);
        }
        Err(failed(format!("Another command holds {} and does not end. Nothing was done.", path.display())))
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
        let ours = fields(&self.config)?;
        let mut there: Map<String, Value> = read(&self.path())?.unwrap_or_default();
        self.merge(&ours, &mut there)?;
        // Nobody else writes now: what lies beside the file was left by a command that was killed.
        for left in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if left.file_name().to_str().is_some_and(left_over) {
                let _ = fs::remove_file(left.path());
            }
        }
        write(&self.dir, "config.json", &there)?;
        self.before = ours;
        Ok(())
    }

    /// Puts what this command changed over what is there. A session is replaced as a whole; what is only aimed at within
    /// one is not written into another.
    fn merge(&self, ours: &Map<String, Value>, there: &mut Map<String, Value>) -> Result<()> {
        let mut changed: Vec<&str> = ours.keys().chain(self.before.keys()).map(String::as_str).collect();
        changed.retain(|key| ours.get(*key) != self.before.get(*key));
        if changed.iter().any(|key| IDENTITY.contains(key)) {
            changed.extend(SESSION);
        } else if changed.iter().any(|key| SESSION.contains(key)) {
            let now: Config = serde_json::from_value(Value::Object(there.clone()))
                .map_err(|_| failed(format!("{} is damaged.", self.path().display())))?;
            let now = fields(&now)?;
            let other = |key: &&str| now.get(*key) != self.before.get(*key);
            if ["APIEndpoint", "Account", "Original"].iter().any(other) {
                return Err(failed("Another command has changed the session meanwhile. Try again."));
            }
        }
        for key in changed {
            match ours.get(key) {
                Some(value) => there.insert(key.to_owned(), value.clone()),
                None => there.remove(key),
            };
        }
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

fn fields(config: &Config) -> Result<Map<String, Value>> {
    match serde_json::to_value(config) {
        Ok(Value::Object(fields)) => Ok(fields),
        _ => Err(failed("The state cannot be written as JSON.")),
    }
}

/// True for the names that [`beside`] makes; other files beside the state are their owner's.
fn left_over(name: &str) -> bool {
    let random = name.strip_prefix("config.json.");
    random.is_some_and(|r| r.len() == 16 && r.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
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

    fn state(home: &Path, change: impl FnOnce(&mut Config)) -> State {
        let mut state = State::open(home).unwrap();
        change(&mut state.config);
        state
    }

    #[test]
    fn a_session_is_written_as_a_whole_and_settings_beside_it_stay() {
        let home = tempfile::tempdir().unwrap();
        let login = |c: &mut Config, server: &str| {
            c.endpoint = format!("http://{server}");
            c.tokens = Tokens { access: format!("Bearer {server}"), refresh: server.into() };
            c.account.guid = server.into();
        };
        state(home.path(), |c| login(c, "a")).save().unwrap();
        // Both begin with the session at a; the one that ends last has the whole session.
        let mut renewed = state(home.path(), |c| c.tokens.access = "Bearer a2".into());
        let mut aimed = state(home.path(), |c| c.resource_group.guid = "group-of-a".into());
        let mut setting = state(home.path(), |c| c.locale = "de_DE".into());
        state(home.path(), |c| login(c, "b")).save().unwrap();
        setting.save().unwrap();
        assert!(aimed.save().unwrap_err().text().contains("Another command"));
        let now = State::open(home.path()).unwrap().config;
        assert_eq!((now.tokens.access.as_str(), now.endpoint.as_str()), ("Bearer b", "http://b"));
        assert_eq!((now.locale.as_str(), now.resource_group.guid.as_str()), ("de_DE", ""));
        renewed.save().unwrap();
        let now = State::open(home.path()).unwrap().config;
        assert_eq!((now.tokens.access.as_str(), now.endpoint.as_str()), ("Bearer a2", "http://a"));
        assert_eq!((now.account.guid.as_str(), now.locale.as_str()), ("a", "de_DE"));
    }

    #[test]
    fn the_first_setting_does_not_undo_a_login_made_meanwhile() {
        let home = tempfile::tempdir().unwrap();
        let mut setting = state(home.path(), |c| c.locale = "de_DE".into());
        state(home.path(), |c| c.tokens.access = "Bearer x".into()).save().unwrap();
        setting.save().unwrap();
        assert_eq!(State::open(home.path()).unwrap().config.tokens.access, "Bearer x");
    }

    #[test]
    fn only_what_a_killed_command_left_is_removed_beside_the_state() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join(".bluemix");
        fs::create_dir(&dir).unwrap();
        let left = beside(&dir.join("config.json"));
        let kept = [
            "config.json.bak",
            "config.json.2026",
            "config.json.0123456789ABCDEF",
            "config.json.0123456789abcdef.old",
        ];
        for name in kept {
            fs::write(dir.join(name), "mine").unwrap();
        }
        fs::write(&left, "").unwrap();
        state(home.path(), |c| c.locale = "de_DE".into()).save().unwrap();
        assert!(!left.exists());
        assert!(kept.iter().all(|name| dir.join(name).exists()));
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
