//! The payload of a version. No `Debug`, no `Serialize`: it leaves only through [`Payload::show`] and [`Payload::bytes`].

use avouch_crypto::secret::{SecretBytes, SecretString};
use avouch_gate::{Ctx, Error, Result};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::json::SecretJson;
use crate::passwords::Policy;
use crate::secrets::SecretType;

/// Longest text of an arbitrary secret, characters.
const TEXT: usize = 1_000_000;
/// Largest object of a key-value secret, bytes of JSON.
const OBJECT: usize = 512 * 1024;

/// Payload members of a request.
#[derive(Deserialize, Default)]
pub struct Given {
    payload: Option<SecretString>,
    username: Option<String>,
    password: Option<SecretString>,
    data: Option<SecretJson>,
}

/// A payload in clear.
pub enum Payload {
    /// Any text.
    Text(SecretString),
    /// A user name with its password.
    Login(String, SecretString),
    /// A JSON object.
    Object(SecretJson),
}

impl Payload {
    /// The payload of a new secret.
    ///
    /// # Errors
    /// `Missing` or `Invalid` naming the member.
    pub fn first(ctx: &Ctx, kind: SecretType, given: Given, policy: Policy) -> Result<Self> {
        match kind {
            SecretType::Arbitrary => text(given.payload),
            SecretType::Kv => object(given.data),
            SecretType::UsernamePassword => {
                let user =
                    given.username.filter(|u| !u.is_empty()).ok_or_else(|| Error::missing("username"))?;
                if !(2..=64).contains(&user.chars().count()) || user.chars().any(char::is_control) {
                    return Err(Error::invalid(
                        "username",
                        "The property 'username' must have 2 to 64 characters.",
                    ));
                }
                Ok(Payload::Login(user, password(ctx, given.password, policy)?))
            }
        }
    }

    /// The payload that follows this one; the user name stays.
    ///
    /// # Errors
    /// `Missing` or `Invalid` naming the member.
    pub fn following(&self, ctx: &Ctx, given: Given, policy: Policy) -> Result<Self> {
        match self {
            Payload::Text(_) => text(given.payload),
            Payload::Object(_) => object(given.data),
            Payload::Login(user, _) => {
                Ok(Payload::Login(user.clone(), password(ctx, given.password, policy)?))
            }
        }
    }

    /// Puts the payload into an answer.
    pub fn show(&self, out: &mut Map<String, Value>) {
        match self {
            Payload::Text(t) => {
                out.insert("payload".into(), json!(t.expose()));
            }
            Payload::Login(user, password) => {
                out.insert("username".into(), json!(user));
                out.insert("password".into(), json!(password.expose()));
            }
            Payload::Object(data) => {
                out.insert("data".into(), data.expose().clone());
            }
        }
    }

    /// What is sealed.
    ///
    /// # Errors
    /// `Internal`, never in practice.
    pub fn bytes(&self) -> Result<SecretBytes> {
        let mut out = Map::new();
        self.show(&mut out);
        SecretJson::new(Value::Object(out)).bytes().map(SecretBytes::new)
    }

    /// Reads what was sealed.
    ///
    /// # Errors
    /// `Internal` for anything that [`Payload::bytes`] does not write.
    pub fn read(plain: &SecretBytes) -> Result<Self> {
        let bad = || Error::internal("a payload has no known shape");
        let given: Given = serde_json::from_slice(plain.expose()).map_err(|_| bad())?;
        match given {
            Given { payload: Some(text), .. } => Ok(Payload::Text(text)),
            Given { username: Some(user), password: Some(password), .. } => {
                Ok(Payload::Login(user, password))
            }
            Given { data: Some(data), .. } => Ok(Payload::Object(data)),
            _ => Err(bad()),
        }
    }
}

fn text(given: Option<SecretString>) -> Result<Payload> {
    let text = given.filter(|t| !t.expose().is_empty()).ok_or_else(|| Error::missing("payload"))?;
    if text.expose().chars().count() > TEXT {
        return Err(Error::invalid("payload", "The property 'payload' is longer than 1000000 characters."));
    }
    Ok(Payload::Text(text))
}

fn object(given: Option<SecretJson>) -> Result<Payload> {
    let data = given.ok_or_else(|| Error::missing("data"))?;
    if data.expose().as_object().is_none_or(Map::is_empty) {
        return Err(Error::invalid("data", "The property 'data' must be an object with at least one key."));
    }
    if data.size() > OBJECT {
        return Err(Error::invalid("data", "The property 'data' is larger than 512 KB."));
    }
    Ok(Payload::Object(data))
}

fn password(ctx: &Ctx, given: Option<SecretString>, policy: Policy) -> Result<SecretString> {
    match given.filter(|p| !p.expose().is_empty()) {
        None => Ok(policy.generate(ctx.app().rng.as_ref())),
        Some(p) if (6..=256).contains(&p.expose().chars().count()) => Ok(p),
        Some(_) => Err(Error::invalid("password", "The property 'password' must have 6 to 256 characters.")),
    }
}
