//! Decisions: per secret group, with the published difference between "forbidden" and "not found".
//!
//! No right at all in the instance: forbidden, whatever is asked. Some right: what is in a group that the caller may not
//! see is not found, like what does not exist; what he sees but may not do is forbidden.

use avouch_gate::access::Filter;
use avouch_gate::links::InstanceInfo;
use avouch_gate::{Ctx, Error, Kind, Permit, Request, Result, Target};
use avouch_policy::access::ResourceAttrs;

use crate::errors::no_secret;

/// Every instance has it, without a record.
pub const DEFAULT_GROUP: &str = "default";

/// The instance that a path names, with the caller's rights in it.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The instance.
    pub instance: InstanceInfo,
    filter: Filter,
}

/// The instance of the path.
///
/// # Errors
/// `NotFound` for an unknown, unusable or foreign instance, `Forbidden` without any right in it.
pub async fn scope(ctx: &Ctx, request: &Request) -> Result<Scope> {
    let guid = request.param("instance")?;
    let unknown = || Error::new(Kind::NotFound, "The Secrets Manager instance was not found.");
    let instance = ctx.app().instance(guid).await?.ok_or_else(unknown)?;
    if instance.service != "secrets-manager" || !instance.active {
        return Err(unknown());
    }
    let filter = ctx.filter(&instance.account).await?;
    let scope = Scope { instance, filter };
    if !scope.filter.reaches(&scope.attrs()) {
        if ctx.caller()?.account() != &scope.instance.account {
            return Err(unknown());
        }
        // The refusal is told with what was asked for.
        ctx.authorize("secrets-manager.secrets.list", &scope.target(None)).await?;
        return Err(Error::forbidden());
    }
    Ok(scope)
}

impl Scope {
    /// GUID of the instance.
    pub fn id(&self) -> &str {
        &self.instance.guid
    }

    fn attrs(&self) -> ResourceAttrs {
        ResourceAttrs::service(&self.instance.account, "secrets-manager")
            .instance(&self.instance.guid)
            .region(&self.instance.region)
            .resource_group(&self.instance.resource_group)
            .tags(self.instance.tags.iter().cloned())
    }

    fn group_attrs(&self, group: &str) -> ResourceAttrs {
        self.attrs().resource("secret-group", group)
    }

    /// Decision and audit target: a group, or the instance itself.
    pub fn target(&self, group: Option<&str>) -> Target {
        let attrs = group.map_or_else(|| self.attrs(), |g| self.group_attrs(g));
        let i = &self.instance;
        let mut target =
            Target::global("secrets-manager", &i.account, attrs, i.crn.to_string()).named(&i.name);
        target.log_source = i.crn.to_string();
        target.resource_group = Some(format!(
            "crn:v1:{}:public:resource-controller:global:a/{}::resource-group:{}",
            i.crn.cname(),
            i.account,
            i.resource_group
        ));
        target
    }

    /// Audit target of one secret.
    pub fn secret_target(&self, group: &str, id: &str, name: &str) -> Target {
        let mut target = self.target(Some(group)).named(name);
        target.crn = self.secret_crn(id);
        target
    }

    /// CRN of a secret.
    pub fn secret_crn(&self, id: &str) -> String {
        self.instance.crn.clone().with_resource("secret", id).map(|c| c.to_string()).unwrap_or_default()
    }

    /// Whether the caller may do `action` in the group.
    pub fn permits(&self, action: &str, group: &str) -> bool {
        self.filter.permits(action, &self.group_attrs(group))
    }

    /// Decides on something in a group.
    ///
    /// # Errors
    /// `NotFound` when the caller may not see the group's secrets, `Forbidden` when he may not do this.
    pub async fn authorize(&self, ctx: &Ctx, action: &str, target: &Target, group: &str) -> Result<Permit> {
        match ctx.authorize(action, target).await {
            Ok(permit) => Ok(permit),
            Err(e) if matches!(e.kind(), Kind::Forbidden | Kind::NotFound) => {
                if self.permits("secrets-manager.secret-metadata.read", group) {
                    Err(Error::forbidden().reason("access"))
                } else {
                    Err(no_secret())
                }
            }
            Err(e) => Err(e),
        }
    }
}
