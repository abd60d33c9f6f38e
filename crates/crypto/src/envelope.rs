//! Encryption at rest: every value under a fresh data key, every data key wrapped by a root key of the ring.
//!
//! A sealed value says which root key wrapped it, so root keys can be added and old values wrapped anew without touching the
//! payload. The caller binds each value to its place by `aad` (for example `secret|version`): a sealed value that is moved to
//! another row does not open there.
//!
//! ```text
//! 1 version = 1 | 8 root key id | 12 nonce | 48 data key under the root key | 12 nonce | payload under the data key, 16 tag
//! ```
//!
//! What it refuses: key files that are not regular files or that group or others may read; sealed values of an unknown version or
//! root key; and to say why a value did not open. Root keys never leave the ring but to its file.
//!
//! Wrapping draws random nonces; stay below 2³² values per root key by adding a key in time.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::digest;
use crate::rng::Random;
use crate::secret::{Secret, SecretBytes};

const VERSION: u8 = 1;
const ID_LEN: usize = 8;
const KEY_LEN: usize = 32;
const TAG_LEN: usize = 16;
const WRAPPED_LEN: usize = KEY_LEN + TAG_LEN;
const FILE_HEADER: &str = "avouch key ring 1";
/// A ring of a thousand keys is far below this.
const FILE_MAX: u64 = 128 * 1024;

/// Why the ring did not open, or a value did not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key file cannot be read or written.
    #[error("key file: {0}")]
    Io(#[from] io::Error),
    /// The key file is not a regular file, or group or others have rights on it.
    #[error("the key file must be a regular file that only its owner may read (mode 0600)")]
    Permissions,
    /// The key file has not the form of this version.
    #[error("the key file is damaged or of another version")]
    KeyFile,
    /// The sealed value is wrapped by a root key that is not in the ring.
    #[error("a sealed value needs root key {0}, which is not in the key ring")]
    UnknownKey(KeyId),
    /// Not a sealed value, changed since it was sealed, or sealed for another place.
    #[error("a sealed value does not open")]
    Sealed,
}

/// Name of a root key: random, says nothing about the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; ID_LEN]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&digest::hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

struct RootKey {
    id: KeyId,
    bytes: Secret<[u8; KEY_LEN]>,
    cipher: LessSafeKey,
}

/// The root keys of a deployment. The first is active: it wraps what is sealed from now on. All others only open.
///
/// ```
/// use std::sync::Arc;
/// use avouch_crypto::{KeyRing, SystemRandom};
/// let ring = KeyRing::ephemeral(Arc::new(SystemRandom));
/// let sealed = ring.seal(b"secret 1|version 1", b"the payload");
/// assert_eq!(ring.open(b"secret 1|version 1", &sealed).unwrap().expose(), b"the payload");
/// assert!(ring.open(b"secret 2|version 1", &sealed).is_err());
/// ```
pub struct KeyRing {
    keys: RwLock<Arc<[Arc<RootKey>]>>,
    path: Option<PathBuf>,
    rng: Arc<dyn Random>,
}

