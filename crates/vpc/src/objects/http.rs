//! What requests on all kinds of objects do alike.

use avouch_gate::{Permit, Response, Result};
use avouch_store::Tx;

use super::{Body, Object, sql};
use crate::call::{Call, View};
use crate::errors::not_found;
use crate::fields::Fields;
use crate::names;

/// Shows the object that the path names.
///
/// # Errors
/// `NotFound`, `Forbidden`.
pub async fn get<T: Body>(call: Call, action: &'static str) -> Result<Response> {
    let (object, _) = call.permitted::<T>(action).await?;
    call.show(200, object).await
}

/// The new name of a patch that knows nothing else.
///
/// # Errors
/// `Invalid`.
pub fn renamed(call: &Call) -> Result<Option<String>> {
    let mut fields = Fields::patch(&call.request)?;
    let name = names::read(&mut fields)?;
    fields.done()?;
    Ok(name)
}

/// Writes a new object under its permit; `also` does what comes with it, in the same transaction.
///
/// # Errors
/// Those of `also`; `Invalid` when the name is taken.
pub async fn create<T, F>(call: &Call, permit: Permit, object: Object<T>, mut also: F) -> Result<Response>
where
    T: Body,
    F: FnMut(&mut Tx<'_>, &View, &mut Object<T>) -> Result<()> + Send + 'static,
{
    let (view, made) = (call.view.clone(), object);
    let made = call
        .ctx
        .write(permit, move |tx, event| {
            let mut object = made.clone();
            event.status = 201;
            event.target(object.crn(&view), &object.name);
            also(tx, &view, &mut object)?;
            sql::insert(tx, &view.account, &object)?;
            Ok(object)
        })
        .await?;
    call.show(201, made).await
}

/// Changes the object that the path names.
///
/// # Errors
/// `NotFound`, `Forbidden`, `Stale`, and those of `change`.
pub async fn update<T, F>(call: Call, action: &'static str, mut change: F) -> Result<Response>
where
    T: Body,
    F: FnMut(&mut Tx<'_>, &View, &mut Object<T>) -> Result<()> + Send + 'static,
{
    let (object, permit) = call.permitted::<T>(action).await?;
    let changed = written(&call, permit, object.id, move |tx, view, object| change(tx, view, object)).await?;
    call.show(200, changed).await
}

/// Changes an object under its permit.
///
/// # Errors
/// `NotFound` when it is gone meanwhile, `Stale`, and those of `change`.
pub async fn written<T, F>(call: &Call, permit: Permit, id: String, mut change: F) -> Result<Object<T>>
where
    T: Body,
    F: FnMut(&mut Tx<'_>, &View, &mut Object<T>) -> Result<()> + Send + 'static,
{
    let (view, wanted) = (call.view.clone(), call.if_match()?);
    call.ctx
        .write(permit, move |tx, event| {
            let mut object: Object<T> =
                sql::get(tx, &view.account, &id)?.ok_or_else(|| not_found(T::KIND.display))?;
            object.matches(wanted.as_deref())?;
            if T::KIND.attribute.is_empty() {
                event.request(T::KIND.word, id.as_str());
            }
            let name = object.name.clone();
            change(tx, &view, &mut object)?;
            if name != object.name {
                event.request("prev_name", name);
            }
            sql::update(tx, &view.account, &mut object)?;
            if !T::KIND.attribute.is_empty() {
                event.target(object.crn(&view), &object.name);
            }
            Ok(object)
        })
        .await
}

/// Deletes the object that the path names, unless `check` refuses.
///
/// # Errors
/// `NotFound`, `Forbidden`, `Stale`, and those of `check`.
pub async fn delete<T, F>(call: Call, action: &'static str, mut check: F) -> Result<Response>
where
    T: Body,
    F: FnMut(&mut Tx<'_>, &View, &Object<T>) -> Result<()> + Send + 'static,
{
    let (object, permit) = call.permitted::<T>(action).await?;
    let (view, wanted) = (call.view.clone(), call.if_match()?);
    call.ctx
        .write(permit, move |tx, event| {
            // Some say 202: their kind goes in the background elsewhere.
            event.status = if event.status == 0 { 204 } else { event.status };
            let object: Object<T> =
                sql::get(tx, &view.account, &object.id)?.ok_or_else(|| not_found(T::KIND.display))?;
            object.matches(wanted.as_deref())?;
            check(tx, &view, &object)?;
            sql::remove(tx, &view.account, T::KIND, &object.id)
        })
        .await?;
    Ok(Response::empty(204))
}
