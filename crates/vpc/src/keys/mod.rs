//! Public keys for logging in to instances. Only the public half is known here.

pub mod http;
pub mod openssh;

use avouch_gate::{Endpoint, Result};
use avouch_store::Tx;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::call::{self, View};
use crate::objects::{Body, Kind, Object};

/// The kind.
pub const KEY: Kind = Kind {
    word: "key",
    path: "keys",
    below: "",
    attribute: "keyId",
    display: "key",
    resource_type: "",
    crn: true,
};

/// What a key knows of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// `rsa` or `ed25519`.
    pub kind: String,
    /// Bits.
    pub length: i64,
    /// `SHA256:` and the digest.
    pub fingerprint: String,
    /// As given.
    pub public_key: String,
}

impl Body for Key {
    const KIND: &'static Kind = &KEY;

    fn render(o: &Object<Self>, tx: &mut Tx<'_>, view: &View) -> Result<Value> {
        Ok(json!({
            "created_at": o.created_at.rfc3339_millis(),
            "crn": o.crn(view),
            "fingerprint": o.body.fingerprint,
            "href": o.href(view),
            "id": o.id,
            "length": o.body.length,
            "name": o.name,
            "public_key": o.body.public_key,
            "resource_group": view.group(tx, &o.group)?,
            "type": o.body.kind,
        }))
    }
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const TARGET: &str = "is.key/key";
    vec![
        call::get("/v1/keys", "list_keys", http::list)
            .actions(&["is.key.key.read"])
            .events(TARGET, &["is.key.key.read"]),
        call::post("/v1/keys", "create_key", http::create)
            .actions(&["is.key.key.create"])
            .events(TARGET, &["is.key.key.create"]),
        call::get("/v1/keys/{id}", "get_key", http::get)
            .actions(&["is.key.key.read"])
            .events(TARGET, &["is.key.key.read"]),
        call::patch("/v1/keys/{id}", "update_key", http::update)
            .actions(&["is.key.key.update"])
            .events(TARGET, &["is.key.key.update"]),
        call::delete("/v1/keys/{id}", "delete_key", http::delete)
            .actions(&["is.key.key.delete"])
            .events(TARGET, &["is.key.key.delete"]),
    ]
}