impl KeyRing {
    /// Reads the ring from its file, or makes a file with one new key when there is none. Of several processes that start at
    /// once, one makes the file and all read the same.
    ///
    /// A lost file is a new ring, which opens nothing of before: compare [`KeyRing::contains`] with what the store remembers.
    ///
    /// # Errors
    /// [`Error::Permissions`] when others could have read the keys, [`Error::KeyFile`] for a damaged file, [`Error::Io`].
    pub fn open_or_create(path: &Path, rng: Arc<dyn Random>) -> Result<KeyRing, Error> {
        let keys = match read_file(path) {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                let first = new_key(&*rng)?;
                match write_file(path, std::slice::from_ref(&first), &*rng, Mode::OnlyNew) {
                    Err(Error::Io(error)) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    other => other?,
                }
                read_file(path)?
            }
            other => other?,
        };
        Ok(KeyRing { keys: RwLock::new(keys.into()), path: Some(path.to_owned()), rng })
    }

    /// A ring with one new key that lives only in memory, for tests and throw-away servers.
    ///
    /// # Panics
    /// When the library cannot make a cipher of 32 random bytes, which does not happen.
    pub fn ephemeral(rng: Arc<dyn Random>) -> KeyRing {
        let Ok(key) = new_key(&*rng) else {
            // INVARIANT: a key has exactly the length that the cipher wants.
            panic!("no cipher for a key of the right length");
        };
        KeyRing { keys: RwLock::new(Arc::from(vec![key])), path: None, rng }
    }

    /// Encrypts `plain` under a fresh data key and binds it to `aad`. The result is `len(plain) + 97` bytes.
    ///
    /// # Panics
    /// When the library fails to encrypt, which it does only for payloads of 64 GiB.
    pub fn seal(&self, aad: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut data_key = Zeroizing::new([0u8; KEY_LEN]);
        self.rng.fill(&mut *data_key);
        let sealed = self.active().and_then(|root| {
            let mut out = wrap(&root, &data_key, &*self.rng)?;
            encrypt(&cipher(&data_key)?, &*self.rng, &payload_aad(aad), plain, &mut out)?;
            Ok(out)
        });
        match sealed {
            Ok(sealed) => sealed,
            // INVARIANT: the ring has an active key, all key lengths are right, and no payload reaches the limit of the cipher.
            Err(_) => panic!("sealing failed"),
        }
    }

    /// Decrypts a sealed value that was bound to `aad`.
    ///
    /// # Errors
    /// [`Error::UnknownKey`] when the root key is not in the ring, [`Error::Sealed`] for everything else.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<SecretBytes, Error> {
        let parts = Parts::of(sealed)?;
        let data_key = self.unwrap(&parts)?;
        decrypt(&cipher(&data_key)?, parts.payload_nonce, &payload_aad(aad), parts.payload)
    }

    /// The same value with its data key wrapped by the active root key. The payload is not touched, so `aad` is not needed.
    ///
    /// # Errors
    /// As [`KeyRing::open`]; a changed payload is found only when it is opened.
    pub fn rewrap(&self, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let parts = Parts::of(sealed)?;
        let data_key = self.unwrap(&parts)?;
        let mut out = wrap(&*self.active()?, &data_key, &*self.rng)?;
        out.extend_from_slice(parts.payload_nonce);
        out.extend_from_slice(parts.payload);
        Ok(out)
    }

    /// Adds a new root key, makes it active, and writes the file before it is used.
    ///
    /// # Errors
    /// [`Error::Io`]; the ring is then as before.
    pub fn add_key(&self) -> Result<KeyId, Error> {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let key = new_key(&*self.rng)?;
        let id = key.id;
        let all: Vec<_> = std::iter::once(key).chain(keys.iter().cloned()).collect();
        if let Some(path) = &self.path {
            write_file(path, &all, &*self.rng, Mode::Replace)?;
        }
        *keys = all.into();
        Ok(id)
    }

    /// Name of the root key that wraps what is sealed now.
    ///
    /// # Panics
    /// Never: a ring has at least one key.
    pub fn active_id(&self) -> KeyId {
        match self.active() {
            Ok(key) => key.id,
            // INVARIANT: every constructor makes or demands a first key, and none is ever removed.
            Err(_) => panic!("a key ring without keys"),
        }
    }

    /// True when values wrapped by this root key can be opened.
    pub fn contains(&self, id: KeyId) -> bool {
        self.find(id).is_some()
    }

    /// Names of all root keys, the active one first.
    pub fn key_ids(&self) -> Vec<KeyId> {
        self.all().iter().map(|key| key.id).collect()
    }

    fn all(&self) -> Arc<[Arc<RootKey>]> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn active(&self) -> Result<Arc<RootKey>, Error> {
        self.all().first().cloned().ok_or(Error::KeyFile)
    }

    fn find(&self, id: KeyId) -> Option<Arc<RootKey>> {
        self.all().iter().find(|key| key.id == id).cloned()
    }

    fn unwrap(&self, parts: &Parts<'_>) -> Result<Zeroizing<[u8; KEY_LEN]>, Error> {
        let root = self.find(parts.key_id).ok_or(Error::UnknownKey(parts.key_id))?;
        let bytes = decrypt(&root.cipher, parts.wrap_nonce, &wrap_aad(root.id), parts.wrapped)?;
        let mut data_key = Zeroizing::new([0u8; KEY_LEN]);
        if bytes.expose().len() != KEY_LEN {
            return Err(Error::Sealed);
        }
        data_key.copy_from_slice(bytes.expose());
        Ok(data_key)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyRing").field(&self.key_ids()).finish()
    }
}

