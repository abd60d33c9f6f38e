//! `is instance…`: virtual servers.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::images::IMAGE;
use super::keys::KEY;
use super::subnets::SUBNET;
use super::vpcs::VPC;
use super::{Group, Kind, Names, versioned};
use crate::api::{Api, Call, segment};
use crate::failure::{Result, usage};
use crate::iam;
use crate::input::{confirm, json as json_value, raw};
use crate::output::cell;
use crate::select::Several;
use crate::session::Session;

pub const INSTANCE: Kind = Kind {
    one: "instance",
    several: "instances",
    path: "instances",
    columns: &[
        ("Status", "status"),
        ("Reserved IP", "primary_network_interface.primary_ip.address"),
        ("Profile", "profile.name"),
        ("Image", "image.name"),
        ("VPC", "vpc.name"),
        ("Zone", "zone.name"),
        ("Resource group", "resource_group.name"),
    ],
    rows: &[
        ("Status", "status"),
        ("Status reasons", "status_reasons*message"),
        ("Startable", "startable"),
        ("Profile", "profile.name"),
        ("Architecture", "vcpu.architecture"),
        ("vCPUs", "vcpu.count"),
        ("Memory(GiB)", "memory"),
        ("Bandwidth(Mbps)", "bandwidth"),
        ("Metadata service enabled", "metadata_service.enabled"),
        ("Metadata service protocol", "metadata_service.protocol"),
        ("Metadata service hop limit", "metadata_service.response_hop_limit"),
        ("Image", "image.name"),
        ("VPC", "vpc.name"),
        ("Zone", "zone.name"),
        ("Resource group", "resource_group.name"),
        ("Created", "created_at"),
        ("Boot volume", "boot_volume_attachment.volume.name"),
    ],
};

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Protocol {
    Http,
    Https,
}

impl Protocol {
    fn as_str(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::Https => "https",
        }
    }
}

#[derive(Debug, Args)]
#[allow(private_interfaces, reason = "arguments shared by the commands of this family only")]
pub struct Create {
    name: String,
    #[arg(value_name = "VPC")]
    vpc: String,
    #[arg(value_name = "ZONE")]
    zone: String,
    #[arg(value_name = "PROFILE")]
    profile: String,
    #[arg(value_name = "SUBNET")]
    subnet: String,
    /// Image
    #[arg(long, alias = "image-id", value_name = "NAME|ID")]
    image: Option<String>,
    /// Keys to sign on with
    #[arg(long, alias = "key-ids", value_delimiter = ',', value_name = "NAME|ID")]
    keys: Vec<String>,
    /// The primary network interface as JSON
    #[arg(long, value_name = "JSON|@FILE")]
    primary_network_interface: Option<String>,
    /// More network interfaces as JSON
    #[arg(long, value_name = "JSON|@FILE")]
    network_interface: Option<String>,
    /// What runs at the first boot
    #[arg(long, value_name = "TEXT|@FILE", allow_hyphen_values = true)]
    user_data: Option<String>,
    /// Whether the metadata service answers in it
    #[arg(long, value_name = "BOOL")]
    metadata_service: Option<bool>,
    /// How the metadata service is reached
    #[arg(long, value_enum)]
    metadata_service_protocol: Option<Protocol>,
    /// Hops that answers of the metadata service live
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=64))]
    metadata_service_response_hop_limit: Option<i64>,
    /// Trusted profile that it becomes when it names none: id, CRN or name
    #[arg(long, value_name = "ID|CRN|NAME")]
    default_trusted_profile: Option<String>,
    /// Whether it is linked to that profile
    #[arg(long, value_name = "BOOL", requires = "default_trusted_profile")]
    default_trusted_profile_auto_link: Option<bool>,
    /// The boot volume as JSON
    #[arg(long, value_name = "JSON|@FILE")]
    boot_volume: Option<String>,
    /// More volumes as JSON
    #[arg(long, value_name = "JSON|@FILE")]
    volume_attach: Option<String>,
    #[command(flatten)]
    group: Group,
}

#[derive(Debug, Args)]
pub struct Act {
    #[arg(value_name = "INSTANCE", required = true)]
    instances: Vec<String>,
    /// Kept for scripts: nobody waits here
    #[arg(long)]
    no_wait: bool,
}

