//! Block storage volumes, as records.

pub mod http;

use avouch_gate::{Endpoint, Result};
use avouch_store::Tx;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::call::{self, View};
use crate::catalogue::data::{Catalogue, VolumeProfile};
use crate::catalogue::render::profile_reference;
use crate::instances::{INSTANCE, Instance, render};
use crate::objects::{Body, Kind, Object, sql};

/// The kind.
pub const VOLUME: Kind = Kind {
    word: "volume",
    path: "volumes",
    below: "",
    attribute: "volumeId",
    display: "volume",
    resource_type: "volume",
    crn: true,
};

/// What a volume knows of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    pub zone: String,
    pub profile: String,
    /// GB.
    pub capacity: i64,
    /// Operations per second, where they were chosen.
    pub iops: Option<i64>,
    /// Mbps, where they were chosen.
    pub bandwidth: Option<i64>,
    pub user_tags: Vec<String>,
}

/// Operations per second of a volume that does not say.
pub fn iops(profile: &VolumeProfile, capacity: i64) -> i64 {
    (capacity * profile.iops_per_gb).clamp(profile.iops[0], profile.iops[1])
}

/// The instances that have the volume, as it shows them.
fn attachments(o: &Object<Volume>, tx: &mut Tx<'_>, view: &View) -> Result<Vec<Value>> {
    let mut out = Vec::new();
    for (kind, id) in sql::users(tx, &view.account, (&VOLUME, &o.id))? {
        if kind != INSTANCE.word {
            continue;
        }
        let instance: Object<Instance> = sql::need(tx, &view.account, &id)?;
        for attachment in instance.body.volumes.iter().filter(|a| a.volume == o.id) {
            let mut shown = render::volume(&instance, attachment, tx, view)?;
            if let Some(shown) = shown.as_object_mut() {
                shown.remove("volume");
                shown.insert("instance".into(), instance.reference(view));
            }
            out.push(shown);
        }
    }
    Ok(out)
}

impl Body for Volume {
    const KIND: &'static Kind = &VOLUME;

    fn zone(&self) -> Option<&str> {
        Some(&self.zone)
    }

    fn render(o: &Object<Self>, tx: &mut Tx<'_>, view: &View) -> Result<Value> {
        let profile = Catalogue::builtin().volume_profile(&o.body.profile);
        let speed = o.body.iops.or_else(|| profile.map(|p| iops(p, o.body.capacity)));
        let generation = profile.map_or(1, |p| p.generation);
        let attached = attachments(o, tx, view)?;
        let adjustable =
            if profile.is_some_and(|p| p.iops_per_gb == 0) { vec!["attached", "unattached"] } else { vec![] };
        Ok(json!({
            "active": !attached.is_empty(),
            "adjustable_capacity_states": ["attached", "unattached"],
            "adjustable_iops_states": adjustable,
            "attachment_state": if attached.is_empty() { "unattached" } else { "attached" },
            "bandwidth": o.body.bandwidth.or(profile.map(|p| p.bandwidth[0])),
            "busy": false,
            "capacity": o.body.capacity,
            "created_at": o.created_at.rfc3339_millis(),
            "crn": o.crn(view),
            "encryption": "provider_managed",
            "health_reasons": [],
            "health_state": "ok",
            "href": o.href(view),
            "id": o.id,
            "iops": speed,
            "name": o.name,
            "profile": profile_reference(view, "volume", &o.body.profile),
            "resource_group": view.group(tx, &o.group)?,
            "resource_type": "volume",
            "software_attachments": [],
            "status": "available",
            "status_reasons": [],
            "storage_generation": generation,
            "user_tags": o.body.user_tags,
            "volume_attachments": attached,
            "zone": view.zone(&o.body.zone),
        }))
    }
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const TARGET: &str = "is.volume/volume";
    const READ: &[&str] = &["is.volume.volume.read"];
    const CREATE: &[&str] = &["is.volume.volume.create"];
    const UPDATE: &[&str] = &["is.volume.volume.update"];
    const DELETE: &[&str] = &["is.volume.volume.delete"];
    vec![
        call::get("/v1/volumes", "list_volumes", http::list).actions(READ).events(TARGET, READ),
        call::post("/v1/volumes", "create_volume", http::create).actions(CREATE).events(TARGET, CREATE),
        call::get("/v1/volumes/{id}", "get_volume", http::get).actions(READ).events(TARGET, READ),
        call::patch("/v1/volumes/{id}", "update_volume", http::update).actions(UPDATE).events(TARGET, UPDATE),
        call::delete("/v1/volumes/{id}", "delete_volume", http::delete)
            .actions(DELETE)
            .events(TARGET, DELETE),
    ]
}
