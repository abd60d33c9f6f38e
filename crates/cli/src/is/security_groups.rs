//! `is security-group…`: who may talk to whom.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::interfaces::INTERFACE;
use super::vpcs::VPC;
use super::{Group, Kind, Names, Rename, versioned};
use crate::api::{Call, segment};
use crate::failure::{Result, usage};
use crate::input::confirm;
use crate::output::cell;
use crate::select::Several;
use crate::session::Session;

pub const GROUP: Kind = Kind {
    one: "security group",
    several: "security groups",
    path: "security_groups",
    columns: &[
        ("Rules", "rules*id"),
        ("Targets", "targets*name"),
        ("VPC", "vpc.name"),
        ("Resource group", "resource_group.name"),
    ],
    rows: &[
        ("VPC", "vpc.name"),
        ("Rules", "rules*id"),
        ("Targets", "targets*name"),
        ("Resource group", "resource_group.name"),
        ("Created", "created_at"),
    ],
};

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Direction {
    Inbound,
    Outbound,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Protocol {
    All,
    Any,
    Icmp,
    Tcp,
    Udp,
}

#[derive(Debug, Args)]
pub struct Rule {
    #[arg(value_name = "GROUP")]
    group: String,
    #[arg(value_enum, ignore_case = true)]
    direction: Direction,
    #[arg(value_enum, ignore_case = true)]
    protocol: Protocol,
    /// Address, network, or another security group; anybody if it is left out
    #[arg(long, value_name = "ADDRESS|CIDR|GROUP")]
    remote: Option<String>,
    /// First port
    #[arg(long, value_name = "PORT", requires = "port_max")]
    port_min: Option<u16>,
    /// Last port
    #[arg(long, value_name = "PORT", requires = "port_min")]
    port_max: Option<u16>,
    /// Type (icmp)
    #[arg(long, value_name = "N")]
    icmp_type: Option<u8>,
    /// Code (icmp)
    #[arg(long, value_name = "N", requires = "icmp_type")]
    icmp_code: Option<u8>,
}

/// Commands on security groups.
#[derive(Debug, Subcommand)]
#[allow(private_interfaces, reason = "arguments shared by the commands of this family only")]
pub enum Command {
    /// List security groups
    SecurityGroups,
    /// Show a security group
    SecurityGroup {
        #[arg(value_name = "NAME|ID")]
        group: String,
    },
    /// Create a security group
    SecurityGroupCreate {
        name: String,
        #[arg(value_name = "VPC")]
        vpc: String,
        #[command(flatten)]
        group: Group,
    },
    /// Rename a security group
    SecurityGroupUpdate(Rename),
    /// Delete security groups that nothing uses
    SecurityGroupDelete(Names),
    /// List the rules of a security group
    SecurityGroupRules {
        #[arg(value_name = "GROUP")]
        group: String,
    },
    /// Add a rule to a security group
    SecurityGroupRuleAdd(Rule),
    /// Delete a rule of a security group
    SecurityGroupRuleDelete {
        #[arg(value_name = "GROUP")]
        group: String,
        #[arg(value_name = "RULE_ID")]
        rule: String,
    },
    /// List what is in a security group
    SecurityGroupTargets {
        #[arg(value_name = "GROUP")]
        group: String,
    },
    /// Put a virtual network interface into a security group
    SecurityGroupTargetAdd {
        #[arg(value_name = "GROUP")]
        group: String,
        #[arg(value_name = "INTERFACE")]
        target: String,
    },
    /// Take a virtual network interface out of a security group
    SecurityGroupTargetRemove {
        #[arg(value_name = "GROUP")]
        group: String,
        #[arg(value_name = "INTERFACE")]
        target: String,
    },
}

/// Runs a command on security groups.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::SecurityGroups => super::list(s, &GROUP, &[]).await,
        Command::SecurityGroup { group } => super::show(s, &GROUP, &group).await,
        Command::SecurityGroupCreate { name, vpc, group } => {
            let api = s.api().await?;
            s.out.progress(format!("Creating security group {name}"));
            let mut body = Map::new();
            body.insert("name".into(), json!(name));
            body.insert("vpc".into(), super::reference(&api, &VPC, &vpc, Several::unless(s.force)).await?);
            group.put(s, &api, &mut body).await?;
            super::create(s, &api, &GROUP, body).await
        }
        Command::SecurityGroupUpdate(args) => super::rename(s, &GROUP, args).await,
        Command::SecurityGroupDelete(names) => super::delete(s, &GROUP, &names).await,
        Command::SecurityGroupRules { group } => rules(s, &group).await,
        Command::SecurityGroupRuleAdd(rule) => add_rule(s, rule).await,
        Command::SecurityGroupRuleDelete { group, rule } => {
            confirm(s.force, &format!("Really delete rule '{rule}' of security group '{group}'?"))?;
            let tail = format!("rules/{}", segment(&rule));
            below(s, &group, "Deleting a rule", |path| Call::delete(format!("{path}/{tail}")))
                .await
                .map(drop)?;
            s.out.ok();
            Ok(())
        }
        Command::SecurityGroupTargets { group } => {
            let api = s.api().await?;
            s.out.progress(format!("Listing targets of security group {group}"));
            let found = super::find(&api, &GROUP, &group, Several::unless(s.force)).await?;
            let call = versioned(Call::get(format!("{}/targets", super::path_of(&GROUP, &found))));
            let all = api.list(call.query("limit", "100"), "targets").await?;
            s.out.list(&all, "No targets found.", &["ID", "Name", "Type"], |t| {
                ["id", "name", "resource_type"].map(|f| cell(t, f)).to_vec()
            })
        }
        Command::SecurityGroupTargetAdd { group, target } => {
            let tail = target_path(s, &target).await?;
            let done =
                below(s, &group, "Adding a target", |path| Call::put(format!("{path}/{tail}"))).await?;
            s.out.object(&done, &[("ID", cell(&done, "id")), ("Name", cell(&done, "name"))])
        }
        Command::SecurityGroupTargetRemove { group, target } => {
            confirm(s.force, &format!("Really take '{target}' out of security group '{group}'?"))?;
            let tail = target_path(s, &target).await?;
            below(s, &group, "Removing a target", |path| Call::delete(format!("{path}/{tail}"))).await?;
            s.out.ok();
            Ok(())
        }
    }
}

