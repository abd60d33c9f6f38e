//! The form of a token request, read strictly: the form *is* the credential, so a parameter that is missing, empty or
//! given twice is refused and never falls back to something weaker.

use avouch_crypto::secret::SecretString;
use avouch_gate::{Error, Kind, Request, Result};

/// Most parameters of one request.
const MAX_PARAMETERS: usize = 64;

/// Parameters that mean something here. An empty value of any of them is refused; of others it is ignored, because
/// published clients send empty parameters of their own (`uaa_client_secret`).
const KNOWN: &[&str] = &[
    "grant_type",
    "response_type",
    "scope",
    "account",
    "bss_account",
    "apikey",
    "cr_token",
    "access_token",
    "refresh_token",
    "cookie",
    "profile_id",
    "profile_name",
    "profile_crn",
    "subject_token",
    "subject_token_type",
    "actor_token",
    "actor_token_type",
    "requested_token_type",
    "token",
];

/// The parameters of a request, each at most once.
pub struct Form {
    values: Vec<(String, SecretString)>,
}

impl std::fmt::Debug for Form {
    /// Names only: most values are credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.values.iter().map(|(name, _)| name)).finish()
    }
}

impl Form {
    /// Without a parameter.
    pub fn none() -> Self {
        Self { values: Vec::new() }
    }

    /// Reads body and query string.
    ///
    /// COMPAT: published samples put the parameters of the `POST` into the query string.
    ///
    /// # Errors
    /// `Invalid` for a parameter given twice, also once in each place, `Missing` for a known one that is empty.
    pub fn read(request: &Request) -> Result<Self> {
        if !request.body.is_empty() {
            let kind = request.header("content-type").unwrap_or_default();
            let kind = kind.split(';').next().unwrap_or_default().trim();
            if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
                return Err(Error::invalid(
                    "Content-Type",
                    "The content type must be 'application/x-www-form-urlencoded'.",
                ));
            }
        }
        let mut values = parse(&request.body)?;
        for (name, value) in parse(request.query.as_bytes())? {
            if values.iter().any(|(n, _)| *n == name) {
                return Err(given_twice(&name));
            }
            values.push((name, value));
        }
        for (name, value) in &values {
            if value.expose().is_empty() && KNOWN.contains(&name.as_str()) {
                return Err(Error::missing(name.clone()));
            }
        }
        Ok(Self { values })
    }

    /// A parameter, if it is there.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.expose().as_str())
            .filter(|v| !v.is_empty())
    }

    /// A parameter that must be there.
    ///
    /// # Errors
    /// `Missing`.
    pub fn required(&self, name: &'static str) -> Result<&str> {
        self.get(name).ok_or_else(|| Error::missing(name))
    }

    /// Refuses parameters that contradict the ones used.
    ///
    /// # Errors
    /// `Invalid` naming the parameter.
    pub fn refuse(&self, names: &[&'static str]) -> Result<()> {
        for name in names {
            if self.get(name).is_some() {
                return Err(Error::invalid(*name, format!("The parameter '{name}' cannot be used here.")));
            }
        }
        Ok(())
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<(String, SecretString)>> {
    let mut values: Vec<(String, SecretString)> = Vec::new();
    for (name, value) in form_urlencoded::parse(bytes) {
        if values.len() >= MAX_PARAMETERS {
            return Err(Error::invalid("body", "The request has too many parameters."));
        }
        if values.iter().any(|(n, _)| *n == name) {
            return Err(given_twice(&name));
        }
        values.push((name.into_owned(), SecretString::new(value.into_owned())));
    }
    Ok(values)
}

fn given_twice(name: &str) -> Error {
    let shown = KNOWN.iter().find(|k| **k == name).copied().unwrap_or("body");
    Error::new(Kind::Invalid, format!("A parameter is given more than once: '{shown}'.")).field(shown)
}
