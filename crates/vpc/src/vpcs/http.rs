//! Requests on VPCs.

use avouch_gate::{Error, Response, Result};

use super::{VPC, Vpc};
use crate::address_prefixes::{AddressPrefix, DEFAULTS};
use crate::call::Call;
use crate::errors::{in_parameter, in_use};
use crate::fields::Fields;
use crate::names;
use crate::network_acls::{NETWORK_ACL, NetworkAcl, Rule as AclRule};
use crate::objects::{self, Body, Object, http as common, sql, within};
use crate::paging::{self, Wanted};
use crate::routing_tables::{ROUTING_TABLE, RoutingTable};
use crate::security_groups::{Rule, SECURITY_GROUP, SecurityGroup};
use crate::subnets::SUBNET;

pub async fn list(call: Call) -> Result<Response> {
    let mut keep = paging::by_group::<Vpc>(&call)?;
    if call.request.query_bool("classic_access").map_err(in_parameter)? == Some(true) {
        keep.push(Box::new(|_, _, _| Ok(false)));
    }
    paging::list(&call, Wanted { plural: "vpcs", action: "is.vpc.vpc.read", parent: None }, keep).await
}

pub async fn get(call: Call) -> Result<Response> {
    common::get::<Vpc>(call, "is.vpc.vpc.read").await
}

pub async fn create(call: Call) -> Result<Response> {
    let mut fields = Fields::of(&call.request)?;
    let name = call.name(&mut fields)?;
    let prefixes = fields.word("address_prefix_management", &["auto", "manual"])? != Some("manual");
    if fields.flag("classic_access")? == Some(true) {
        return Err(Error::invalid(
            "classic_access",
            "The property 'classic_access' can only be false here.",
        ));
    }
    let group = call.group(&mut fields).await?;
    fields.done()?;
    let permit = call.may_create("is.vpc.vpc.create", &VPC, &group.id, &name).await?;
    let id = call.id(None);
    let security = call.id(None);
    // A member of the group may reach the others.
    let rules = SecurityGroup { rules: Rule::defaults(&call, &security), default: true };
    let security = objects::new(&call, (security, call.drawn_name()), &group.id, rules).below(&id);
    let acl = NetworkAcl { rules: AclRule::defaults(&call), default: true };
    let acl = objects::new(&call, (call.id(None), call.drawn_name()), &group.id, acl).below(&id);
    let table = RoutingTable::empty(true);
    let table = objects::new(&call, (call.id(None), call.drawn_name()), &group.id, table).below(&id);
    let zones = call.view.region.zones.iter().zip(DEFAULTS).filter(|_| prefixes);
    let prefixes: Vec<Object<AddressPrefix>> = zones
        .map(|(zone, cidr)| {
            let body = AddressPrefix { cidr: cidr.into(), zone: zone.name.clone(), default: true };
            objects::new(&call, (call.id(None), call.drawn_name()), "", body).below(&id)
        })
        .collect();
    let body = Vpc {
        default_security_group: security.id.clone(),
        default_network_acl: acl.id.clone(),
        default_routing_table: table.id.clone(),
    };
    let object = objects::new(&call, (id, name), &group.id, body);
    common::create(&call, permit, object, move |tx, view, _| {
        within(view.app.config.limits.vpcs, sql::count(tx, &view.account, &VPC, None)?, "VPCs")?;
        sql::insert(tx, &view.account, &security)?;
        sql::insert(tx, &view.account, &acl)?;
        sql::insert(tx, &view.account, &table)?;
        prefixes.iter().try_for_each(|p| sql::insert(tx, &view.account, p))
    })
    .await
}

pub async fn update(call: Call) -> Result<Response> {
    let name = common::renamed(&call)?;
    common::update::<Vpc, _>(call, "is.vpc.vpc.update", move |_, _, vpc| {
        names::set(&mut vpc.name, name.as_ref());
        Ok(())
    })
    .await
}

pub async fn delete(call: Call) -> Result<Response> {
    common::delete::<Vpc, _>(call, "is.vpc.vpc.delete", |tx, view, vpc| {
        let subnets = sql::count(tx, &view.account, &SUBNET, Some(&vpc.id))?;
        if subnets > 0 || !sql::users(tx, &view.account, (&VPC, &vpc.id))?.is_empty() {
            return Err(in_use("The VPC still holds subnets or other resources."));
        }
        // What came with it and what was made in it goes with it.
        for o in sql::children::<SecurityGroup>(tx, &view.account, &vpc.id)? {
            sql::remove(tx, &view.account, &SECURITY_GROUP, &o.id)?;
        }
        for o in sql::children::<NetworkAcl>(tx, &view.account, &vpc.id)? {
            sql::remove(tx, &view.account, &NETWORK_ACL, &o.id)?;
        }
        for o in sql::children::<RoutingTable>(tx, &view.account, &vpc.id)? {
            sql::remove(tx, &view.account, &ROUTING_TABLE, &o.id)?;
        }
        for o in sql::children::<AddressPrefix>(tx, &view.account, &vpc.id)? {
            sql::remove(tx, &view.account, AddressPrefix::KIND, &o.id)?;
        }
        Ok(())
    })
    .await
}

/// What came with the VPC, as its own collection shows it.
async fn came_with<T: Body>(call: Call, which: fn(&Vpc) -> &String) -> Result<Response> {
    let (vpc, _) = call.permitted::<Vpc>("is.vpc.vpc.read").await?;
    let (view, id) = (call.view.clone(), which(&vpc.body).clone());
    let object: Object<T> = call.ctx.read(move |tx| sql::shown(tx, &view.account, &id)).await?;
    call.show(200, object).await
}

pub async fn security_group(call: Call) -> Result<Response> {
    came_with::<SecurityGroup>(call, |vpc| &vpc.default_security_group).await
}

pub async fn network_acl(call: Call) -> Result<Response> {
    came_with::<NetworkAcl>(call, |vpc| &vpc.default_network_acl).await
}

pub async fn routing_table(call: Call) -> Result<Response> {
    came_with::<RoutingTable>(call, |vpc| &vpc.default_routing_table).await
}