async fn target_path(s: &mut Session, target: &str) -> Result<String> {
    let api = s.api().await?;
    let found = super::find(&api, &INTERFACE, target, Several::unless(s.force)).await?;
    Ok(format!("targets/{}", segment(&cell(&found, "id"))))
}

/// A call below a security group.
async fn below(s: &mut Session, group: &str, doing: &str, call: impl FnOnce(&str) -> Call) -> Result<Value> {
    let api = s.api().await?;
    s.out.progress(format!("{doing} of security group {group}"));
    let found = super::find(&api, &GROUP, group, Several::unless(s.force)).await?;
    Ok(api.send(versioned(call(&super::path_of(&GROUP, &found)))).await?.body)
}

async fn rules(s: &mut Session, group: &str) -> Result<()> {
    let answer = below(s, group, "Listing rules", |path| Call::get(format!("{path}/rules"))).await?;
    let all = answer["rules"].as_array().cloned().unwrap_or_default();
    s.out.list(
        &all,
        "No rules found.",
        &["ID", "Direction", "IP version", "Protocol", "Ports", "Remote"],
        |r| {
            let mut row = ["id", "direction", "ip_version", "protocol"].map(|f| cell(r, f)).to_vec();
            row.push(ports(r));
            row.push(remote(r));
            row
        },
    )
}

fn ports(rule: &Value) -> String {
    match (cell(rule, "port_min"), cell(rule, "port_max")) {
        (min, max) if min == max => min,
        (min, max) => format!("{min}-{max}"),
    }
}

fn remote(rule: &Value) -> String {
    let found = ["name", "address", "cidr_block"].iter().map(|f| cell(&rule["remote"], f));
    found.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
}

async fn add_rule(s: &mut Session, rule: Rule) -> Result<()> {
    let icmp = matches!(rule.protocol, Protocol::Icmp);
    if rule.port_min.is_some() && !matches!(rule.protocol, Protocol::Tcp | Protocol::Udp) {
        return Err(usage("--port-min: only tcp and udp have ports."));
    }
    if rule.icmp_type.is_some() && !icmp {
        return Err(usage("--icmp-type: only icmp has types."));
    }
    let mut body = Map::new();
    let direction = match rule.direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    };
    let protocol = match rule.protocol {
        // COMPAT: published scripts say `all`.
        Protocol::All | Protocol::Any => "any",
        Protocol::Icmp => "icmp",
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    body.insert("direction".into(), json!(direction));
    body.insert("protocol".into(), json!(protocol));
    if let (Some(min), Some(max)) = (rule.port_min, rule.port_max) {
        body.insert("port_min".into(), json!(min));
        body.insert("port_max".into(), json!(max));
    }
    if let Some(kind) = rule.icmp_type {
        body.insert("type".into(), json!(kind));
    }
    if let Some(code) = rule.icmp_code {
        body.insert("code".into(), json!(code));
    }
    if let Some(text) = rule.remote {
        let remote = if text.parse::<std::net::Ipv4Addr>().is_ok() {
            json!({"address": text})
        } else if text.contains('/') {
            json!({"cidr_block": text})
        } else {
            let api = s.api().await?;
            super::reference(&api, &GROUP, &text, Several::unless(s.force)).await?
        };
        body.insert("remote".into(), remote);
    }
    let made =
        below(s, &rule.group, "Adding a rule", |path| Call::post(format!("{path}/rules")).json(body.into()))
            .await?;
    let rows = [
        ("ID", cell(&made, "id")),
        ("Direction", cell(&made, "direction")),
        ("Protocol", cell(&made, "protocol")),
        ("Ports", ports(&made)),
        ("Remote", remote(&made)),
    ];
    s.out.object(&made, &rows)
}
