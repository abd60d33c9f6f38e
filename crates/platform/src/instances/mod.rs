//! Service instances: what gives a Secrets Manager, a key service or a project its GUID, CRN and resource group.
//!
//! Our services are provisioned at once: an instance is active when its creation is answered.

pub mod http;
pub mod logic;
pub mod sql;

use avouch_gate::links::{InstanceInfo, InstanceSource};
use avouch_gate::{Endpoint, Error, Result, Target};
use avouch_policy::access::ResourceAttrs;
use avouch_store::Tx;
use avouch_wire::catalog::{self, Plan};
use avouch_wire::crn::Crn;
use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// States of an instance that this server produces.
pub mod state {
    /// Usable.
    pub const ACTIVE: &str = "active";
    /// Deleted, restorable for a while, unusable.
    pub const PENDING: &str = "pending_reclamation";
    /// Gone; the record stays readable.
    pub const REMOVED: &str = "removed";
}

/// Parts of an instance that are shown and never searched.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
pub struct Body {
    /// `iam_id` of the creator.
    pub created_by: String,
    /// Of the last change.
    pub updated_by: String,
    /// Of the deletion.
    #[serde(default)]
    pub deleted_by: String,
    /// Time of the deletion, epoch milliseconds.
    #[serde(default)]
    pub deleted_at: Option<i64>,
    /// When a scheduled reclamation is due, epoch milliseconds.
    #[serde(default)]
    pub scheduled_reclaim_at: Option<i64>,
    /// Who scheduled it.
    #[serde(default)]
    pub scheduled_reclaim_by: String,
    /// When it was restored, epoch milliseconds.
    #[serde(default)]
    pub restored_at: Option<i64>,
    /// By whom.
    #[serde(default)]
    pub restored_by: String,
    /// Type of the last operation.
    pub operation: String,
    /// Clean-up may remove keys with it.
    #[serde(default)]
    pub allow_cleanup: bool,
    /// Tags as they were given.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Those that policies look at: given by who may attach access tags.
    #[serde(default)]
    pub access_tags: Vec<String>,
    /// (plan id, start, requestor).
    #[serde(default)]
    pub plans: Vec<(String, i64, String)>,
    /// CRN prefix segment configured when it was made.
    pub cname: String,
}

/// A service instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// GUID.
    pub guid: String,
    /// Account.
    pub account: AccountId,
    /// Name; need not be unique.
    pub name: String,
    /// Service name.
    pub service: String,
    /// Plan id.
    pub plan_id: String,
    /// Region or `global`.
    pub region: String,
    /// Resource group id.
    pub resource_group: String,
    /// One of [`state`].
    pub state: String,
    /// Changes and deletion are refused.
    pub locked: bool,
    /// Free parameters given at creation.
    pub parameters: Value,
    /// The rest.
    pub body: Body,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Instance {
    /// CRN of the instance.
    ///
    /// # Errors
    /// `Internal` when the parts do not make one.
    pub fn crn(&self) -> Result<Crn> {
        let crn = Crn::service_instance(&self.service, &self.region, &self.account, &self.guid);
        crn.and_then(|c| c.with_cname(&self.body.cname)).map_err(Error::internal)
    }

    /// The plan, from the built-in table.
    pub fn plan(&self) -> Option<&'static Plan> {
        catalog::plan(&self.plan_id)
    }

    /// Decision attributes.
    pub fn attrs(&self) -> ResourceAttrs {
        ResourceAttrs::service(&self.account, &self.service)
            .instance(&self.guid)
            .region(&self.region)
            .resource_group(&self.resource_group)
            .tags(self.body.access_tags.iter().cloned())
    }

    /// What other services may know.
    ///
    /// # Errors
    /// As [`Instance::crn`].
    pub fn info(&self) -> Result<InstanceInfo> {
        Ok(InstanceInfo {
            guid: self.guid.clone(),
            account: self.account.clone(),
            service: self.service.clone(),
            region: self.region.clone(),
            resource_group: self.resource_group.clone(),
            name: self.name.clone(),
            crn: self.crn()?,
            active: self.state == state::ACTIVE,
            tags: self.body.access_tags.clone(),
        })
    }

    /// Decision and audit target.
    ///
    /// # Errors
    /// As [`Instance::crn`].
    pub fn target(&self) -> Result<Target> {
        let mut target =
            Target::global("resource-controller", &self.account, self.attrs(), self.crn()?.to_string())
                .named(&self.name);
        target.type_uri = format!("{}/instance", self.service);
        target.resource_group = Some(crate::resource_groups::crn(&self.account, &self.resource_group));
        Ok(target)
    }
}

