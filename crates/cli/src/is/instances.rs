//! `is instance…`: virtual servers.

use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::floating_ips::FLOATING_IP;
use super::images::IMAGE;
use super::keys::KEY;
use super::subnets::SUBNET;
use super::vpcs::VPC;
use super::{Group, Kind, Names, versioned};
use crate::api::{Api, Call, segment};
use crate::failure::{Failure, Result, failed, usage};
use crate::iam;
use crate::input::{confirm, json as json_value, raw};
use crate::output::cell;
use crate::select::Several;
use crate::session::Session;

/// Bytes of input for a program: in base64 they fit into a request.
const MOST_INPUT: u64 = 45 << 10;

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

#[derive(Debug, Args)]
pub struct OnInterface {
    #[arg(value_name = "INSTANCE")]
    instance: String,
    #[arg(value_name = "NIC")]
    interface: String,
    #[arg(value_name = "FLOATING_IP")]
    floating_ip: String,
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
    /// Run a program in an instance, and end with its status
    InstanceExec {
        #[arg(value_name = "NAME|ID")]
        instance: String,
        /// Hand over what stands in the standard input (45 KiB at most)
        #[arg(long)]
        stdin: bool,
        /// Seconds after which the program is ended
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(1..=50))]
        timeout: Option<i64>,
        /// The program and its arguments
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Show what an instance was made with
    InstanceInitializationValues {
        #[arg(value_name = "NAME|ID")]
        instance: String,
    },
    /// Give a network interface of an instance a floating IP
    InstanceNetworkInterfaceFloatingIpAdd(OnInterface),
    /// Take a floating IP from a network interface of an instance
    InstanceNetworkInterfaceFloatingIpRemove(OnInterface),
    /// List the floating IPs of a network interface of an instance
    InstanceNetworkInterfaceFloatingIps {
        #[arg(value_name = "INSTANCE")]
        instance: String,
        #[arg(value_name = "NIC")]
        interface: String,
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
        Command::InstanceExec { instance, stdin, timeout, command } => {
            exec(s, &instance, command, stdin, timeout).await
        }
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
        Command::InstanceNetworkInterfaceFloatingIpAdd(args) => {
            let (api, path) = floating_ip(s, "Adding", &args).await?;
            let added = api.send(versioned(Call::put(path))).await?.body;
            s.out.ok();
            super::details(s, &FLOATING_IP, &added)
        }
        Command::InstanceNetworkInterfaceFloatingIpRemove(args) => {
            confirm(s.force, &format!("Really take floating IP '{}' away?", args.floating_ip))?;
            let (api, path) = floating_ip(s, "Removing", &args).await?;
            api.send(versioned(Call::delete(path))).await?;
            s.out.ok();
            Ok(())
        }
        Command::InstanceNetworkInterfaceFloatingIps { instance, interface } => {
            let api = s.api().await?;
            s.out.progress(format!("Listing floating IPs of interface {interface}"));
            let path = interface_path(s, &api, &instance, &interface).await?;
            let found = api.send(versioned(Call::get(format!("{path}/floating_ips")))).await?.body;
            let all = found["floating_ips"].as_array().cloned().unwrap_or_default();
            s.out.list(&all, "No floating IPs found.", &["ID", "Name", "Address", "Status"], |f| {
                ["id", "name", "address", "status"].map(|field| cell(f, field)).to_vec()
            })
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

/// Runs a program in an instance. What it prints goes where it would have gone.
async fn exec(
    s: &mut Session,
    instance: &str,
    argv: Vec<String>,
    stdin: bool,
    timeout: Option<i64>,
) -> Result<()> {
    let mut input = Vec::new();
    if stdin {
        let mut here = std::io::stdin().lock().take(MOST_INPUT + 1);
        here.read_to_end(&mut input).map_err(|e| failed(format!("--stdin: cannot be read: {e}.")))?;
        if input.len() as u64 > MOST_INPUT {
            return Err(failed("--stdin: more than 45 KiB."));
        }
    }
    let mut body = json!({"argv": argv, "stdin": BASE64_STANDARD.encode(input)});
    if let Some(seconds) = timeout {
        body["timeout"] = json!(seconds);
    }
    let api = s.api().await?;
    let found = super::find(&api, &INSTANCE, instance, Several::unless(s.force)).await?;
    let path = format!("/avouch/v1/instances/{}/exec", segment(&cell(&found, "id")));
    let done = api.send(versioned(Call::post(path).json(body))).await?.body;
    let said = |name: &str| BASE64_STANDARD.decode(cell(&done, name)).unwrap_or_default();
    let wrote = std::io::stdout().write_all(&said("stdout")).and_then(|()| std::io::stdout().flush());
    let _ = std::io::stderr().write_all(&said("stderr"));
    wrote.map_err(|e| failed(format!("The standard output cannot be written: {e}.")))?;
    // As shells tell a signal.
    let signal = done["signal"].as_i64().map(|n| n + 128);
    match signal.or(done["exit_status"].as_i64()).and_then(|status| u8::try_from(status).ok()) {
        Some(0) => Ok(()),
        Some(status) => Err(Failure::Ended(status)),
        None => Err(failed("The server did not say how the program ended.")),
    }
}

/// The path of a network interface of an instance.
async fn interface_path(s: &Session, api: &Api, instance: &str, interface: &str) -> Result<String> {
    let found = super::find(api, &INSTANCE, instance, Several::unless(s.force)).await?;
    let path = format!("{}/network_interfaces", super::path_of(&INSTANCE, &found));
    let all = api.send(versioned(Call::get(path.clone()))).await?.body;
    let all = all["network_interfaces"].as_array().cloned().unwrap_or_default();
    let wanted = |n: &&Value| cell(n, "id") == interface || cell(n, "name") == interface;
    let found = all.iter().find(wanted);
    let found =
        found.ok_or_else(|| failed(format!("Instance '{instance}' has no interface '{interface}'.")))?;
    Ok(format!("{path}/{}", segment(&cell(found, "id"))))
}

/// The path of a floating IP below a network interface.
async fn floating_ip(s: &mut Session, what: &str, on: &OnInterface) -> Result<(Api, String)> {
    let api = s.api().await?;
    let OnInterface { instance, interface, floating_ip } = on;
    s.out.progress(format!("{what} floating IP {floating_ip} on interface {interface} of {instance}"));
    let path = interface_path(s, &api, instance, interface).await?;
    let found = super::find(&api, &FLOATING_IP, floating_ip, Several::unless(s.force)).await?;
    Ok((api, format!("{path}/floating_ips/{}", segment(&cell(&found, "id")))))
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
    let more = body.get_mut("network_interfaces").and_then(Value::as_array_mut);
    for interface in std::iter::once(&mut primary).chain(more.into_iter().flatten()) {
        // COMPAT: the published command line takes the name of a subnet here, the interface does not.
        if let Some(name) = interface.pointer("/subnet/name").and_then(Value::as_str).map(str::to_owned) {
            let found = super::find_among(&api, &SUBNET, &name, (several, &among)).await?;
            interface["subnet"] = json!({"id": cell(&found, "id")});
        }
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
