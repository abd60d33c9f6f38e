//! Images that instances are made of: those of the catalogue, and an account's own.

pub mod http;

use avouch_gate::{Endpoint, Result};
use avouch_store::Tx;
use avouch_wire::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::call::{self, View};
use crate::catalogue::data::{Catalogue, PublicImage};
use crate::catalogue::render::operating_system;
use crate::objects::{Body, Kind, Object};

/// The kind.
pub const IMAGE: Kind = Kind {
    word: "image",
    path: "images",
    below: "",
    attribute: "imageId",
    display: "image",
    resource_type: "image",
    crn: true,
};

/// The account and group that the catalogue's images are shown under.
const NOBODY: &str = "00000000000000000000000000000000";
/// When the catalogue's images were made: 2026-01-01.
const MADE: i64 = 1_767_225_600_000;

/// What an image of an account knows of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Name of its operating system.
    pub operating_system: String,
    /// Where it was taken from.
    pub source: String,
    /// `available`, `deprecated` or `obsolete`.
    pub status: String,
    /// When it will be deprecated, if that is planned.
    pub deprecation_at: Option<i64>,
    /// When it will be obsolete, if that is planned.
    pub obsolescence_at: Option<i64>,
}

fn common(view: &View, os: &str) -> Map<String, Value> {
    let os = Catalogue::builtin().operating_system(os).map(|o| operating_system(view, o)).unwrap_or_default();
    let mut out = Map::new();
    for (name, value) in [
        (
            "allowed_use",
            json!({"api_version": "2024-11-12", "bare_metal_server": "false", "instance": "true"}),
        ),
        ("catalog_offering", json!({"managed": false})),
        ("encryption", json!("none")),
        ("file", json!({})),
        ("minimum_provisioned_size", json!(10)),
        ("resource_type", json!("image")),
        ("status_reasons", json!([])),
        ("user_data_format", os.get("user_data_format").cloned().unwrap_or_default()),
        ("operating_system", os),
        ("zones", view.region.zones.iter().map(|z| view.zone(&z.name)).collect()),
    ] {
        out.insert(name.into(), value);
    }
    out
}

/// An image of the catalogue.
pub fn render_public(view: &View, image: &PublicImage) -> Value {
    let mut out = common(view, &image.operating_system);
    let group = json!({"href": format!("{}/v2/resource_groups/{NOBODY}", view.origin), "id": NOBODY, "name": "Default"});
    for (name, value) in [
        ("created_at", json!(Timestamp::from_millis(MADE).rfc3339_millis())),
        ("crn", json!(public_crn(view, image))),
        ("href", json!(format!("{}/images/{}", view.base, image.id))),
        ("id", json!(image.id)),
        ("name", json!(image.name)),
        ("resource_group", group),
        ("status", json!("available")),
        ("visibility", json!("public")),
    ] {
        out.insert(name.into(), value);
    }
    Value::Object(out)
}

fn public_crn(view: &View, image: &PublicImage) -> String {
    let (cname, region) = (&view.app.config.cname, &view.region.name);
    format!("crn:v1:{cname}:public:is:{region}:a/{NOBODY}::image:{}", image.id)
}

impl Body for Image {
    const KIND: &'static Kind = &IMAGE;

    fn render(o: &Object<Self>, tx: &mut Tx<'_>, view: &View) -> Result<Value> {
        let mut out = common(view, &o.body.operating_system);
        for (name, value) in [
            ("created_at", json!(o.created_at.rfc3339_millis())),
            ("crn", json!(o.crn(view))),
            ("href", json!(o.href(view))),
            ("id", json!(o.id)),
            ("name", json!(o.name)),
            ("resource_group", view.group(tx, &o.group)?),
            ("status", json!(o.body.status)),
            ("visibility", json!("private")),
        ] {
            out.insert(name.into(), value);
        }
        for (name, at) in
            [("deprecation_at", o.body.deprecation_at), ("obsolescence_at", o.body.obsolescence_at)]
        {
            if let Some(at) = at {
                out.insert(name.into(), json!(Timestamp::from_millis(at).rfc3339_millis()));
            }
        }
        Ok(Value::Object(out))
    }
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const TARGET: &str = "is.image/image";
    vec![
        call::get("/v1/images", "list_images", http::list)
            .actions(&["is.image.image.read"])
            .events(TARGET, &["is.image.image.read"]),
        call::post("/v1/images", "create_image", http::create)
            .actions(&["is.image.image.create"])
            .events(TARGET, &["is.image.image.create"]),
        call::get("/v1/images/{id}", "get_image", http::get)
            .actions(&["is.image.image.read"])
            .events(TARGET, &["is.image.image.read"]),
        call::patch("/v1/images/{id}", "update_image", http::update)
            .actions(&["is.image.image.update"])
            .events(TARGET, &["is.image.image.update"]),
        call::delete("/v1/images/{id}", "delete_image", http::delete)
            .actions(&["is.image.image.delete"])
            .events(TARGET, &["is.image.image.delete"]),
        call::post("/v1/images/{id}/deprecate", "deprecate_image", http::deprecate)
            .actions(&["is.image.image.deprecate"])
            .events(TARGET, &["is.image.image.deprecate"]),
        call::post("/v1/images/{id}/obsolete", "obsolete_image", http::obsolete)
            .actions(&["is.image.image.obsolete"])
            .events(TARGET, &["is.image.image.obsolete"]),
    ]
}
