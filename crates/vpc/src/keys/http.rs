//! Requests on keys.

use avouch_gate::{Error, Response, Result};

use super::{KEY, Key, openssh};
use crate::call::Call;
use crate::fields::Fields;
use crate::names;
use crate::objects::{self, http as common, sql, within};
use crate::paging::{self, Wanted};

/// Fingerprints in the store: no two keys of an account have the same.
const FINGERPRINTS: &str = "key-fingerprint";

pub async fn list(call: Call) -> Result<Response> {
    let keep = paging::by_group::<Key>(&call)?;
    paging::list(&call, Wanted { plural: "keys", action: "is.key.key.read", parent: None }, keep).await
}

pub async fn get(call: Call) -> Result<Response> {
    common::get::<Key>(call, "is.key.key.read").await
}

pub async fn create(call: Call) -> Result<Response> {
    let mut fields = Fields::of(&call.request)?;
    let name = call.name(&mut fields)?;
    let text = fields.text("public_key")?;
    let text = fields.must("public_key", text)?;
    let kind = fields.word("type", &["rsa", "ed25519"])?;
    let group = call.group(&mut fields).await?;
    fields.done()?;
    let read = openssh::read(&text)?;
    if kind.is_some_and(|k| k != read.kind) {
        return Err(Error::invalid("type", "The property 'type' is not that of the key."));
    }
    let permit = call.may_create("is.key.key.create", &KEY, &group.id, &name).await?;
    let body = Key {
        kind: read.kind.into(),
        length: read.length,
        fingerprint: read.fingerprint,
        public_key: text.trim().to_owned(),
    };
    let object = objects::new(&call, (call.id(None), name), &group.id, body);
    common::create(&call, permit, object, |tx, view, object| {
        within(view.app.config.limits.vpc_keys, sql::count(tx, &view.account, &KEY, None)?, "keys")?;
        if sql::take(tx, &view.account, (FINGERPRINTS, &object.body.fingerprint), &object.id)? {
            return Ok(());
        }
        Err(Error::invalid("public_key", "The key is there already under another name.")
            .code("validation_unique_failed"))
    })
    .await
}

pub async fn update(call: Call) -> Result<Response> {
    let name = common::renamed(&call)?;
    common::update::<Key, _>(call, "is.key.key.update", move |_, _, key| {
        names::set(&mut key.name, name.as_ref());
        Ok(())
    })
    .await
}

pub async fn delete(call: Call) -> Result<Response> {
    // Instances that were made with it keep what they were given.
    common::delete::<Key, _>(call, "is.key.key.delete", |_, _, _| Ok(())).await
}
