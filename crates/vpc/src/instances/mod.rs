//! Virtual servers: what is wanted of them, and what became of it. Who runs them reads the wish and writes the state.

pub mod children;
pub mod exec;
pub mod http;
pub mod life;
pub mod prototype;
pub mod render;

use avouch_gate::{App, Endpoint, Error, Result};
use avouch_store::Tx;
use avouch_wire::ids::AccountId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::call::{self, View};
use crate::interfaces::children as floating;
use crate::objects::{Body, Kind, Object};

/// The kind.
pub const INSTANCE: Kind = Kind {
    word: "instance",
    path: "instances",
    below: "",
    attribute: "instanceId",
    display: "instance",
    resource_type: "instance",
    crn: true,
};

/// A network interface of an instance, with the virtual network interface behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    pub id: String,
    pub name: String,
    /// Id of the virtual network interface.
    pub interface: String,
}

/// A volume of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeAttachment {
    pub id: String,
    pub name: String,
    /// Id of the volume.
    pub volume: String,
    pub delete_with_instance: bool,
}

/// A key as it was when the instance was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyThen {
    pub id: String,
    pub crn: String,
    pub name: String,
    pub fingerprint: String,
    pub kind: String,
    pub length: i64,
    pub public_key: String,
    /// Epoch milliseconds.
    pub created_at: i64,
}

/// How the metadata service is reached from the instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataService {
    pub enabled: bool,
    /// `http` or `https`.
    pub protocol: String,
    /// 1 to 64.
    pub response_hop_limit: i64,
}

/// The trusted profile that the instance becomes when it names none; as recorded at creation, never refreshed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultProfile {
    pub id: String,
    pub crn: String,
    pub auto_link: bool,
}

/// Why an instance is as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// A published code.
    pub code: String,
    pub message: String,
}

/// Where an instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Pending,
    Starting,
    Running,
    Stopping,
    Stopped,
    Restarting,
    Deleting,
    Failed,
}

impl Status {
    /// The published word.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Starting => "starting",
            Status::Running => "running",
            Status::Stopping => "stopping",
            Status::Stopped => "stopped",
            Status::Restarting => "restarting",
            Status::Deleting => "deleting",
            Status::Failed => "failed",
        }
    }

    /// Whether who runs it has something to do.
    pub fn is_wish(self) -> bool {
        !matches!(self, Status::Running | Status::Stopped | Status::Failed)
    }
}

/// What an instance knows of itself; its parent is the VPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    pub zone: String,
    /// Name of the profile.
    pub profile: String,
    /// Id of the image.
    pub image: String,
    /// Its name when it was made.
    pub hostname: String,
    /// Made with attachments, not with interfaces.
    pub by_attachments: bool,
    /// The primary one first.
    pub nics: Vec<Nic>,
    /// The boot volume first.
    pub volumes: Vec<VolumeAttachment>,
    pub keys: Vec<KeyThen>,
    /// Sealed, in base64url.
    pub user_data: Option<String>,
    pub metadata_service: MetadataService,
    pub default_trusted_profile: Option<DefaultProfile>,
    pub placement_group: Option<String>,
    pub status: Status,
    pub status_reasons: Vec<Reason>,
    /// Raised by every start: what was given out in an earlier life counts no more.
    pub life: i64,
    /// Name of the replica that runs it; empty until one does.
    pub node: String,
    /// Whether it is to be stopped at once.
    #[serde(default)]
    pub force: bool,
}

/// What a sealed text of an instance is bound to.
fn bound(account: &AccountId, id: &str) -> Vec<u8> {
    format!("vpc-user-data:{account}:{id}").into_bytes()
}

/// Seals user data.
pub fn seal(app: &App, account: &AccountId, id: &str, text: &str) -> String {
    avouch_crypto::base64url::encode(app.keyring.seal(&bound(account, id), text.as_bytes()))
}

/// The user data of an instance, exactly as it was given.
///
/// # Errors
/// `Internal` when it cannot be opened.
pub fn user_data(app: &App, account: &AccountId, o: &Object<Instance>) -> Result<Option<String>> {
    let Some(sealed) = &o.body.user_data else { return Ok(None) };
    let sealed = avouch_crypto::base64url::decode(sealed).map_err(Error::internal)?;
    let plain = app.keyring.open(&bound(account, &o.id), &sealed).map_err(Error::internal)?;
    String::from_utf8(plain.expose().to_vec()).map(Some).map_err(|_| Error::internal("user data is no text"))
}

impl Body for Instance {
    const KIND: &'static Kind = &INSTANCE;

    fn zone(&self) -> Option<&str> {
        Some(&self.zone)
    }

