//! Bodies of requests, member by member: what is wrong is told by its full name, and what nobody asked for is refused.

use std::net::Ipv4Addr;

use avouch_gate::{Error, Request, Result};
use ipnet::Ipv4Net;
use serde_json::{Map, Value};

/// Longest name of a member that an error repeats.
const NAME_TOLD: usize = 64;

/// The members of one object of a body that were not read yet.
#[derive(Debug)]
pub struct Fields {
    /// Where the object stands: empty, or `member.` and deeper.
    at: String,
    map: Map<String, Value>,
    patch: bool,
}

/// How a request names another object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Full name of the member, for errors.
    pub field: String,
    /// `id`, `crn`, `href` or `name`.
    pub by: &'static str,
    /// The text given.
    pub text: String,
}

impl Identity {
    /// The id that it would be, without a look at what surrounds it.
    pub fn id(&self) -> &str {
        match self.by {
            "crn" => self.text.rsplit(':').next().unwrap_or_default(),
            "href" => self.text.rsplit('/').next().unwrap_or_default(),
            _ => &self.text,
        }
    }

    /// The name, where catalogues are meant: a link to an entry ends with its name.
    pub fn name(&self) -> &str {
        self.id()
    }
}

/// The change that a patch makes to one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<T> {
    /// The member is not there: it stays as it is.
    Keep,
    /// `null`.
    Remove,
    /// A new value.
    Set(T),
}

impl<T> Change<T> {
    /// The new value of a member that can be taken away.
    pub fn apply_to(self, present: &mut Option<T>) {
        match self {
            Change::Keep => {}
            Change::Remove => *present = None,
            Change::Set(value) => *present = Some(value),
        }
    }
}

impl Fields {
    /// The whole body of a creation: `null` counts as absent.
    ///
    /// # Errors
    /// `Invalid` when it is no JSON object.
    pub fn of(request: &Request) -> Result<Self> {
        Self::read(request, false)
    }

    /// The body of a merge patch: `null` takes away.
    ///
    /// # Errors
    /// `Invalid` when it is no JSON object.
    pub fn patch(request: &Request) -> Result<Self> {
        Self::read(request, true)
    }

    fn read(request: &Request, patch: bool) -> Result<Self> {
        // Whatever the content type: published command lines send JSON as a form.
        match request.json_value().map_err(|e| e.code("invalid_request"))? {
            Value::Object(map) => Ok(Self { at: String::new(), map, patch }),
            _ => {
                Err(Error::invalid("body", "The request body must be a JSON object.").code("invalid_request"))
            }
        }
    }

    /// No members, for what has defaults.
    pub fn none() -> Self {
        Self { at: String::new(), map: Map::new(), patch: false }
    }

