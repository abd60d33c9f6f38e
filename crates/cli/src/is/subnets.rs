//! `is subnet…`.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::vpcs::VPC;
use super::{Group, Kind, Names};
use crate::failure::{Result, usage};
use crate::output::cell;
use crate::select::Several;
use crate::session::Session;

pub const SUBNET: Kind = Kind {
    one: "subnet",
    several: "subnets",
    path: "subnets",
    columns: &[
        ("Status", "status"),
        ("Subnet CIDR", "ipv4_cidr_block"),
        ("Addresses", "available_ipv4_address_count"),
        ("ACL", "network_acl.name"),
        ("VPC", "vpc.name"),
        ("Zone", "zone.name"),
        ("Resource group", "resource_group.name"),
    ],
    rows: &[
        ("Status", "status"),
        ("IPv4 CIDR", "ipv4_cidr_block"),
        ("Addresses available", "available_ipv4_address_count"),
        ("Addresses total", "total_ipv4_address_count"),
        ("ACL", "network_acl.name"),
        ("Routing table", "routing_table.name"),
        ("VPC", "vpc.name"),
        ("Zone", "zone.name"),
        ("Resource group", "resource_group.name"),
        ("Created", "created_at"),
    ],
};

const ACL: Kind =
    Kind { one: "network ACL", several: "network ACLs", path: "network_acls", columns: &[], rows: &[] };

#[derive(Debug, Args)]
#[allow(private_interfaces, reason = "arguments shared by the commands of this family only")]
pub struct Create {
    name: String,
    #[arg(value_name = "VPC")]
    vpc: String,
    #[arg(value_name = "ZONE")]
    place: Option<String>,
    /// Zone
    #[arg(long, value_name = "ZONE", conflicts_with = "place")]
    zone: Option<String>,
    /// How many addresses, a power of two
    #[arg(long, value_name = "N", conflicts_with = "ipv4_cidr_block")]
    ipv4_address_count: Option<i64>,
    /// Which addresses
    #[arg(long, value_name = "CIDR")]
    ipv4_cidr_block: Option<String>,
    /// Network ACL; that of the VPC if it is left out
    #[arg(long, value_name = "NAME|ID")]
    acl: Option<String>,
    #[command(flatten)]
    group: Group,
}

/// Commands on subnets.
#[derive(Debug, Subcommand)]
#[allow(private_interfaces, reason = "arguments shared by the commands of this family only")]
pub enum Command {
    /// List subnets
    Subnets {
        /// Only those of this VPC
        #[arg(long, value_name = "NAME|ID")]
        vpc: Option<String>,
        /// Only those in this zone
        #[arg(long)]
        zone: Option<String>,
    },
    /// Show a subnet
    Subnet {
        #[arg(value_name = "NAME|ID")]
        subnet: String,
    },
    /// Create a subnet
    SubnetCreate(Create),
    /// Change a subnet
    SubnetUpdate {
        #[arg(value_name = "NAME|ID")]
        subnet: String,
        /// New name
        #[arg(long)]
        name: Option<String>,
        /// Network ACL
        #[arg(long, value_name = "NAME|ID")]
        acl: Option<String>,
    },
    /// Delete subnets that nothing uses
    SubnetDelete(Names),
}

/// Runs a command on subnets.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    let several = Several::unless(s.force);
    match command {
        Command::Subnets { vpc, zone } => {
            let api = s.api().await?;
            let mut filters = Vec::new();
            if let Some(vpc) = vpc {
                filters.push(("vpc.id", cell(&super::find(&api, &VPC, &vpc, several).await?, "id")));
            }
            filters.extend(zone.map(|zone| ("zone.name", zone)));
            super::list(s, &SUBNET, &filters).await
        }
        Command::Subnet { subnet } => super::show(s, &SUBNET, &subnet).await,
        Command::SubnetCreate(args) => create(s, args).await,
        Command::SubnetUpdate { subnet, name, acl } => {
            let mut body = Map::new();
            if let Some(name) = name {
                body.insert("name".into(), json!(name));
            }
            if let Some(acl) = acl {
                let api = s.api().await?;
                body.insert("network_acl".into(), super::reference(&api, &ACL, &acl, several).await?);
            }
            super::change(s, &SUBNET, &subnet, body).await
        }
        Command::SubnetDelete(names) => super::delete(s, &SUBNET, &names).await,
    }
}

async fn create(s: &mut Session, args: Create) -> Result<()> {
    let several = Several::unless(s.force);
    if args.ipv4_address_count.is_none() && args.ipv4_cidr_block.is_none() {
        return Err(usage("Missing required option --ipv4-cidr-block or --ipv4-address-count."));
    }
    let api = s.api().await?;
    s.out.progress(format!("Creating subnet {}", args.name));
    let mut body: Map<String, Value> = Map::new();
    body.insert("name".into(), json!(args.name));
    body.insert("vpc".into(), super::reference(&api, &VPC, &args.vpc, several).await?);
    if let Some(zone) = args.zone.or(args.place) {
        body.insert("zone".into(), json!({"name": zone}));
    }
    if let Some(count) = args.ipv4_address_count {
        body.insert("total_ipv4_address_count".into(), json!(count));
    }
    if let Some(network) = args.ipv4_cidr_block {
        body.insert("ipv4_cidr_block".into(), json!(network));
    }
    if let Some(acl) = &args.acl {
        body.insert("network_acl".into(), super::reference(&api, &ACL, acl, several).await?);
    }
    args.group.put(s, &api, &mut body).await?;
    super::create(s, &api, &SUBNET, body).await
}
