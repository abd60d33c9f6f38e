//! What all kinds of objects have in common: id, name, CRN, link, references, decision target.

pub mod children;
pub mod http;
pub mod sql;

use avouch_gate::{Error, Kind as ErrorKind, Result};
use avouch_store::Tx;
use avouch_wire::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::call::{Call, View};
use crate::errors::in_header;

/// One kind of object.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its word: in CRNs, in the store, and in front of actions.
    pub word: &'static str,
    /// Its collection: the path below `/v1`, for children below the path of the parent.
    pub path: &'static str,
    /// The collection of the parent, for kinds whose path begins with it.
    pub below: &'static str,
    /// The attribute that holds its id in policies; empty for kinds that are decided by their parent.
    pub attribute: &'static str,
    /// Its name for people.
    pub display: &'static str,
    /// `resource_type` of references, where they have one.
    pub resource_type: &'static str,
    /// Whether it has a CRN.
    pub crn: bool,
}

/// What a kind of object knows of itself.
pub trait Body: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// Its kind.
    const KIND: &'static Kind;

    /// The zone, for what belongs to one; it is the location in the CRN.
    fn zone(&self) -> Option<&str> {
        None
    }

    /// The published shape.
    ///
    /// # Errors
    /// Those of the store.
    fn render(object: &Object<Self>, tx: &mut Tx<'_>, view: &View) -> Result<Value>;
}

/// An object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object<T> {
    /// Id with its prefix.
    pub id: String,
    /// Name.
    pub name: String,
    /// Where the name is unique; empty: in the region.
    pub scope: String,
    /// Id of what it belongs to; empty for what stands alone.
    pub parent: String,
    /// Id of the resource group; empty for children.
    pub group: String,
    /// Raised by every change.
    pub revision: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// What its kind knows.
    pub body: T,
}

impl<T: Body> Object<T> {
    /// Entity tag.
    pub fn etag(&self) -> String {
        format!("W/\"{}\"", self.revision)
    }

    /// Refuses when a request meant another revision.
    ///
    /// # Errors
    /// `Stale`.
    pub fn matches(&self, wanted: Option<&str>) -> Result<()> {
        let Some(wanted) = wanted else { return Ok(()) };
        avouch_gate::etag::check(wanted, &self.revision.to_string()).map_err(in_header)
    }

    /// CRN; empty for kinds without one.
    pub fn crn(&self, view: &View) -> String {
        if !T::KIND.crn {
            return String::new();
        }
        let place = self.body.zone().unwrap_or(&view.region.name);
        format!(
            "crn:v1:{}:public:is:{place}:a/{}::{}:{}",
            view.app.config.cname,
            view.account,
            T::KIND.word,
            self.id
        )
    }

    /// Absolute link.
    pub fn href(&self, view: &View) -> String {
        if T::KIND.below.is_empty() {
            format!("{}/{}/{}", view.base, T::KIND.path, self.id)
        } else {
            format!("{}/{}/{}/{}/{}", view.base, T::KIND.below, self.parent, T::KIND.path, self.id)
        }
    }

    /// How other objects show this one.
    pub fn reference(&self, view: &View) -> Value {
        let mut out = serde_json::Map::new();
        if T::KIND.crn {
            out.insert("crn".into(), json!(self.crn(view)));
        }
        out.insert("href".into(), json!(self.href(view)));
        out.insert("id".into(), json!(self.id));
        out.insert("name".into(), json!(self.name));
        if !T::KIND.resource_type.is_empty() {
            out.insert("resource_type".into(), json!(T::KIND.resource_type));
        }
        Value::Object(out)
    }
}

/// A new object of a region or zone, with the values that follow from the call.
pub fn new<T: Body>(call: &Call, (id, name): (String, String), group: &str, body: T) -> Object<T> {
    Object {
        id,
        name,
        scope: String::new(),
        parent: String::new(),
        group: group.to_owned(),
        revision: 1,
        created_at: call.ctx.now(),
        body,
    }
}

impl<T> Object<T> {
    /// The same below a parent, within which its name is unique.
    #[must_use]
    pub fn below(mut self, parent: &str) -> Self {
        parent.clone_into(&mut self.parent);
        parent.clone_into(&mut self.scope);
        self
    }
}

/// Refuses what would be one too many; a limit of 0 is none.
///
/// # Errors
/// `Limit`.
pub fn within(limit: u32, have: usize, what: &str) -> Result<()> {
    if limit != 0 && have >= usize::try_from(limit).unwrap_or(usize::MAX) {
        return Err(Error::new(ErrorKind::Limit, format!("The quota of {what} is used up: {limit}.")));
    }
    Ok(())
}
