//! What a new instance is made of: everything that its body names, looked up and allowed, and the writing of all of it in one
//! transaction.

use avouch_gate::links::{InstanceLink, ProfileInfo};
use avouch_gate::{Details, Error, Permit, Result, etag};
use avouch_store::Tx;
use avouch_wire::crn::Crn;
use avouch_wire::ids::LinkId;

use super::{
    DefaultProfile, INSTANCE, Instance, KeyThen, MetadataService, Nic, Status, VolumeAttachment, seal,
};
use crate::call::{Call, View};
use crate::catalogue::data::Catalogue;
use crate::errors::{in_use, no_such};
use crate::fields::{Fields, Identity};
use crate::images::Image;
use crate::interfaces::{INTERFACE, Interface, logic};
use crate::keys::Key;
use crate::names;
use crate::objects::{self, Object, sql, within};
use crate::place::Zone;
use crate::placement_groups::{PLACEMENT_GROUP, PlacementGroup};
use crate::volumes::{VOLUME, Volume, http as volumes};
use crate::vpcs::{VPC, Vpc};

/// Longest user data, bytes.
const USER_DATA: usize = 64 * 1024;
/// Most parts of a kind.
const PARTS: usize = 15;

enum Behind {
    Existing(String),
    New(Box<logic::Draft>),
}

struct NicDraft {
    nic: Nic,
    behind: Behind,
    /// VPC and zone.
    place: (String, String),
}

enum Disk {
    Existing(String),
    New(Box<Object<Volume>>),
}

struct VolumeDraft {
    attachment: VolumeAttachment,
    disk: Disk,
}

/// A new instance.
pub struct Draft {
    /// The instance; its interfaces and volumes are known when they are written.
    pub object: Object<Instance>,
    nics: Vec<NicDraft>,
    volumes: Vec<VolumeDraft>,
    link: Option<(Permit, InstanceLink)>,
}

/// What a body says of the metadata service.
#[derive(Debug, Clone, Default)]
pub struct AskedMetadata {
    enabled: Option<bool>,
    protocol: Option<&'static str>,
    response_hop_limit: Option<i64>,
}

impl AskedMetadata {
    /// Changes what it names.
    pub fn apply(&self, now: &mut MetadataService) {
        now.enabled = self.enabled.unwrap_or(now.enabled);
        if let Some(protocol) = self.protocol {
            now.protocol = protocol.to_owned();
        }
        now.response_hop_limit = self.response_hop_limit.unwrap_or(now.response_hop_limit);
    }
}

/// `https` is published and not built: an instance that was promised it would reach nothing.
fn protocol(fields: &mut Fields) -> Result<Option<&'static str>> {
    let asked = fields.word("protocol", &["http", "https"])?;
    if asked == Some("https") {
        let field = fields.name("protocol");
        return Err(Error::invalid(field, "The protocol 'https' is not part of this version."));
    }
    Ok(asked)
}

/// Reads `metadata_service`.
///
/// # Errors
/// `Invalid`.
pub fn asked_metadata(fields: &mut Fields) -> Result<AskedMetadata> {
    let Some(mut inner) = fields.object("metadata_service")? else { return Ok(AskedMetadata::default()) };
    let asked = AskedMetadata {
        enabled: inner.flag("enabled")?,
        protocol: protocol(&mut inner)?,
        response_hop_limit: inner.number("response_hop_limit", 1, 64)?,
    };
    inner.done()?;
    Ok(asked)
}