/// Commands on instances.
#[derive(Debug, Subcommand)]
#[allow(private_interfaces, reason = "arguments shared by the commands of this family only")]
pub enum Command {
    /// List instances
    Instances,
    /// Show an instance
    Instance {
        #[arg(value_name = "NAME|ID")]
        instance: String,
    },
    /// Create an instance
    InstanceCreate(Box<Create>),
    /// Change an instance
    InstanceUpdate {
        #[arg(value_name = "NAME|ID")]
        instance: String,
        /// New name
        #[arg(long)]
        name: Option<String>,
        /// Whether the metadata service answers in it
        #[arg(long, value_name = "BOOL")]
        metadata_service: Option<bool>,
        /// How the metadata service is reached
        #[arg(long, value_enum)]
        metadata_service_protocol: Option<Protocol>,
        /// Hops that answers of the metadata service live
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=64))]
        metadata_service_response_hop_limit: Option<i64>,
        /// Another profile
        #[arg(long, value_name = "NAME")]
        profile: Option<String>,
    },
    /// Delete instances, with the links of trusted profiles to them
    InstanceDelete(Names),
    /// Start instances
    InstanceStart(Act),
    /// Stop instances
    InstanceStop(Act),
    /// Stop instances and start them again
    InstanceReboot(Act),
    /// Show what an instance was made with
    InstanceInitializationValues {
        #[arg(value_name = "NAME|ID")]
        instance: String,
    },
    /// List the network interfaces of an instance
    InstanceNetworkInterfaces {
        #[arg(value_name = "NAME|ID")]
        instance: String,
    },
}

/// Runs a command on instances.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::Instances => super::list(s, &INSTANCE, &[]).await,
        Command::Instance { instance } => super::show(s, &INSTANCE, &instance).await,
        Command::InstanceCreate(args) => create(s, *args).await,
        Command::InstanceUpdate {
            instance,
            name,
            metadata_service,
            metadata_service_protocol,
            metadata_service_response_hop_limit,
            profile,
        } => {
            let mut body = Map::new();
            if let Some(name) = name {
                body.insert("name".into(), json!(name));
            }
            if let Some(profile) = profile {
                body.insert("profile".into(), json!({"name": profile}));
            }
            let hops = metadata_service_response_hop_limit;
            put_metadata(&mut body, metadata_service, metadata_service_protocol, hops);
            super::change(s, &INSTANCE, &instance, body).await
        }
        Command::InstanceDelete(names) => super::delete(s, &INSTANCE, &names).await,
        Command::InstanceStart(args) => act(s, "start", args).await,
        Command::InstanceStop(args) => act(s, "stop", args).await,
        Command::InstanceReboot(args) => act(s, "reboot", args).await,
        Command::InstanceInitializationValues { instance } => {
            let found = below(s, &instance, "initialization").await?;
            let names = |list: &str| super::field(&found, list);
            let rows = [
                ("Keys", names("keys*name")),
                ("Default trusted profile", cell(&found, "default_trusted_profile.target.id")),
                ("Default trusted profile auto link", cell(&found, "default_trusted_profile.auto_link")),
            ];
            s.out.object(&found, &rows)
        }
        Command::InstanceNetworkInterfaces { instance } => {
            let found = below(s, &instance, "network_interfaces").await?;
            let all = found["network_interfaces"].as_array().cloned().unwrap_or_default();
            let titles = ["ID", "Name", "Reserved IP", "Subnet", "Type", "Status", "Floating IPs"];
            s.out.list(&all, "No network interfaces found.", &titles, |n| {
                ["id", "name", "primary_ip.address", "subnet.name", "type", "status", "floating_ips*address"]
                    .map(|f| super::field(n, f))
                    .to_vec()
            })
        }
    }
}

/// What stands below an instance.
async fn below(s: &mut Session, instance: &str, part: &str) -> Result<Value> {
    let api = s.api().await?;
    s.out.progress(format!("Getting {part} of instance {instance}"));
    let found = super::find(&api, &INSTANCE, instance, Several::unless(s.force)).await?;
    Ok(api.send(versioned(Call::get(format!("{}/{part}", super::path_of(&INSTANCE, &found))))).await?.body)
}

