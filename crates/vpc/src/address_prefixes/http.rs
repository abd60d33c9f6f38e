//! Requests on address prefixes.

use avouch_gate::{Error, Kind, Response, Result};
use avouch_store::Tx;

use super::{ADDRESS_PREFIX, AddressPrefix, has_subnets};
use crate::call::{Call, View};
use crate::errors::in_use;
use crate::fields::Fields;
use crate::names;
use crate::objects::{self, Object, children, http as common, sql, within};
use crate::paging::{self, Wanted};
use crate::subnets::may_be_network;
use crate::vpcs::Vpc;

const PARAMETER: &str = "address_prefix";

pub async fn list(call: Call) -> Result<Response> {
    let (vpc, _) = call.permitted::<Vpc>("is.vpc.vpc.read").await?;
    let wanted = Wanted { plural: "address_prefixes", action: "", parent: Some(&vpc.id) };
    paging::list::<AddressPrefix>(&call, wanted, Vec::new()).await
}

pub async fn get(call: Call) -> Result<Response> {
    let (vpc, _) = call.permitted::<Vpc>("is.vpc.vpc.read").await?;
    children::get::<AddressPrefix>(&call, &vpc.id, PARAMETER).await
}

/// A zone has one default prefix at most.
fn only_default(tx: &mut Tx<'_>, view: &View, prefix: &Object<AddressPrefix>) -> Result<()> {
    let others = sql::children::<AddressPrefix>(tx, &view.account, &prefix.parent)?;
    let other =
        |o: &Object<AddressPrefix>| o.id != prefix.id && o.body.default && o.body.zone == prefix.body.zone;
    if prefix.body.default && others.iter().any(other) {
        return Err(Error::invalid("is_default", "The zone has a default address prefix already."));
    }
    Ok(())
}

pub async fn create(call: Call) -> Result<Response> {
    let mut fields = Fields::of(&call.request)?;
    let cidr = fields.network("cidr")?;
    let cidr = fields.must("cidr", cidr)?;
    let zone = call.zone(&mut fields)?;
    let zone = fields.must("zone", zone)?;
    let default = fields.flag("is_default")?.unwrap_or(false);
    let name = call.name(&mut fields)?;
    fields.done()?;
    may_be_network("cidr", cidr)?;
    let (vpc, permit) = call.permitted::<Vpc>("is.vpc.vpc.update").await?;
    let body = AddressPrefix { cidr: cidr.to_string(), zone: zone.name, default };
    let object = objects::new(&call, (call.id(None), name), "", body).below(&vpc.id);
    children::create(&call, permit, object, move |tx, view, o| {
        let have = sql::count(tx, &view.account, &ADDRESS_PREFIX, Some(&o.parent))?;
        within(view.app.config.limits.address_prefixes_per_vpc, have, "address prefixes")?;
        for other in sql::children::<AddressPrefix>(tx, &view.account, &o.parent)? {
            let other = other.body.network()?;
            if other.contains(&cidr) || cidr.contains(&other) {
                let text = "The property 'cidr' overlaps with another address prefix of the VPC.";
                return Err(Error::new(Kind::Unprocessable, text).field("cidr"));
            }
        }
        only_default(tx, view, o)
    })
    .await
}

pub async fn update(call: Call) -> Result<Response> {
    let mut fields = Fields::patch(&call.request)?;
    let name = names::read(&mut fields)?;
    let default = fields.flag("is_default")?;
    fields.done()?;
    let (vpc, permit) = call.permitted::<Vpc>("is.vpc.vpc.update").await?;
    let prefix: Object<AddressPrefix> = children::load(&call, &vpc.id, PARAMETER).await?;
    let changed =
        common::written(&call, permit, prefix.id, move |tx, view, o: &mut Object<AddressPrefix>| {
            names::set(&mut o.name, name.as_ref());
            o.body.default = default.unwrap_or(o.body.default);
            only_default(tx, view, o)
        })
        .await?;
    call.show(200, changed).await
}

pub async fn delete(call: Call) -> Result<Response> {
    let (vpc, permit) = call.permitted::<Vpc>("is.vpc.vpc.update").await?;
    let prefix: Object<AddressPrefix> = children::load(&call, &vpc.id, PARAMETER).await?;
    children::delete(&call, permit, prefix, |tx, view, o| {
        if has_subnets(tx, view, o)? {
            return Err(in_use("The address prefix holds subnets."));
        }
        Ok(())
    })
    .await
}
