//! Requests on placement groups.

use avouch_gate::{Response, Result};

use super::{PLACEMENT_GROUP, PlacementGroup, STRATEGIES};
use crate::call::Call;
use crate::errors::in_use;
use crate::fields::Fields;
use crate::names;
use crate::objects::{self, http as common, sql, within};
use crate::paging::{self, Wanted};

pub async fn list(call: Call) -> Result<Response> {
    let keep = paging::by_group::<PlacementGroup>(&call)?;
    let wanted = Wanted {
        plural: "placement_groups",
        action: "is.placement-group.placement-group.read",
        parent: None,
    };
    paging::list(&call, wanted, keep).await
}

pub async fn get(call: Call) -> Result<Response> {
    common::get::<PlacementGroup>(call, "is.placement-group.placement-group.read").await
}

pub async fn create(call: Call) -> Result<Response> {
    let mut fields = Fields::of(&call.request)?;
    let strategy = fields.word("strategy", &STRATEGIES)?;
    let strategy = fields.must("strategy", strategy)?;
    let name = call.name(&mut fields)?;
    let group = call.group(&mut fields).await?;
    fields.done()?;
    let permit = call
        .may_create("is.placement-group.placement-group.create", &PLACEMENT_GROUP, &group.id, &name)
        .await?;
    let body = PlacementGroup { strategy: strategy.into() };
    let object = objects::new(&call, (call.id(None), name), &group.id, body);
    common::create(&call, permit, object, |tx, view, _| {
        let have = sql::count(tx, &view.account, &PLACEMENT_GROUP, None)?;
        within(view.app.config.limits.placement_groups, have, "placement groups")
    })
    .await
}

pub async fn update(call: Call) -> Result<Response> {
    let name = common::renamed(&call)?;
    common::update::<PlacementGroup, _>(call, "is.placement-group.placement-group.update", move |_, _, o| {
        names::set(&mut o.name, name.as_ref());
        Ok(())
    })
    .await
}

pub async fn delete(call: Call) -> Result<Response> {
    common::delete::<PlacementGroup, _>(call, "is.placement-group.placement-group.delete", |tx, view, o| {
        if sql::users(tx, &view.account, (&PLACEMENT_GROUP, &o.id))?.is_empty() {
            return Ok(());
        }
        Err(in_use("The placement group is used by instances."))
    })
    .await
}
