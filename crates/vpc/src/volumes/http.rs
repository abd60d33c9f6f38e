//! Requests on volumes.

use avouch_gate::{Error, Kind, Response, Result};

use super::{VOLUME, Volume};
use crate::call::Call;
use crate::catalogue::data::{Catalogue, VolumeProfile};
use crate::errors::{in_header, in_parameter, in_use, no_such};
use crate::fields::Fields;
use crate::names;
use crate::objects::{self, Object, http as common, sql, within};
use crate::paging::{self, Wanted};

/// Longest list of tags, and longest tag.
const TAGS: (usize, usize) = (1000, 128);

pub async fn list(call: Call) -> Result<Response> {
    let mut keep = paging::by_group::<Volume>(&call)?;
    let asked = |name| call.request.query(name).map_err(in_parameter);
    if let Some(name) = asked("name")? {
        keep.push(Box::new(move |_, _, o| Ok(o.name == name)));
    }
    if let Some(zone) = asked("zone.name")? {
        keep.push(Box::new(move |_, _, o| Ok(o.body.zone == zone)));
    }
    if let Some(state) = asked("attachment_state")? {
        keep.push(Box::new(move |tx, view, o| {
            let free = sql::users(tx, &view.account, (&VOLUME, &o.id))?.is_empty();
            Ok(state == if free { "unattached" } else { "attached" })
        }));
    }
    paging::list(&call, Wanted { plural: "volumes", action: "is.volume.volume.read", parent: None }, keep)
        .await
}

pub async fn get(call: Call) -> Result<Response> {
    common::get::<Volume>(call, "is.volume.volume.read").await
}

fn profile(fields: &mut Fields) -> Result<Option<&'static VolumeProfile>> {
    let Some(identity) = fields.named("profile")? else { return Ok(None) };
    let found = Catalogue::builtin().volume_profile(identity.name());
    found.map(Some).ok_or_else(|| no_such(identity.field, "volume profile"))
}

fn tags(fields: &mut Fields) -> Result<Option<Vec<String>>> {
    let Some(tags) = fields.texts("user_tags")? else { return Ok(None) };
    let sound = |t: &String| (1..=TAGS.1).contains(&t.len()) && avouch_wire::text::printable(t, TAGS.1);
    if tags.len() > TAGS.0 || !tags.iter().all(sound) {
        return Err(Error::invalid("user_tags", "The property 'user_tags' must be a list of short tags."));
    }
    Ok(Some(tags))
}

/// Whether the profile offers what is wanted.
fn offered(volume: &Volume) -> Result<()> {
    let profile = Catalogue::builtin().volume_profile(&volume.profile);
    let profile = profile.ok_or_else(|| Error::internal("a volume without profile"))?;
    let within = |field: &'static str, value: i64, [min, max]: [i64; 2]| {
        if (min..=max).contains(&value) {
            return Ok(());
        }
        Err(Error::invalid(
            field,
            format!("The property '{field}' must be from {min} to {max} in this profile."),
        ))
    };
    within("capacity", volume.capacity, profile.capacity)?;
    if let Some(iops) = volume.iops {
        if profile.iops_per_gb != 0 {
            return Err(Error::invalid(
                "iops",
                "The property 'iops' follows from the capacity in this profile.",
            ));
        }
        within("iops", iops, profile.iops)?;
    }
    volume.bandwidth.map_or(Ok(()), |bandwidth| within("bandwidth", bandwidth, profile.bandwidth))
}

/// What a body says of a new volume in the zone; profile and capacity may have defaults.
///
/// # Errors
/// `Invalid`, `Missing`.
pub fn prototype(fields: &mut Fields, zone: &str, defaults: Option<(&str, i64)>) -> Result<Volume> {
    let named = profile(fields)?.map(|p| p.name.clone());
    let profile =
        fields.must("profile", named.or_else(|| defaults.map(|(profile, _)| profile.to_owned())))?;
    let capacity = fields.number("capacity", 1, 64_000)?;
    let capacity = fields.must("capacity", capacity.or(defaults.map(|(_, capacity)| capacity)))?;
    let iops = fields.number("iops", 1, 1_000_000)?;
    let bandwidth = fields.number("bandwidth", 1, 1_000_000)?;
    let user_tags = tags(fields)?.unwrap_or_default();
    let body = Volume { zone: zone.to_owned(), profile, capacity, iops, bandwidth, user_tags };
    offered(&body)?;
    Ok(body)
}

pub async fn create(call: Call) -> Result<Response> {
    let mut fields = Fields::of(&call.request)?;
    let zone = call.zone(&mut fields)?;
    let zone = fields.must("zone", zone)?;
    let body = prototype(&mut fields, &zone.name, None)?;
    let name = call.name(&mut fields)?;
    let group = call.group(&mut fields).await?;
    fields.done()?;
    let permit = call.may_create("is.volume.volume.create", &VOLUME, &group.id, &name).await?;
    let object = objects::new(&call, (call.id(None), name), &group.id, body);
    common::create(&call, permit, object, |tx, view, _| {
        within(view.app.config.limits.volumes, sql::count(tx, &view.account, &VOLUME, None)?, "volumes")
    })
    .await
}

pub async fn update(call: Call) -> Result<Response> {
    let mut fields = Fields::patch(&call.request)?;
    let name = names::read(&mut fields)?;
    let profile = profile(&mut fields)?;
    let capacity = fields.number("capacity", 1, 64_000)?;
    let iops = fields.number("iops", 1, 1_000_000)?;
    let bandwidth = fields.number("bandwidth", 1, 1_000_000)?;
    let user_tags = tags(&mut fields)?;
    fields.done()?;
    if user_tags.is_some() && call.if_match()?.is_none() {
        let text = "The header 'If-Match' is required to change 'user_tags'.";
        return Err(in_header(Error::new(Kind::Missing, text).field("If-Match")));
    }
    common::update::<Volume, _>(call, "is.volume.volume.update", move |_, _, o: &mut Object<Volume>| {
        names::set(&mut o.name, name.as_ref());
        let volume = &mut o.body;
        if let Some(profile) = profile {
            volume.profile.clone_from(&profile.name);
            // What was chosen for the old profile means nothing in one that does not let choose.
            if profile.iops_per_gb != 0 {
                volume.iops = None;
            }
        }
        if capacity.is_some_and(|c| c < volume.capacity) {
            return Err(Error::invalid("capacity", "The property 'capacity' can only grow."));
        }
        volume.capacity = capacity.unwrap_or(volume.capacity);
        volume.iops = iops.or(volume.iops);
        volume.bandwidth = bandwidth.or(volume.bandwidth);
        if let Some(tags) = &user_tags {
            volume.user_tags.clone_from(tags);
        }
        offered(volume)
    })
    .await
}

pub async fn delete(call: Call) -> Result<Response> {
    common::delete::<Volume, _>(call, "is.volume.volume.delete", |tx, view, o| {
        if sql::users(tx, &view.account, (&VOLUME, &o.id))?.is_empty() {
            return Ok(());
        }
        Err(in_use("The volume is attached."))
    })
    .await
}