/// The published shape.
///
/// # Errors
/// As [`Instance::crn`].
pub fn render(i: &Instance) -> Result<Value> {
    let crn = i.crn()?.to_string();
    let url = format!("/v2/resource_instances/{}", i.guid);
    let time = |t: Option<i64>| t.map(|t| Timestamp::from_millis(t).rfc3339_millis());
    let plan = i.plan();
    let deployment = Crn::service_instance(&i.service, &i.region, &i.account, "")
        .map(|c| c.to_string())
        .unwrap_or_default();
    Ok(json!({
        "id": crn,
        "guid": i.guid,
        "url": url,
        "created_at": i.created_at.rfc3339_millis(),
        "updated_at": i.updated_at.rfc3339_millis(),
        "deleted_at": time(i.body.deleted_at),
        "created_by": i.body.created_by,
        "updated_by": i.body.updated_by,
        "deleted_by": i.body.deleted_by,
        "scheduled_reclaim_at": time(i.body.scheduled_reclaim_at),
        "scheduled_reclaim_by": i.body.scheduled_reclaim_by,
        "restored_at": time(i.body.restored_at),
        "restored_by": i.body.restored_by,
        "name": i.name,
        "region_id": i.region,
        "account_id": i.account.as_str(),
        "reseller_channel_id": "",
        "resource_plan_id": i.plan_id,
        "resource_group_id": i.resource_group,
        "resource_group_crn": crate::resource_groups::crn(&i.account, &i.resource_group),
        "target_crn": deployment,
        "onetime_credentials": i.parameters.get("onetime_credentials").and_then(Value::as_bool).unwrap_or(false),
        "parameters": i.parameters,
        "allow_cleanup": i.body.allow_cleanup,
        "crn": crn,
        "state": i.state,
        "type": "service_instance",
        "sub_type": "",
        "resource_id": plan.map(|p| p.service_id).unwrap_or_default(),
        "dashboard_url": null,
        "last_operation": {
            "type": i.body.operation, "state": "succeeded", "async": false, "cancelable": false, "poll": false,
            "description": format!("The operation {} succeeded.", i.body.operation),
        },
        "resource_aliases_url": format!("{url}/resource_aliases"),
        "resource_bindings_url": format!("{url}/resource_bindings"),
        "resource_keys_url": format!("{url}/resource_keys"),
        "plan_history": i.body.plans.iter().map(|(plan, start, by)| json!({
            "resource_plan_id": plan, "start_date": Timestamp::from_millis(*start).rfc3339_millis(), "requestor_id": by,
        })).collect::<Vec<_>>(),
        "migrated": false,
        "extensions": {},
        "controlled_by": "",
        "locked": i.locked,
    }))
}

/// Look-up for other services.
#[derive(Debug, Clone, Copy)]
pub struct Instances;

impl InstanceSource for Instances {
    fn instance(&self, tx: &mut Tx<'_>, guid: &str) -> Result<Option<InstanceInfo>> {
        sql::get(tx, guid)?.map(|i| i.info()).transpose()
    }
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const TARGET: &str = "<service>/instance";
    const UPDATE: &[&str] = &["resource-controller.instance.update"];
    const RETRIEVE: &[&str] = &["resource-controller.instance.retrieve"];
    vec![
        Endpoint::get("/v2/resource_instances", "list_resource_instances", http::list).actions(RETRIEVE),
        Endpoint::post("/v2/resource_instances", "create_resource_instance", http::create)
            .actions(&["resource-controller.instance.create", "resource-controller.group.retrieve"])
            .events(TARGET, &["<service>.instance.create"]),
        Endpoint::get("/v2/resource_instances/{id}", "get_resource_instance", http::get).actions(RETRIEVE),
        Endpoint::patch("/v2/resource_instances/{id}", "update_resource_instance", http::update)
            .actions(&["resource-controller.instance.update", "resource-controller.instance.update_plan"])
            .events(TARGET, &["<service>.instance.update"]),
        Endpoint::delete("/v2/resource_instances/{id}", "delete_resource_instance", http::delete)
            .actions(&["resource-controller.instance.delete"])
            .events(TARGET, &["<service>.instance.delete", "<service>.instance.schedule_reclaim"]),
        Endpoint::post("/v2/resource_instances/{id}/lock", "lock_resource_instance", http::lock)
            .protective(true)
            .actions(UPDATE)
            .events(TARGET, &["<service>.instance.update"]),
        Endpoint::delete("/v2/resource_instances/{id}/lock", "unlock_resource_instance", http::unlock)
            .protective(false)
            .actions(UPDATE)
            .events(TARGET, &["<service>.instance.update"]),
        Endpoint::delete(
            "/v2/resource_instances/{id}/last_operation",
            "cancel_lastop_resource_instance",
            http::cancel,
        )
        .actions(UPDATE)
        .events(TARGET, &["<service>.instance.update"]),
    ]
}
