//! Requests on subnets.

use avouch_gate::{Error, Kind, Response, Result};
use avouch_store::Tx;
use ipnet::Ipv4Net;

use super::{SUBNET, Subnet, may_be_network, rules};
use crate::address_prefixes::AddressPrefix;
use crate::call::{Call, View};
use crate::errors::{in_use, no_such};
use crate::fields::{Fields, Identity};
use crate::names;
use crate::network_acls::{NETWORK_ACL, NetworkAcl};
use crate::objects::{self, Body, Object, children, http as common, sql, within};
use crate::paging::{self, Keep, Wanted};
use crate::reserved_ips::{self, ReservedIp};
use crate::routing_tables::{ROUTING_TABLE, RoutingTable};
use crate::vpcs::{VPC, Vpc};

pub async fn list(call: Call) -> Result<Response> {
    let mut keep: Vec<Keep<Subnet>> = paging::by_group(&call)?;
    keep.extend(paging::by_vpc(&call)?);
    let asked = |name| call.request.query(name).map_err(crate::errors::in_parameter);
    if let Some(zone) = asked("zone.name")? {
        keep.push(Box::new(move |_, _, o| Ok(o.body.zone == zone)));
    }
    if let Some(table) = asked("routing_table.id")? {
        keep.push(Box::new(move |_, _, o| Ok(o.body.routing_table == table)));
    }
    if let Some(name) = asked("routing_table.name")? {
        keep.push(Box::new(move |tx, view, o| {
            Ok(sql::need::<RoutingTable>(tx, &view.account, &o.body.routing_table)?.name == name)
        }));
    }
    paging::list(&call, Wanted { plural: "subnets", action: "is.subnet.subnet.read", parent: None }, keep)
        .await
}

pub async fn get(call: Call) -> Result<Response> {
    common::get::<Subnet>(call, "is.subnet.subnet.read").await
}

/// What is wanted of the addresses.
#[derive(Debug, Clone, Copy)]
enum Range {
    Network(Ipv4Net),
    Size(i64),
}

fn range(fields: &mut Fields) -> Result<Range> {
    let network = fields.network("ipv4_cidr_block")?;
    let size = fields.number("total_ipv4_address_count", 8, 1 << 23)?;
    match (network, size) {
        (Some(network), None) => {
            may_be_network("ipv4_cidr_block", network)?;
            Ok(Range::Network(network))
        }
        (None, Some(size)) if size & (size - 1) == 0 => Ok(Range::Size(size)),
        (None, Some(_)) => Err(Error::invalid(
            "total_ipv4_address_count",
            "The property 'total_ipv4_address_count' must be a power of two.",
        )),
        (None, None) => Err(Error::missing("ipv4_cidr_block")),
        (Some(_), Some(_)) => Err(Error::invalid(
            "total_ipv4_address_count",
            "Give either 'ipv4_cidr_block' or 'total_ipv4_address_count'.",
        )),
    }
}

/// The network and the zone of a new subnet.
fn place(
    tx: &mut Tx<'_>,
    view: &View,
    vpc: &str,
    (range, zone): (Range, Option<&str>),
) -> Result<(Ipv4Net, String)> {
    let mut others = Vec::new();
    for subnet in sql::children::<Subnet>(tx, &view.account, vpc)? {
        others.push(subnet.body.network()?);
    }
    let prefixes = sql::children::<AddressPrefix>(tx, &view.account, vpc)?;
    let impossible =
        |field: &'static str, text: &'static str| Error::new(Kind::Unprocessable, text).field(field);
    match range {
        Range::Network(network) => {
            let mut around = None;
            for prefix in &prefixes {
                if prefix.body.network()?.contains(&network) {
                    around = Some(prefix);
                }
            }
            let prefix = around.ok_or_else(|| {
                impossible(
                    "ipv4_cidr_block",
                    "The property 'ipv4_cidr_block' is in no address prefix of the VPC.",
                )
            })?;
            if zone.is_some_and(|z| z != prefix.body.zone) {
                return Err(impossible(
                    "zone",
                    "The address prefix of 'ipv4_cidr_block' is in another zone.",
                ));
            }
            if others.iter().any(|o| rules::overlap(o, &network)) {
                return Err(impossible(
                    "ipv4_cidr_block",
                    "The property 'ipv4_cidr_block' overlaps with another subnet.",
                ));
            }
            Ok((network, prefix.body.zone.clone()))
        }
        Range::Size(size) => {
            let zone = zone.ok_or_else(|| Error::missing("zone"))?;
            let prefix = prefixes
                .iter()
                .find(|p| p.body.default && p.body.zone == zone)
                .ok_or_else(|| impossible("zone", "The VPC has no default address prefix in the zone."))?;
            let network = rules::first_free(&prefix.body.network()?, size, &others).ok_or_else(|| {
                impossible(
                    "total_ipv4_address_count",
                    "The default address prefix has no room for so many addresses.",
                )
            })?;
            Ok((network, zone.to_owned()))
        }
    }
}