/// Reads the body of a creation.
///
/// # Errors
/// `Invalid`, `Missing`, `Forbidden`.
pub async fn read(call: &Call) -> Result<(Permit, Draft)> {
    let mut fields = Fields::of(&call.request)?;
    let name = call.name(&mut fields)?;
    let zone = call.zone(&mut fields)?;
    let zone = fields.must("zone", zone)?;
    let profile = profile(&mut fields)?;
    let mut metadata_service =
        MetadataService { enabled: false, protocol: "http".into(), response_hop_limit: 1 };
    asked_metadata(&mut fields)?.apply(&mut metadata_service);
    let user_data = fields.text("user_data")?;
    if user_data.as_ref().is_some_and(|text| text.len() > USER_DATA) {
        return Err(Error::invalid("user_data", "The property 'user_data' must have at most 64 KiB."));
    }
    let image_named = fields.identity("image")?;
    let image_named = fields.must("image", image_named)?;
    let vpc_named = fields.identity("vpc")?;
    let placement = fields.identity("placement_target")?;
    let keys_named = identities(&mut fields, "keys")?;
    let trusted = trusted(&mut fields)?;
    let networks = networks(&mut fields)?;
    let boot = fields.object("boot_volume_attachment")?;
    let more = parts(&mut fields, "volume_attachments")?;
    let group = call.group(&mut fields).await?;
    fields.done()?;

    let permit = call.may_create("is.instance.instance.create", &INSTANCE, &group.id, &name).await?;
    let (by_attachments, networks) = networks;
    let mut nics = Vec::new();
    for fields in networks {
        nics.push(Box::pin(nic(call, fields, (by_attachments, &zone, &group.id))).await?);
    }
    let vpc_id = nics.first().map(|n| n.place.0.clone()).unwrap_or_default();
    for nic in &nics {
        if nic.place.0 != vpc_id {
            return Err(Error::invalid("network_interfaces", "All interfaces must be of one VPC."));
        }
        if nic.place.1 != zone.name {
            return Err(Error::invalid("zone", "The property 'zone' is not that of the subnet."));
        }
    }
    if let Some(named) = &vpc_named
        && named.id() != vpc_id
    {
        return Err(Error::invalid(named.field.clone(), "The subnet is in another VPC."));
    }
    let vpc = Identity { field: "vpc".into(), by: "id", text: vpc_id };
    let vpc: Object<Vpc> = call.usable(&vpc_named.unwrap_or(vpc), "is.vpc.vpc.operate").await?;
    let image = image(call, &image_named).await?;
    let mut keys = Vec::new();
    for named in &keys_named {
        keys.push(key(call, named).await?);
    }
    let placement_group = match &placement {
        None => None,
        Some(named) => {
            let action = "is.placement-group.placement-group.operate";
            Some(call.usable::<PlacementGroup>(named, action).await?.id)
        }
    };
    let mut volumes = vec![boot_volume(call, boot, (&name, &zone, &group.id)).await?];
    for fields in more {
        volumes.push(data_volume(call, fields, (&zone, &group.id)).await?);
    }

    let id = format!("{}_{}", zone.prefix, call.ctx.uuid());
    let app = call.ctx.app();
    let mut object = objects::new(
        call,
        (id, name.clone()),
        &group.id,
        Instance {
            zone: zone.name,
            profile,
            image,
            hostname: name,
            by_attachments,
            nics: Vec::new(),
            volumes: Vec::new(),
            keys,
            user_data: None,
            metadata_service,
            default_trusted_profile: None,
            placement_group,
            status: Status::Pending,
            status_reasons: Vec::new(),
            life: 1,
            force: false,
            node: String::new(),
        },
    );
    object.parent.clone_from(&vpc.id);
    object.body.user_data = user_data.map(|text| seal(app, &call.view.account, &object.id, &text));
    let link = match trusted {
        None => None,
        Some((named, auto_link)) => {
            let info = trusted_profile(call, &named).await?;
            object.body.default_trusted_profile =
                Some(DefaultProfile { id: info.id.as_str().to_owned(), crn: info.crn.clone(), auto_link });
            if auto_link { Some(link(call, info, &object).await?) } else { None }
        }
    };
    call.ctx.note(&call.view.new_target(&INSTANCE, &group.id, &object.name));
    Ok((permit, Draft { object, nics, volumes, link }))
}

fn profile(fields: &mut Fields) -> Result<String> {
    let Some(named) = fields.named("profile")? else { return Ok("bxf-2x8".into()) };
    let found = Catalogue::builtin().instance_profile(named.name());
    found.map(|p| p.name.clone()).ok_or_else(|| no_such(named.field, "instance profile"))
}

fn identities(fields: &mut Fields, name: &str) -> Result<Vec<Identity>> {
    parts(fields, name)?.into_iter().map(Fields::into_identity).collect()
}

fn parts(fields: &mut Fields, name: &str) -> Result<Vec<Fields>> {
    let all = fields.objects(name)?.unwrap_or_default();
    if all.len() > PARTS {
        let field = fields.name(name);
        return Err(Error::invalid(field.clone(), format!("The property '{field}' has too many entries.")));
    }
    Ok(all)
}

/// Profile and whether it is linked.
fn trusted(fields: &mut Fields) -> Result<Option<(Identity, bool)>> {
    let Some(mut inner) = fields.object("default_trusted_profile")? else { return Ok(None) };
    let target = inner.identity("target")?;
    let target = inner.must("target", target)?;
    let auto_link = inner.flag("auto_link")?.unwrap_or(true);
    inner.done()?;
    Ok(Some((target, auto_link)))
}