fn put_metadata(
    body: &mut Map<String, Value>,
    enabled: Option<bool>,
    protocol: Option<Protocol>,
    hops: Option<i64>,
) {
    let mut service = Map::new();
    if let Some(enabled) = enabled {
        service.insert("enabled".into(), json!(enabled));
    }
    if let Some(protocol) = protocol {
        service.insert("protocol".into(), json!(protocol.as_str()));
    }
    if let Some(hops) = hops {
        service.insert("response_hop_limit".into(), json!(hops));
    }
    if !service.is_empty() {
        body.insert("metadata_service".into(), service.into());
    }
}

/// The trusted profile as the interface wants it; a name is looked up here.
async fn profile(api: &Api, wanted: &str, several: Several) -> Result<Value> {
    if wanted.starts_with("crn:") {
        return Ok(json!({"crn": wanted}));
    }
    Ok(json!({"id": cell(&iam::find_profile(api, wanted, several).await?, "id")}))
}

/// JSON that is a list, or one object of it.
fn list_of(option: &str, text: &str) -> Result<Value> {
    match json_value(option, text)? {
        list @ Value::Array(_) => Ok(list),
        one @ Value::Object(_) => Ok(json!([one])),
        _ => Err(usage(format!("{option}: wanted an object or a list of them."))),
    }
}

async fn create(s: &mut Session, args: Create) -> Result<()> {
    let several = Several::unless(s.force);
    if args.image.is_none() {
        return Err(usage("Missing required option --image."));
    }
    let mut body: Map<String, Value> = Map::new();
    body.insert("name".into(), json!(args.name));
    body.insert("zone".into(), json!({"name": args.zone}));
    body.insert("profile".into(), json!({"name": args.profile}));
    if let Some(text) = &args.user_data {
        body.insert("user_data".into(), json!(raw(text)?));
    }
    let mut primary = match &args.primary_network_interface {
        Some(text) => json_value("--primary-network-interface", text)?,
        None => json!({}),
    };
    if let Some(text) = &args.network_interface {
        body.insert("network_interfaces".into(), list_of("--network-interface", text)?);
    }
    if let Some(text) = &args.boot_volume {
        body.insert("boot_volume_attachment".into(), json_value("--boot-volume", text)?);
    }
    if let Some(text) = &args.volume_attach {
        body.insert("volume_attachments".into(), list_of("--volume-attach", text)?);
    }
    put_metadata(
        &mut body,
        args.metadata_service,
        args.metadata_service_protocol,
        args.metadata_service_response_hop_limit,
    );
    let api = s.api().await?;
    s.out.progress(format!("Creating instance {}", args.name));
    let vpc = super::find(&api, &VPC, &args.vpc, several).await?;
    let vpc_id = cell(&vpc, "id");
    let among = [("vpc.id", vpc_id.clone())];
    let subnet = super::find_among(&api, &SUBNET, &args.subnet, (several, &among)).await?;
    body.insert("vpc".into(), json!({"id": vpc_id}));
    if let Some(primary) = primary.as_object_mut() {
        primary.entry("subnet").or_insert_with(|| json!({"id": cell(&subnet, "id")}));
    }
    body.insert("primary_network_interface".into(), primary);
    if let Some(image) = &args.image {
        body.insert("image".into(), super::reference(&api, &IMAGE, image, several).await?);
    }
    let mut keys = Vec::new();
    for key in &args.keys {
        keys.push(super::reference(&api, &KEY, key, several).await?);
    }
    if !keys.is_empty() {
        body.insert("keys".into(), keys.into());
    }
    if let Some(wanted) = &args.default_trusted_profile {
        let target = profile(&api, wanted, several).await?;
        let link = args.default_trusted_profile_auto_link.unwrap_or(true);
        body.insert("default_trusted_profile".into(), json!({"target": target, "auto_link": link}));
    }
    args.group.put(s, &api, &mut body).await?;
    super::create(s, &api, &INSTANCE, body).await
}

async fn act(s: &mut Session, kind: &str, args: Act) -> Result<()> {
    if kind != "start" {
        confirm(s.force, &format!("Really {kind} instance '{}'?", args.instances.join("', '")))?;
    }
    let api = s.api().await?;
    for name in &args.instances {
        s.out.progress(format!("Asking instance {name} to {kind}"));
        let found = super::find(&api, &INSTANCE, name, Several::unless(s.force)).await?;
        let path = format!("/v1/{}/{}/actions", INSTANCE.path, segment(&cell(&found, "id")));
        api.send(versioned(Call::post(path)).json(json!({"type": kind}))).await?;
        s.out.ok();
    }
    Ok(())
}