/// Name of the root key that wraps a sealed value, for finding what is left under an old one.
///
/// # Errors
/// [`Error::Sealed`] when it is not a sealed value of a known version.
pub fn key_id_of(sealed: &[u8]) -> Result<KeyId, Error> {
    Parts::of(sealed).map(|parts| parts.key_id)
}

impl std::str::FromStr for KeyId {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        digest::unhex(text).and_then(|id| id.try_into().ok()).map(KeyId).ok_or(Error::KeyFile)
    }
}

struct Parts<'a> {
    key_id: KeyId,
    wrap_nonce: &'a [u8; NONCE_LEN],
    wrapped: &'a [u8],
    payload_nonce: &'a [u8; NONCE_LEN],
    payload: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(sealed: &'a [u8]) -> Result<Self, Error> {
        let split = || {
            let (version, rest) = sealed.split_first()?;
            let (key_id, rest) = rest.split_first_chunk::<ID_LEN>()?;
            let (wrap_nonce, rest) = rest.split_first_chunk::<NONCE_LEN>()?;
            let (wrapped, rest) = rest.split_first_chunk::<WRAPPED_LEN>()?;
            let (payload_nonce, payload) = rest.split_first_chunk::<NONCE_LEN>()?;
            let parts = Parts { key_id: KeyId(*key_id), wrap_nonce, wrapped, payload_nonce, payload };
            (*version == VERSION && payload.len() >= TAG_LEN).then_some(parts)
        };
        split().ok_or(Error::Sealed)
    }
}

// The two uses of the cipher have different labels, so that neither output can stand where the other belongs.
fn wrap_aad(id: KeyId) -> Vec<u8> {
    [b"avouch data key 1|".as_slice(), &id.0].concat()
}

fn payload_aad(aad: &[u8]) -> Vec<u8> {
    [b"avouch payload 1|".as_slice(), aad].concat()
}

fn cipher(key: &[u8; KEY_LEN]) -> Result<LessSafeKey, Error> {
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).map_err(|_| Error::Sealed)
}

/// Appends nonce and ciphertext with tag to `out`.
fn encrypt(
    key: &LessSafeKey,
    rng: &dyn Random,
    aad: &[u8],
    plain: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut nonce = [0u8; NONCE_LEN];
    rng.fill(&mut nonce);
    out.extend_from_slice(&nonce);
    // Room for the tag from the start: growing would leave a copy of the plain text behind.
    let mut buffer = Vec::with_capacity(plain.len() + TAG_LEN);
    buffer.extend_from_slice(plain);
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut buffer)
        .map_err(|_| Error::Sealed)?;
    out.append(&mut buffer);
    Ok(())
}

fn decrypt(
    key: &LessSafeKey,
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    sealed: &[u8],
) -> Result<SecretBytes, Error> {
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let plain = key
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut buffer)
        .map_err(|_| Error::Sealed)?;
    Ok(SecretBytes::from(&*plain))
}