/// An object of the same VPC, of which the caller may make use.
async fn of_vpc<T: Body>(call: &Call, vpc: &Object<Vpc>, identity: &Identity) -> Result<Object<T>> {
    let (view, named) = (call.view.clone(), identity.clone());
    let found = call.ctx.read(move |tx| view.find::<T>(tx, &named)).await?;
    if found.parent != vpc.id {
        return Err(no_such(identity.field.clone(), T::KIND.display));
    }
    if T::KIND == &NETWORK_ACL {
        call.authorize("is.network-acl.network-acl.operate", T::KIND, &call.view.target(&found)).await?;
    } else {
        call.authorize("is.vpc.routing-table.operate", &VPC, &call.view.target(vpc)).await?;
    }
    Ok(found)
}

pub async fn create(call: Call) -> Result<Response> {
    let mut fields = Fields::of(&call.request)?;
    fields.word("ip_version", &["ipv4"])?;
    let range = range(&mut fields)?;
    let zone = call.zone(&mut fields)?.map(|z| z.name);
    let vpc = fields.identity("vpc")?;
    let vpc = fields.must("vpc", vpc)?;
    let acl = fields.identity("network_acl")?;
    let table = fields.identity("routing_table")?;
    let name = call.name(&mut fields)?;
    let group = call.group(&mut fields).await?;
    fields.done()?;
    let permit = call.may_create("is.subnet.subnet.create", &SUBNET, &group.id, &name).await?;
    let vpc: Object<Vpc> = call.usable(&vpc, "is.vpc.vpc.operate").await?;
    let acl = match acl {
        Some(acl) => of_vpc::<NetworkAcl>(&call, &vpc, &acl).await?.id,
        None => vpc.body.default_network_acl.clone(),
    };
    let table = match table {
        Some(table) => of_vpc::<RoutingTable>(&call, &vpc, &table).await?.id,
        None => vpc.body.default_routing_table.clone(),
    };
    // The zone, and with it the prefix of the ids, may follow from the network.
    let (view, asked, id) = (call.view.clone(), zone.clone(), vpc.id.clone());
    let (_, found) = call.ctx.read(move |tx| place(tx, &view, &id, (range, asked.as_deref()))).await?;
    let zone =
        call.view.region.zone(&found).cloned().ok_or_else(|| Error::internal("a prefix without zone"))?;
    let kept: Vec<String> = (0..5).map(|_| call.id(Some(&zone))).collect();
    let body =
        Subnet { zone: zone.name.clone(), cidr: String::new(), network_acl: acl, routing_table: table };
    let object = objects::new(&call, (call.id(Some(&zone)), name), &group.id, body).below(&vpc.id);
    common::create(&call, permit, object, move |tx, view, o| {
        sql::still::<Vpc>(tx, &view.account, &o.parent)?;
        sql::still::<NetworkAcl>(tx, &view.account, &o.body.network_acl)?;
        sql::still::<RoutingTable>(tx, &view.account, &o.body.routing_table)?;
        let have = sql::count(tx, &view.account, &SUBNET, Some(&o.parent))?;
        within(view.app.config.limits.subnets_per_vpc, have, "subnets")?;
        let (network, _) = place(tx, view, &o.parent, (range, Some(&zone.name)))?;
        o.body.cidr = network.to_string();
        for ((name, address), id) in rules::kept(&network).into_iter().zip(&kept) {
            let ip =
                ReservedIp { address: address.to_string(), auto_delete: false, provider: true, holder: None };
            let ip = Object {
                id: id.clone(),
                name: name.into(),
                scope: o.id.clone(),
                parent: o.id.clone(),
                group: String::new(),
                revision: 1,
                created_at: o.created_at,
                body: ip,
            };
            sql::take(tx, &view.account, (&o.id, &ip.body.address), &ip.id)?;
            sql::insert(tx, &view.account, &ip)?;
        }
        use_rules(tx, view, o)
    })
    .await
}