/// The network parts of the body, the primary one first; and whether they are attachments.
fn networks(fields: &mut Fields) -> Result<(bool, Vec<Fields>)> {
    let interface = fields.object("primary_network_interface")?;
    let attachment = fields.object("primary_network_attachment")?;
    let (by_attachments, first, more) = match (interface, attachment) {
        (Some(first), None) => (false, first, "network_interfaces"),
        (None, Some(first)) => (true, first, "network_attachments"),
        (None, None) => return Err(Error::missing("primary_network_interface")),
        (Some(_), Some(_)) => {
            return Err(Error::invalid(
                "primary_network_attachment",
                "Give either 'primary_network_interface' or 'primary_network_attachment'.",
            ));
        }
    };
    let mut all = vec![first];
    all.extend(parts(fields, more)?);
    Ok((by_attachments, all))
}

async fn nic(call: &Call, mut fields: Fields, of: (bool, &Zone, &str)) -> Result<NicDraft> {
    let (by_attachments, zone, group) = of;
    let id = call.id(Some(zone));
    if !by_attachments {
        let draft = logic::read(call, fields, group).await?.auto_delete();
        return Ok(new_nic(id, draft.name().to_owned(), draft));
    }
    let name = call.name(&mut fields)?;
    let inner = fields.object("virtual_network_interface")?;
    let inner = fields.must("virtual_network_interface", inner)?;
    fields.done()?;
    if !["id", "crn", "href"].iter().any(|way| inner.has(way)) {
        let says = inner.has("auto_delete");
        let draft = logic::read(call, inner, group).await?;
        return Ok(new_nic(id, name, if says { draft } else { draft.auto_delete() }));
    }
    let named = inner.into_identity()?;
    let action = "is.virtual-network-interface.virtual-network-interface.update";
    let found: Object<Interface> = call.usable(&named, action).await?;
    if !found.body.enable_infrastructure_nat {
        return Err(Error::invalid(
            named.field,
            "The virtual network interface must have 'enable_infrastructure_nat' set.",
        ));
    }
    let place = (found.parent.clone(), found.body.zone.clone());
    let nic = Nic { id, name, interface: found.id.clone() };
    Ok(NicDraft { nic, behind: Behind::Existing(found.id), place })
}

fn new_nic(id: String, name: String, draft: logic::Draft) -> NicDraft {
    let (vpc, zone) = draft.place();
    let place = (vpc.to_owned(), zone.to_owned());
    NicDraft { nic: Nic { id, name, interface: String::new() }, behind: Behind::New(Box::new(draft)), place }
}

async fn image(call: &Call, named: &Identity) -> Result<String> {
    if let Some(public) = Catalogue::builtin().image(named.id()) {
        return Ok(public.id.clone());
    }
    let found: Object<Image> = call.usable(named, "is.image.image.operate").await?;
    if !["available", "deprecated"].contains(&found.body.status.as_str()) {
        return Err(Error::invalid(named.field.clone(), "The image is obsolete."));
    }
    Ok(found.id)
}

async fn key(call: &Call, named: &Identity) -> Result<KeyThen> {
    let found: Object<Key> = call.usable(named, "is.key.key.operate").await?;
    let crn = found.crn(&call.view);
    Ok(KeyThen {
        id: found.id,
        crn,
        name: found.name,
        fingerprint: found.body.fingerprint,
        kind: found.body.kind,
        length: found.body.length,
        public_key: found.body.public_key,
        created_at: found.created_at.millis(),
    })
}

async fn boot_volume(
    call: &Call,
    fields: Option<Fields>,
    (instance, zone, group): (&str, &Zone, &str),
) -> Result<VolumeDraft> {
    let mut fields = match fields {
        Some(fields) => fields,
        None => Fields::none(),
    };
    let volume = match fields.object("volume")? {
        Some(volume) => volume,
        None => Fields::none(),
    };
    let defaults = (format!("{instance}-boot").chars().take(63).collect(), "general-purpose", 100);
    attached(call, fields, volume, (Some(defaults), zone, group)).await
}

async fn data_volume(call: &Call, mut fields: Fields, (zone, group): (&Zone, &str)) -> Result<VolumeDraft> {
    let inner = fields.object("volume")?;
    let inner = fields.must("volume", inner)?;
    if !["id", "crn", "href"].iter().any(|way| inner.has(way)) {
        return attached(call, fields, inner, (None, zone, group)).await;
    }
    let named = inner.into_identity()?;
    let name = call.name(&mut fields)?;
    let delete_with_instance = fields.flag("delete_volume_on_instance_delete")?.unwrap_or(false);
    fields.done()?;
    let found: Object<Volume> = call.usable(&named, "is.volume.volume.operate").await?;
    if found.body.zone != zone.name {
        return Err(Error::invalid(named.field, "The volume is in another zone."));
    }
    let attachment =
        VolumeAttachment { id: call.id(Some(zone)), name, volume: found.id.clone(), delete_with_instance };
    Ok(VolumeDraft { attachment, disk: Disk::Existing(found.id) })
}