fn wrap(root: &RootKey, data_key: &[u8; KEY_LEN], rng: &dyn Random) -> Result<Vec<u8>, Error> {
    let mut out = vec![VERSION];
    out.extend_from_slice(&root.id.0);
    encrypt(&root.cipher, rng, &wrap_aad(root.id), data_key, &mut out)?;
    Ok(out)
}

fn new_key(rng: &dyn Random) -> Result<Arc<RootKey>, Error> {
    let mut id = [0u8; ID_LEN];
    rng.fill(&mut id);
    let mut bytes = Zeroizing::new([0u8; KEY_LEN]);
    rng.fill(&mut *bytes);
    root_key(KeyId(id), &bytes)
}

fn root_key(id: KeyId, bytes: &[u8; KEY_LEN]) -> Result<Arc<RootKey>, Error> {
    Ok(Arc::new(RootKey { id, bytes: Secret::new(*bytes), cipher: cipher(bytes)? }))
}

fn read_file(path: &Path) -> Result<Vec<Arc<RootKey>>, Error> {
    // Before opening, which would wait on a pipe.
    if !fs::symlink_metadata(path)?.file_type().is_file() {
        return Err(Error::Permissions);
    }
    let file = File::open(path)?;
    // Asked of the open file, not of the path, which could have changed in between.
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o077 != 0 {
        return Err(Error::Permissions);
    }
    if metadata.len() > FILE_MAX {
        return Err(Error::KeyFile);
    }
    let mut text = Zeroizing::new(String::with_capacity(FILE_MAX as usize));
    file.take(FILE_MAX).read_to_string(&mut text).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => Error::KeyFile,
        _ => Error::Io(error),
    })?;
    parse_file(&text)
}

fn parse_file(text: &str) -> Result<Vec<Arc<RootKey>>, Error> {
    // A file without its last line break was cut off.
    let body = text.strip_suffix('\n').ok_or(Error::KeyFile)?;
    let mut lines = body.split('\n');
    if lines.next() != Some(FILE_HEADER) {
        return Err(Error::KeyFile);
    }
    let mut keys: Vec<Arc<RootKey>> = Vec::new();
    for line in lines {
        let (id, key) = line.split_once(' ').ok_or(Error::KeyFile)?;
        let bytes = digest::unhex(key).map(Zeroizing::new).ok_or(Error::KeyFile)?;
        let bytes: &[u8; KEY_LEN] = bytes.as_slice().try_into().map_err(|_| Error::KeyFile)?;
        let key = root_key(id.parse()?, bytes)?;
        if keys.iter().any(|other| other.id == key.id) {
            return Err(Error::KeyFile);
        }
        keys.push(key);
    }
    if keys.is_empty() { Err(Error::KeyFile) } else { Ok(keys) }
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    OnlyNew,
    Replace,
}

/// Writes beside the file, flushes, and moves it into place, so that a crash leaves the old ring or the new one.
fn write_file(path: &Path, keys: &[Arc<RootKey>], rng: &dyn Random, mode: Mode) -> Result<(), Error> {
    let mut text = Zeroizing::new(String::with_capacity(64 + keys.len() * 96));
    text.push_str(FILE_HEADER);
    text.push('\n');
    for key in keys {
        let hex = Zeroizing::new(digest::hex(key.bytes.expose()));
        text.push_str(&key.id.to_string());
        text.push(' ');
        text.push_str(&hex);
        text.push('\n');
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", crate::rng::hex(rng, 8)));
    let beside = PathBuf::from(beside);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        match mode {
            // Linking, unlike renaming, fails when the name is taken.
            Mode::OnlyNew => fs::hard_link(&beside, path)?,
            Mode::Replace => fs::rename(&beside, path)?,
        }
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    })();
    if mode == Mode::OnlyNew || written.is_err() {
        // Gone already after a rename; a left-over would hold keys nobody knows about.
        let _ = fs::remove_file(&beside);
    }
    Ok(written?)
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