/// Notes which ACL and routing table the subnet uses.
fn use_rules(tx: &mut Tx<'_>, view: &View, o: &Object<Subnet>) -> Result<()> {
    for (kind, id) in [(&NETWORK_ACL, &o.body.network_acl), (&ROUTING_TABLE, &o.body.routing_table)] {
        for old in sql::used(tx, &view.account, (&SUBNET, &o.id), kind)? {
            sql::leave_it(tx, &view.account, (&SUBNET, &o.id), (kind, &old))?;
        }
        sql::use_it(tx, &view.account, (&SUBNET, &o.id), (kind, id))?;
    }
    Ok(())
}

pub async fn update(call: Call) -> Result<Response> {
    let mut fields = Fields::patch(&call.request)?;
    let name = names::read(&mut fields)?;
    let acl = fields.identity("network_acl")?;
    let table = fields.identity("routing_table")?;
    fields.done()?;
    let subnet = changed(&call, name, (acl, table)).await?;
    call.show(200, subnet).await
}

async fn changed(
    call: &Call,
    name: Option<String>,
    (acl, table): (Option<Identity>, Option<Identity>),
) -> Result<Object<Subnet>> {
    let (subnet, permit) = call.permitted::<Subnet>("is.subnet.subnet.update").await?;
    let (view, parent) = (call.view.clone(), subnet.parent.clone());
    let vpc: Object<Vpc> = call.ctx.read(move |tx| sql::shown(tx, &view.account, &parent)).await?;
    let acl = match acl {
        Some(acl) => Some(of_vpc::<NetworkAcl>(call, &vpc, &acl).await?.id),
        None => None,
    };
    let table = match table {
        Some(table) => Some(of_vpc::<RoutingTable>(call, &vpc, &table).await?.id),
        None => None,
    };
    for (kind, id) in [(&NETWORK_ACL, &acl), (&ROUTING_TABLE, &table)] {
        if let Some(id) = id {
            children::tell(call, kind.word, id);
        }
    }
    common::written(call, permit, subnet.id, move |tx, view, o: &mut Object<Subnet>| {
        names::set(&mut o.name, name.as_ref());
        if let Some(acl) = &acl {
            sql::still::<NetworkAcl>(tx, &view.account, acl)?;
            o.body.network_acl.clone_from(acl);
        }
        if let Some(table) = &table {
            sql::still::<RoutingTable>(tx, &view.account, table)?;
            o.body.routing_table.clone_from(table);
        }
        use_rules(tx, view, o)
    })
    .await
}

pub async fn delete(call: Call) -> Result<Response> {
    common::delete::<Subnet, _>(call, "is.subnet.subnet.delete", |tx, view, subnet| {
        if !sql::users(tx, &view.account, (&SUBNET, &subnet.id))?.is_empty() {
            return Err(in_use("The subnet is used by network interfaces or other resources."));
        }
        for ip in sql::children::<ReservedIp>(tx, &view.account, &subnet.id)? {
            sql::remove(tx, &view.account, &reserved_ips::RESERVED_IP, &ip.id)?;
        }
        Ok(())
    })
    .await
}

/// What the subnet uses, as its own collection shows it.
async fn part<T: Body>(call: Call, which: fn(&Subnet) -> &String) -> Result<Response> {
    let (subnet, _) = call.permitted::<Subnet>("is.subnet.subnet.read").await?;
    show_part::<T>(&call, 200, which(&subnet.body).clone()).await
}

async fn show_part<T: Body>(call: &Call, status: u16, id: String) -> Result<Response> {
    let view = call.view.clone();
    let object: Object<T> = call.ctx.read(move |tx| sql::shown(tx, &view.account, &id)).await?;
    call.show(status, object).await
}

pub async fn network_acl(call: Call) -> Result<Response> {
    part::<NetworkAcl>(call, |s| &s.network_acl).await
}

pub async fn routing_table(call: Call) -> Result<Response> {
    part::<RoutingTable>(call, |s| &s.routing_table).await
}

pub async fn put_network_acl(call: Call) -> Result<Response> {
    let acl = Fields::of(&call.request)?.into_identity()?;
    call.ctx.detail(|d| d.status = 201);
    let subnet = changed(&call, None, (Some(acl), None)).await?;
    show_part::<NetworkAcl>(&call, 201, subnet.body.network_acl).await
}

pub async fn put_routing_table(call: Call) -> Result<Response> {
    let table = Fields::of(&call.request)?.into_identity()?;
    call.ctx.detail(|d| d.status = 201);
    let subnet = changed(&call, None, (None, Some(table))).await?;
    show_part::<RoutingTable>(&call, 201, subnet.body.routing_table).await
}