    fn render(o: &Object<Self>, tx: &mut Tx<'_>, view: &View) -> Result<Value> {
        render::instance(o, tx, view)
    }
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const TARGET: &str = "is.instance/instance";
    const READ: &[&str] = &["is.instance.instance.read"];
    const UPDATE: &[&str] = &["is.instance.instance.update"];
    const DELETE: &[&str] = &["is.instance.instance.delete"];
    const ONE: &str = "/v1/instances/{id}";
    const NIC_FLOATING: &str = "/v1/instances/{id}/network_interfaces/{nic}/floating_ips";
    const ONE_NIC_FLOATING: &str = "/v1/instances/{id}/network_interfaces/{nic}/floating_ips/{floating_ip}";
    const FLOAT: &[&str] = &["is.instance.instance.update", "is.floating-ip.floating-ip.operate"];
    vec![
        call::get("/v1/instances", "list_instances", http::list).actions(READ).events(TARGET, READ),
        call::post("/v1/instances", "create_instance", http::create)
            .actions(&[
                "is.instance.instance.create",
                "is.vpc.vpc.operate",
                "is.subnet.subnet.operate",
                "is.security-group.security-group.operate",
                "is.volume.volume.create",
                "is.volume.volume.operate",
                "is.key.key.operate",
                "is.image.image.operate",
                "is.placement-group.placement-group.operate",
                "is.virtual-network-interface.virtual-network-interface.update",
                "is.virtual-network-interface.virtual-network-interface.manage-ip-spoofing",
                "is.virtual-network-interface.virtual-network-interface.manage-infrastructure-nat",
                "is.virtual-network-interface.virtual-network-interface.manage-protocol-state-filtering-mode",
                "iam-identity.profile.update",
                "iam-identity.profile.linkToResource",
            ])
            .events(TARGET, &["is.instance.instance.create", "iam-identity.profile-link.create"]),
        call::get(ONE, "get_instance", http::get).actions(READ).events(TARGET, READ),
        call::patch(ONE, "update_instance", http::update).actions(UPDATE).events(TARGET, UPDATE),
        call::delete(ONE, "delete_instance", http::delete).actions(DELETE).events(TARGET, DELETE),
        call::get("/v1/instances/{id}/initialization", "get_instance_initialization", http::initialization)
            .actions(READ)
            .events(TARGET, READ),
        call::post("/v1/instances/{id}/actions", "create_instance_action", http::act)
            .actions(&["is.instance.instance.operate"])
            .events(
                TARGET,
                &["is.instance.instance.start", "is.instance.instance.stop", "is.instance.action.create"],
            ),
        // Ours: what a console is elsewhere.
        call::post("/avouch/v1/instances/{id}/exec", "run_in_instance", exec::exec)
            .body_limit(exec::LARGEST)
            .actions(&["is.instance.instance.console"])
            .events(TARGET, &["is.instance.instance.console"]),
        call::get("/v1/instances/{id}/disks", "list_instance_disks", children::disks)
            .actions(READ)
            .events(TARGET, READ),
        call::get(
            "/v1/instances/{id}/network_interfaces",
            "list_instance_network_interfaces",
            children::interfaces,
        )
        .actions(READ)
        .events(TARGET, READ),
        call::get(
            "/v1/instances/{id}/network_interfaces/{nic}",
            "get_instance_network_interface",
            children::interface,
        )
        .actions(READ)
        .events(TARGET, READ),
        call::get(NIC_FLOATING, "list_instance_network_interface_floating_ips", floating::list_floating)
            .actions(READ)
            .events(TARGET, READ),
        call::get(ONE_NIC_FLOATING, "get_instance_network_interface_floating_ip", floating::get_floating)
            .actions(READ)
            .events(TARGET, READ),
        call::put(ONE_NIC_FLOATING, "add_instance_network_interface_floating_ip", floating::put_floating)
            .actions(FLOAT)
            .events(TARGET, UPDATE),
        call::delete(
            ONE_NIC_FLOATING,
            "remove_instance_network_interface_floating_ip",
            floating::delete_floating,
        )
        .actions(FLOAT)
        .events(TARGET, UPDATE),
        call::get(
            "/v1/instances/{id}/network_attachments",
            "list_instance_network_attachments",
            children::attachments,
        )
        .actions(READ)
        .events(TARGET, READ),
        call::get(
            "/v1/instances/{id}/network_attachments/{nic}",
            "get_instance_network_attachment",
            children::attachment,
        )
        .actions(READ)
        .events(TARGET, READ),
        call::get(
            "/v1/instances/{id}/volume_attachments",
            "list_instance_volume_attachments",
            children::volumes,
        )
        .actions(READ)
        .events(TARGET, READ),
        call::get(
            "/v1/instances/{id}/volume_attachments/{volume}",
            "get_instance_volume_attachment",
            children::volume,
        )
        .actions(READ)
        .events(TARGET, READ),
    ]
}