    /// Whether nothing was sent, or all of it is read.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Whether the member is there, with any value.
    pub fn has(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|v| !v.is_null())
    }

    /// Full name of a member.
    pub fn name(&self, name: &str) -> String {
        format!("{}{name}", self.at)
    }

    fn wrong(&self, name: &str, what: &str) -> Error {
        let name = self.name(name);
        Error::invalid(name.clone(), format!("The property '{name}' must be {what}."))
    }

    /// Takes a member; `null` is refused in a patch, where it means more than absence.
    fn take(&mut self, name: &str) -> Result<Option<Value>> {
        match self.map.shift_remove(name) {
            Some(Value::Null) if self.patch => Err(self.wrong(name, "given with a value")),
            Some(Value::Null) | None => Ok(None),
            Some(value) => Ok(Some(value)),
        }
    }

    /// A text.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn text(&mut self, name: &str) -> Result<Option<String>> {
        match self.take(name)? {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "a text")),
        }
    }

    /// A text that is one of a few words.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn word(&mut self, name: &str, words: &[&'static str]) -> Result<Option<&'static str>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match words.iter().find(|w| **w == text) {
            Some(word) => Ok(Some(*word)),
            None => Err(self.wrong(name, &format!("one of: {}", words.join(", ")))),
        }
    }

    /// Yes or no.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn flag(&mut self, name: &str) -> Result<Option<bool>> {
        match self.take(name)? {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(self.wrong(name, "true or false")),
        }
    }

    /// A number within bounds.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn number(&mut self, name: &str, min: i64, max: i64) -> Result<Option<i64>> {
        let Some(value) = self.take(name)? else { return Ok(None) };
        match value.as_i64() {
            Some(n) if (min..=max).contains(&n) => Ok(Some(n)),
            _ => Err(self.wrong(name, &format!("a number from {min} to {max}"))),
        }
    }

    /// An IPv4 address.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn address(&mut self, name: &str) -> Result<Option<Ipv4Addr>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| self.wrong(name, "an IPv4 address"))
    }

    /// An IPv4 network without bits beside its mask.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn network(&mut self, name: &str) -> Result<Option<Ipv4Net>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match text.parse::<Ipv4Net>() {
            Ok(net) if net.trunc() == net && text.contains('/') => Ok(Some(net)),
            _ => Err(self.wrong(name, "an IPv4 network in CIDR form")),
        }
    }

    /// An object inside.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn object(&mut self, name: &str) -> Result<Option<Fields>> {
        let at = format!("{}.", self.name(name));
        match self.take(name)? {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Fields { at, map, patch: self.patch })),
            Some(_) => Err(self.wrong(name, "an object")),
        }
    }

    /// A list of objects.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn objects(&mut self, name: &str) -> Result<Option<Vec<Fields>>> {
        let Some(value) = self.take(name)? else { return Ok(None) };
        let Value::Array(list) = value else { return Err(self.wrong(name, "a list")) };
        let mut out = Vec::with_capacity(list.len());
        for (n, item) in list.into_iter().enumerate() {
            let Value::Object(map) = item else { return Err(self.wrong(name, "a list of objects")) };
            out.push(Fields { at: format!("{}[{n}].", self.name(name)), map, patch: false });
        }
        Ok(Some(out))
    }

    /// A list of texts.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>> {
        let Some(value) = self.take(name)? else { return Ok(None) };
        let texts: Option<Vec<String>> = value
            .as_array()
            .map(|list| list.iter().map(|v| v.as_str().map(str::to_owned)))
            .and_then(Iterator::collect);
        texts.map(Some).ok_or_else(|| self.wrong(name, "a list of texts"))
    }

    /// What a patch does to a member; `read` is the reader of a value that is there.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn change<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self, &str) -> Result<Option<T>>,
    ) -> Result<Change<T>> {
        if self.map.get(name).is_some_and(Value::is_null) {
            self.map.shift_remove(name);
            return Ok(Change::Remove);
        }
        Ok(read(self, name)?.map_or(Change::Keep, Change::Set))
    }

    /// Another object, by exactly one of `id`, `crn`, `href`.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn identity(&mut self, name: &str) -> Result<Option<Identity>> {
        self.object(name)?.map(|inner| inner.one_of(&["id", "crn", "href"])).transpose()
    }

    /// The object itself as an identity.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn into_identity(self) -> Result<Identity> {
        self.one_of(&["id", "crn", "href"])
    }

    /// An entry of a catalogue, by exactly one of `name`, `href`.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn named(&mut self, name: &str) -> Result<Option<Identity>> {
        self.object(name)?.map(|inner| inner.one_of(&["name", "href"])).transpose()
    }

    fn one_of(mut self, ways: &[&'static str]) -> Result<Identity> {
        let outer = self.at.trim_end_matches('.').to_owned();
        let mut found = None;
        for by in ways {
            let Some(text) = self.text(by)? else { continue };
            if found.is_some() {
                return Err(Error::invalid(
                    outer.clone(),
                    format!("The property '{outer}' says which one in two ways."),
                ));
            }
            found = Some(Identity { field: self.name(by), by, text });
        }
        let missing = || Error::missing(self.name(ways.first().copied().unwrap_or_default()));
        let identity = found.filter(|i| !i.text.is_empty()).ok_or_else(missing)?;
        self.done()?;
        Ok(identity)
    }

    /// All that was sent is read.
    ///
    /// # Errors
    /// `Invalid` with the name of a member that nobody asked for.
    pub fn done(self) -> Result<()> {
        let Some((name, _)) = self.map.iter().next() else { return Ok(()) };
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        // A name of another form could carry anything, a secret in the wrong place among them.
        if !plain || name.is_empty() || name.len() > NAME_TOLD {
            return Err(Error::invalid("body", "The request body has a property that is not known here.")
                .code("unknown_field"));
        }
        let name = self.name(name);
        let text = format!("The property '{name}' is not known here.");
        Err(Error::invalid(name, text).code("unknown_field"))
    }

    /// The member that must be there.
    ///
    /// # Errors
    /// `Missing`.
    pub fn must<T>(&self, name: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| Error::missing(self.name(name)))
    }
}