/// A new volume: name, profile and capacity if it is the boot volume, which needs to say nothing.
async fn attached(
    call: &Call,
    mut fields: Fields,
    mut volume: Fields,
    (defaults, zone, group): (Option<(String, &str, i64)>, &Zone, &str),
) -> Result<VolumeDraft> {
    let attachment_name = call.name(&mut fields)?;
    let delete = fields.flag("delete_volume_on_instance_delete")?;
    fields.done()?;
    let name = names::read(&mut volume)?;
    let body = volumes::prototype(&mut volume, &zone.name, defaults.as_ref().map(|(_, p, c)| (*p, *c)))?;
    volume.done()?;
    let name =
        name.or_else(|| defaults.as_ref().map(|(n, ..)| n.clone())).unwrap_or_else(|| call.drawn_name());
    call.may_create("is.volume.volume.create", &VOLUME, group, &name).await?;
    let object = objects::new(call, (call.id(None), name), group, body);
    let attachment = VolumeAttachment {
        id: call.id(Some(zone)),
        name: attachment_name,
        volume: object.id.clone(),
        delete_with_instance: delete.unwrap_or(defaults.is_some()),
    };
    Ok(VolumeDraft { attachment, disk: Disk::New(Box::new(object)) })
}

async fn trusted_profile(call: &Call, named: &Identity) -> Result<ProfileInfo> {
    let linker = &call.ctx.app().links.linker;
    let found = linker.profile(&call.ctx, &named.text).await?;
    found.ok_or_else(|| no_such(named.field.clone(), "trusted profile"))
}

async fn link(call: &Call, profile: ProfileInfo, o: &Object<Instance>) -> Result<(Permit, InstanceLink)> {
    let app = call.ctx.app();
    let permit = app.links.linker.may_link(&call.ctx, &profile).await?;
    let crn = Crn::parse(&o.crn(&call.view)).map_err(Error::internal)?;
    let link = InstanceLink {
        profile,
        id: LinkId::from_uuid(call.ctx.uuid()),
        etag: etag::tag(1, app.rng.as_ref()),
        crn,
        by: (call.ctx.caller()?.iam_id().clone(), call.ctx.now()),
    };
    Ok((permit, link))
}

impl Draft {
    /// Writes the instance with all that it is made of.
    ///
    /// # Errors
    /// `Invalid`, `Conflict`, `Limit`.
    pub fn write(&self, tx: &mut Tx<'_>, view: &View, event: &mut Details) -> Result<Object<Instance>> {
        let mut object = self.object.clone();
        let limits = &view.app.config.limits;
        within(limits.instances, sql::count(tx, &view.account, &INSTANCE, None)?, "instances")?;
        sql::still::<Vpc>(tx, &view.account, &object.parent)?;
        let user = (&INSTANCE, object.id.as_str());
        sql::use_it(tx, &view.account, user, (&VPC, &object.parent))?;
        for draft in &self.nics {
            let mut nic = draft.nic.clone();
            match &draft.behind {
                Behind::New(interface) => nic.interface = interface.write(tx, view)?.id,
                Behind::Existing(id) => {
                    sql::still::<Interface>(tx, &view.account, id)?;
                    let users = sql::users(tx, &view.account, (&INTERFACE, id))?;
                    if users.iter().any(|(kind, _)| kind == INSTANCE.word) {
                        return Err(in_use("The virtual network interface is attached already."));
                    }
                }
            }
            sql::use_it(tx, &view.account, user, (&INTERFACE, &nic.interface))?;
            object.body.nics.push(nic);
        }
        for draft in &self.volumes {
            match &draft.disk {
                Disk::New(volume) => {
                    within(limits.volumes, sql::count(tx, &view.account, &VOLUME, None)?, "volumes")?;
                    sql::insert(tx, &view.account, volume)?;
                }
                Disk::Existing(id) => {
                    sql::still::<Volume>(tx, &view.account, id)?;
                    if !sql::users(tx, &view.account, (&VOLUME, id))?.is_empty() {
                        return Err(in_use("The volume is attached already."));
                    }
                }
            }
            sql::use_it(tx, &view.account, user, (&VOLUME, &draft.attachment.volume))?;
            object.body.volumes.push(draft.attachment.clone());
        }
        if let Some(group) = &object.body.placement_group {
            sql::still::<PlacementGroup>(tx, &view.account, group)?;
            sql::use_it(tx, &view.account, user, (&PLACEMENT_GROUP, group))?;
        }
        sql::insert(tx, &view.account, &object)?;
        event.status = 201;
        event.target(object.crn(view), &object.name);
        if let Some((permit, link)) = &self.link {
            event.also.push(view.app.links.linker.link(tx, &view.account, permit, link)?);
        }
        Ok(object)
    }
}
