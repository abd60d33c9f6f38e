//! `is virtual-network-interface…`.

use clap::{Args, Subcommand};
use serde_json::{Map, json};

use super::security_groups::GROUP;
use super::subnets::SUBNET;
use super::{Group, Kind, Names};
use crate::failure::Result;
use crate::select::Several;
use crate::session::Session;

pub const INTERFACE: Kind = Kind {
    one: "virtual network interface",
    several: "virtual network interfaces",
    path: "virtual_network_interfaces",
    columns: &[
        ("Status", "lifecycle_state"),
        ("Address", "primary_ip.address"),
        ("Subnet", "subnet.name"),
        ("VPC", "vpc.name"),
        ("Zone", "zone.name"),
        ("Resource group", "resource_group.name"),
    ],
    rows: &[
        ("Status", "lifecycle_state"),
        ("Address", "primary_ip.address"),
        ("MAC address", "mac_address"),
        ("Subnet", "subnet.name"),
        ("Security groups", "security_groups*name"),
        ("IP spoofing allowed", "allow_ip_spoofing"),
        ("Auto delete", "auto_delete"),
        ("Target", "target.name"),
        ("VPC", "vpc.name"),
        ("Zone", "zone.name"),
        ("Resource group", "resource_group.name"),
        ("Created", "created_at"),
    ],
};

#[derive(Debug, Args)]
#[allow(private_interfaces, reason = "arguments shared by the commands of this family only")]
pub struct Create {
    /// Name
    #[arg(long)]
    name: Option<String>,
    /// Subnet
    #[arg(long, value_name = "NAME|ID")]
    subnet: String,
    /// Address of the subnet; any free one if it is left out
    #[arg(long, value_name = "ADDRESS")]
    rip_address: Option<String>,
    /// Security groups; the default group of the VPC if they are left out
    #[arg(long, value_delimiter = ',', value_name = "NAME|ID")]
    sgs: Vec<String>,
    /// Whether it goes with what it is attached to
    #[arg(long, value_name = "BOOL")]
    auto_delete: Option<bool>,
    /// Whether other source addresses may be sent
    #[arg(long, value_name = "BOOL")]
    allow_ip_spoofing: Option<bool>,
    #[command(flatten)]
    group: Group,
}

/// Commands on virtual network interfaces.
#[derive(Debug, Subcommand)]
#[allow(private_interfaces, reason = "arguments shared by the commands of this family only")]
pub enum Command {
    /// List virtual network interfaces
    VirtualNetworkInterfaces,
    /// Show a virtual network interface
    VirtualNetworkInterface {
        #[arg(value_name = "NAME|ID")]
        interface: String,
    },
    /// Create a virtual network interface
    VirtualNetworkInterfaceCreate(Create),
    /// Change a virtual network interface
    VirtualNetworkInterfaceUpdate {
        #[arg(value_name = "NAME|ID")]
        interface: String,
        /// New name
        #[arg(long)]
        name: Option<String>,
        /// Whether it goes with what it is attached to
        #[arg(long, value_name = "BOOL")]
        auto_delete: Option<bool>,
        /// Whether other source addresses may be sent
        #[arg(long, value_name = "BOOL")]
        allow_ip_spoofing: Option<bool>,
    },
    /// Delete virtual network interfaces that nothing uses
    VirtualNetworkInterfaceDelete(Names),
}

/// Runs a command on virtual network interfaces.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::VirtualNetworkInterfaces => super::list(s, &INTERFACE, &[]).await,
        Command::VirtualNetworkInterface { interface } => super::show(s, &INTERFACE, &interface).await,
        Command::VirtualNetworkInterfaceCreate(args) => create(s, args).await,
        Command::VirtualNetworkInterfaceUpdate { interface, name, auto_delete, allow_ip_spoofing } => {
            let mut body = Map::new();
            if let Some(name) = name {
                body.insert("name".into(), json!(name));
            }
            if let Some(flag) = auto_delete {
                body.insert("auto_delete".into(), json!(flag));
            }
            if let Some(flag) = allow_ip_spoofing {
                body.insert("allow_ip_spoofing".into(), json!(flag));
            }
            super::change(s, &INTERFACE, &interface, body).await
        }
        Command::VirtualNetworkInterfaceDelete(names) => super::delete(s, &INTERFACE, &names).await,
    }
}

async fn create(s: &mut Session, args: Create) -> Result<()> {
    let several = Several::unless(s.force);
    let api = s.api().await?;
    s.out.progress("Creating a virtual network interface");
    let mut body = Map::new();
    body.insert("subnet".into(), super::reference(&api, &SUBNET, &args.subnet, several).await?);
    if let Some(name) = args.name {
        body.insert("name".into(), json!(name));
    }
    if let Some(address) = args.rip_address {
        body.insert("primary_ip".into(), json!({"address": address}));
    }
    let mut groups = Vec::new();
    for group in &args.sgs {
        groups.push(super::reference(&api, &GROUP, group, several).await?);
    }
    if !groups.is_empty() {
        body.insert("security_groups".into(), groups.into());
    }
    if let Some(flag) = args.auto_delete {
        body.insert("auto_delete".into(), json!(flag));
    }
    if let Some(flag) = args.allow_ip_spoofing {
        body.insert("allow_ip_spoofing".into(), json!(flag));
    }
    args.group.put(s, &api, &mut body).await?;
    super::create(s, &api, &INTERFACE, body).await
}
