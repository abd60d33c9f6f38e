//! `is floating-ip…`.

use clap::{Args, Subcommand};
use serde_json::{Map, json};

use super::interfaces::INTERFACE;
use super::{Group, Kind, Names};
use crate::failure::Result;
use crate::select::Several;
use crate::session::Session;

pub const FLOATING_IP: Kind = Kind {
    one: "floating IP",
    several: "floating IPs",
    path: "floating_ips",
    columns: &[
        ("Address", "address"),
        ("Status", "status"),
        ("Zone", "zone.name"),
        ("Target", "target.name"),
        ("Target type", "target.resource_type"),
        ("Resource group", "resource_group.name"),
    ],
    rows: &[
        ("Address", "address"),
        ("Status", "status"),
        ("Zone", "zone.name"),
        ("Target", "target.name"),
        ("Target ID", "target.id"),
        ("Resource group", "resource_group.name"),
        ("Created", "created_at"),
    ],
};

#[derive(Debug, Args)]
#[group(id = "where", required = true, multiple = false)]
pub struct Where {
    /// Zone, for an address without a target
    #[arg(long)]
    zone: Option<String>,
    /// Virtual network interface that it leads to
    #[arg(long, value_name = "NAME|ID")]
    vni: Option<String>,
}

/// Commands on floating IPs.
#[derive(Debug, Subcommand)]
#[allow(private_interfaces, reason = "arguments shared by the commands of this family only")]
pub enum Command {
    /// List floating IPs
    FloatingIps,
    /// Show a floating IP
    FloatingIp {
        #[arg(value_name = "NAME|ID")]
        floating_ip: String,
    },
    /// Reserve a floating IP
    FloatingIpReserve {
        name: String,
        #[command(flatten)]
        place: Where,
        #[command(flatten)]
        group: Group,
    },
    /// Change a floating IP
    FloatingIpUpdate {
        #[arg(value_name = "NAME|ID")]
        floating_ip: String,
        /// New name
        #[arg(long)]
        name: Option<String>,
        /// Virtual network interface that it leads to; an empty text takes it away
        #[arg(long, value_name = "NAME|ID")]
        vni: Option<String>,
    },
    /// Give floating IPs back
    FloatingIpRelease(Names),
}

/// Runs a command on floating IPs.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    let several = Several::unless(s.force);
    match command {
        Command::FloatingIps => super::list(s, &FLOATING_IP, &[]).await,
        Command::FloatingIp { floating_ip } => super::show(s, &FLOATING_IP, &floating_ip).await,
        Command::FloatingIpReserve { name, place, group } => {
            let api = s.api().await?;
            s.out.progress(format!("Reserving floating IP {name}"));
            let mut body = Map::new();
            body.insert("name".into(), json!(name));
            if let Some(zone) = place.zone {
                body.insert("zone".into(), json!({"name": zone}));
            }
            if let Some(vni) = &place.vni {
                body.insert("target".into(), super::reference(&api, &INTERFACE, vni, several).await?);
            }
            group.put(s, &api, &mut body).await?;
            super::create(s, &api, &FLOATING_IP, body).await
        }
        Command::FloatingIpUpdate { floating_ip, name, vni } => {
            let mut body = Map::new();
            if let Some(name) = name {
                body.insert("name".into(), json!(name));
            }
            if let Some(vni) = vni {
                let target = match vni.as_str() {
                    "" => serde_json::Value::Null,
                    vni => {
                        let api = s.api().await?;
                        super::reference(&api, &INTERFACE, vni, several).await?
                    }
                };
                body.insert("target".into(), target);
            }
            super::change(s, &FLOATING_IP, &floating_ip, body).await
        }
        Command::FloatingIpRelease(names) => super::delete(s, &FLOATING_IP, &names).await,
    }
}
