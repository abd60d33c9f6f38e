//! What requests on objects below another one do alike: the decision was made on the parent, and the event of the parent
//! names the child by its id.

use avouch_gate::{Permit, Response, Result};
use avouch_store::Tx;

use super::{Body, Object, sql};
use crate::call::{Call, View};
use crate::errors::not_found;
use crate::place::is_id;

/// Lets the event of the request name a child.
pub fn tell(call: &Call, word: &str, id: &str) {
    call.ctx.detail(|d| {
        d.request(word, id);
    });
}

/// The child that the path names.
///
/// # Errors
/// `NotFound` when it is not there or below another parent.
pub async fn load<T: Body>(call: &Call, parent: &str, parameter: &str) -> Result<Object<T>> {
    let id = call.param(parameter)?.to_owned();
    let unknown = || not_found(T::KIND.display);
    if !is_id(&id) {
        return Err(unknown());
    }
    tell(call, T::KIND.word, &id);
    let view = call.view.clone();
    let found: Option<Object<T>> = call.ctx.read(move |tx| sql::get(tx, &view.account, &id)).await?;
    found.filter(|o| o.parent == parent).ok_or_else(unknown)
}

/// Shows the child that the path names.
///
/// # Errors
/// `NotFound`.
pub async fn get<T: Body>(call: &Call, parent: &str, parameter: &str) -> Result<Response> {
    let child = load::<T>(call, parent, parameter).await?;
    call.show(200, child).await
}

/// Writes a new child under the permit of its parent.
///
/// # Errors
/// Those of `also`; `Invalid` when the name is taken.
pub async fn create<T, F>(call: &Call, permit: Permit, object: Object<T>, mut also: F) -> Result<Response>
where
    T: Body,
    F: FnMut(&mut Tx<'_>, &View, &mut Object<T>) -> Result<()> + Send + 'static,
{
    let view = call.view.clone();
    let made = call
        .ctx
        .write(permit, move |tx, event| {
            let mut object = object.clone();
            event.status = 201;
            event.request(T::KIND.word, object.id.as_str());
            also(tx, &view, &mut object)?;
            sql::insert(tx, &view.account, &object)?;
            Ok(object)
        })
        .await?;
    call.show(201, made).await
}

/// Deletes a child, unless `check` refuses.
///
/// # Errors
/// `NotFound`, `Stale`, and those of `check`.
pub async fn delete<T, F>(call: &Call, permit: Permit, object: Object<T>, mut check: F) -> Result<Response>
where
    T: Body,
    F: FnMut(&mut Tx<'_>, &View, &Object<T>) -> Result<()> + Send + 'static,
{
    let (view, wanted) = (call.view.clone(), call.if_match()?);
    call.ctx
        .write(permit, move |tx, event| {
            event.status = 204;
            let object: Object<T> =
                sql::get(tx, &view.account, &object.id)?.ok_or_else(|| not_found(T::KIND.display))?;
            object.matches(wanted.as_deref())?;
            check(tx, &view, &object)?;
            sql::remove(tx, &view.account, T::KIND, &object.id)
        })
        .await?;
    Ok(Response::empty(204))
}
