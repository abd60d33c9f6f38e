//! `is vpc…`.

use clap::{Subcommand, ValueEnum};
use serde_json::{Map, json};

use super::{Group, Kind, Names, Rename};
use crate::failure::Result;
use crate::session::Session;

pub const VPC: Kind = Kind {
    one: "VPC",
    several: "VPCs",
    path: "vpcs",
    columns: &[
        ("Status", "status"),
        ("Classic access", "classic_access"),
        ("Default network ACL", "default_network_acl.name"),
        ("Default security group", "default_security_group.name"),
        ("Resource group", "resource_group.name"),
    ],
    rows: &[
        ("Status", "status"),
        ("Default network ACL", "default_network_acl.name"),
        ("Default security group", "default_security_group.name"),
        ("Default routing table", "default_routing_table.name"),
        ("Resource group", "resource_group.name"),
        ("Created", "created_at"),
    ],
};

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Prefixes {
    Auto,
    Manual,
}

/// Commands on VPCs.
#[derive(Debug, Subcommand)]
#[allow(private_interfaces, reason = "arguments shared by the commands of this family only")]
pub enum Command {
    /// List VPCs
    Vpcs,
    /// Show a VPC
    Vpc {
        #[arg(value_name = "NAME|ID")]
        vpc: String,
    },
    /// Create a VPC
    VpcCreate {
        name: String,
        /// Whether each zone gets an address prefix
        #[arg(long, value_enum, default_value = "auto")]
        address_prefix_management: Prefixes,
        #[command(flatten)]
        group: Group,
    },
    /// Rename a VPC
    VpcUpdate(Rename),
    /// Delete VPCs that hold nothing
    VpcDelete(Names),
}

/// Runs a command on VPCs.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::Vpcs => super::list(s, &VPC, &[]).await,
        Command::Vpc { vpc } => super::show(s, &VPC, &vpc).await,
        Command::VpcCreate { name, address_prefix_management, group } => {
            let api = s.api().await?;
            s.out.progress(format!("Creating VPC {name}"));
            let management = match address_prefix_management {
                Prefixes::Auto => "auto",
                Prefixes::Manual => "manual",
            };
            let mut body = Map::new();
            body.insert("name".into(), json!(name));
            body.insert("address_prefix_management".into(), json!(management));
            group.put(s, &api, &mut body).await?;
            super::create(s, &api, &VPC, body).await
        }
        Command::VpcUpdate(args) => super::rename(s, &VPC, args).await,
        Command::VpcDelete(names) => super::delete(s, &VPC, &names).await,
    }
}
