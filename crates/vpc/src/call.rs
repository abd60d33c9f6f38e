//! One request on the VPC service: what every call must say, whose objects it is about, and the decision on them.

use std::future::Future;
use std::sync::Arc;

use avouch_gate::links::ResourceGroupInfo;
use avouch_gate::{
    App, Ctx, Endpoint, Error, Kind as ErrorKind, Permit, Request, Response, Result, Target, audit,
};
use avouch_policy::access::ResourceAttrs;
use avouch_store::Tx;
use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;
use serde_json::{Value, json};

use crate::errors::{in_parameter, no_such, not_found};
use crate::fields::{Fields, Identity};
use crate::names;
use crate::objects::{Body, Kind, Object, sql};
use crate::place::{Region, Zone, is_id};

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// How objects are shown, and to whom they belong.
#[derive(Debug, Clone)]
pub struct View {
    /// Shared state.
    pub app: Arc<App>,
    /// The caller's account.
    pub account: AccountId,
    /// Origin and `/v1`.
    pub base: String,
    /// Origin.
    pub origin: String,
    /// Region of the deployment.
    pub region: Region,
}

impl View {
    /// For what no request does.
    pub fn of(app: &Arc<App>, account: &AccountId) -> Self {
        let origin = app.config.origin();
        let base = format!("{origin}/v1");
        Self { app: app.clone(), account: account.clone(), base, origin, region: Region::of(&app.config) }
    }

    /// A resource group as objects show it.
    ///
    /// # Errors
    /// Those of the store.
    pub fn group(&self, tx: &mut Tx<'_>, id: &str) -> Result<Value> {
        let name = self.app.links.groups.resource_group(tx, &self.account, Some(id))?.map(|g| g.name);
        Ok(json!({
            "href": format!("{}/v2/resource_groups/{id}", self.origin),
            "id": id,
            "name": name.unwrap_or_default(),
        }))
    }

    /// A zone as objects show it.
    pub fn zone(&self, name: &str) -> Value {
        json!({"href": format!("{}/regions/{}/zones/{name}", self.base, self.region.name), "name": name})
    }

    /// The region as objects show it.
    pub fn region_reference(&self) -> Value {
        json!({"href": format!("{}/regions/{}", self.base, self.region.name), "name": self.region.name})
    }

    /// The object that a body names.
    ///
    /// # Errors
    /// `Invalid` with the name of the member, for what the account does not have.
    pub fn find<T: Body>(&self, tx: &mut Tx<'_>, identity: &Identity) -> Result<Object<T>> {
        let missing = || no_such(identity.field.clone(), T::KIND.display);
        let found: Object<T> = sql::get(tx, &self.account, identity.id())?.ok_or_else(missing)?;
        let same = match identity.by {
            "crn" => found.crn(self) == identity.text,
            "href" => found.href(self) == identity.text,
            _ => true,
        };
        if same { Ok(found) } else { Err(missing()) }
    }

    /// Decision and audit target of an object.
    pub fn target<T: Body>(&self, object: &Object<T>) -> Target {
        let attrs = self.attrs(&object.group).with(T::KIND.attribute, &object.id);
        self.told(attrs, object.crn(self), &object.group).named(&object.name)
    }

    /// Decision and audit target of an object that is not there yet, or of a collection.
    pub fn new_target(&self, kind: &Kind, group: &str, name: &str) -> Target {
        self.told(self.attrs(group).new_object(kind.attribute), String::new(), group).named(name)
    }

    fn attrs(&self, group: &str) -> ResourceAttrs {
        let attrs = ResourceAttrs::service(&self.account, "is").region(&self.region.name);
        if group.is_empty() { attrs } else { attrs.resource_group(group) }
    }

    fn told(&self, attrs: ResourceAttrs, crn: String, group: &str) -> Target {
        let mut target = Target::global("is", &self.account, attrs, crn);
        target.log_source = audit::log_source("is", &self.region.name, &self.account, "");
        if !group.is_empty() {
            target.resource_group = Some(format!(
                "crn:v1:{}:public:resource-controller:global:a/{}::resource-group:{group}",
                self.app.config.cname, self.account
            ));
        }
        target
    }
}

/// A request.
#[derive(Debug)]
pub struct Call {
    /// Who and when.
    pub ctx: Ctx,
    /// What.
    pub request: Request,
    /// Whose.
    pub view: View,
}

impl Call {
    /// A path parameter.
    ///
    /// # Errors
    /// `Internal` when the path has none of that name.
    pub fn param(&self, name: &str) -> Result<&str> {
        self.request.param(name)
    }

    /// A new id of what belongs to the region, or to a zone.
    pub fn id(&self, zone: Option<&Zone>) -> String {
        let prefix = zone.map_or(&self.view.region.prefix, |z| &z.prefix);
        format!("{prefix}-{}", self.ctx.uuid())
    }

    /// A name that nobody chose.
    pub fn drawn_name(&self) -> String {
        names::draw(self.ctx.app().rng.as_ref())
    }

    /// The member `name` of a body, or a drawn one.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn name(&self, fields: &mut Fields) -> Result<String> {
        Ok(names::read(fields)?.unwrap_or_else(|| self.drawn_name()))
    }

    /// The member `zone` of a body.
    ///
    /// # Errors
    /// `Invalid` for a zone that is not here.
    pub fn zone(&self, fields: &mut Fields) -> Result<Option<Zone>> {
        let Some(identity) = fields.named("zone")? else { return Ok(None) };
        match self.view.region.zone(identity.name()) {
            Some(zone) => Ok(Some(zone.clone())),
            None => Err(no_such(identity.field, "zone")),
        }
    }

    /// The member `resource_group` of a body, or the default group.
    ///
    /// # Errors
    /// `Invalid` for a group that the account does not have.
    pub async fn group(&self, fields: &mut Fields) -> Result<ResourceGroupInfo> {
        let wanted = match fields.object("resource_group")? {
            None => None,
            Some(mut inner) => {
                let id = inner.text("id")?;
                let id = inner.must("id", id)?;
                inner.done()?;
                Some(id)
            }
        };
        let view = self.view.clone();
        let found = self
            .ctx
            .read(move |tx| view.app.links.groups.resource_group(tx, &view.account, wanted.as_deref()))
            .await?;
        found.ok_or_else(|| no_such("resource_group.id".into(), "resource group"))
    }

    /// Decides.
    ///
    /// # Errors
    /// `Forbidden`, with the kind and id in the message; `NotFound` never, since objects are of the caller's account.
    pub async fn authorize(&self, action: &str, kind: &Kind, target: &Target) -> Result<Permit> {
        self.ctx.authorize(action, target).await.map_err(|e| match e.kind() {
            ErrorKind::Forbidden => {
                let id = target.attrs.iter().find(|(key, _)| key.is_object_id()).map(|(_, id)| id);
                let text = format!(
                    "The provided token is not authorized to the specified {}:{}.",
                    kind.attribute,
                    id.unwrap_or(ResourceAttrs::NEW_RESOURCE)
                );
                Error::new(ErrorKind::Forbidden, text).reason("access")
            }
            _ => e,
        })
    }

    /// Decides on a new object.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn may_create(&self, action: &str, kind: &Kind, group: &str, name: &str) -> Result<Permit> {
        self.authorize(action, kind, &self.view.new_target(kind, group, name)).await
    }

    /// The object that the path names, without a decision.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn load<T: Body>(&self, parameter: &str) -> Result<Object<T>> {
        let id = self.param(parameter)?.to_owned();
        let unknown = || not_found(T::KIND.display);
        if !is_id(&id) {
            return Err(unknown());
        }
        let view = self.view.clone();
        self.ctx.read(move |tx| sql::get(tx, &view.account, &id)).await?.ok_or_else(unknown)
    }

    /// The object that `{id}` of the path names, and the permit to do this to it.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`.
    pub async fn permitted<T: Body>(&self, action: &str) -> Result<(Object<T>, Permit)> {
        let object = self.load::<T>("id").await?;
        let permit = self.authorize(action, T::KIND, &self.view.target(&object)).await?;
        Ok((object, permit))
    }

    /// The object that a body names, of which the caller may make use.
    ///
    /// # Errors
    /// `Invalid` for what the account does not have, `Forbidden`.
    pub async fn usable<T: Body>(&self, identity: &Identity, action: &str) -> Result<Object<T>> {
        let (view, identity) = (self.view.clone(), identity.clone());
        let object = self.ctx.read(move |tx| view.find::<T>(tx, &identity)).await?;
        self.authorize(action, T::KIND, &self.view.target(&object)).await?;
        Ok(object)
    }

    /// `If-Match`, where it is there.
    ///
    /// # Errors
    /// None in practice.
    pub fn if_match(&self) -> Result<Option<String>> {
        self.request.header("if-match").map(|_| self.request.if_match()).transpose()
    }

    /// The answer with one object, as it is now.
    ///
    /// # Errors
    /// `NotFound` when it was deleted meanwhile.
    pub async fn show<T: Body>(&self, status: u16, object: Object<T>) -> Result<Response> {
        let view = self.view.clone();
        let (shown, etag) = self
            .ctx
            .read(move |tx| {
                // In one view of the store with all that it refers to.
                let object: Object<T> = sql::shown(tx, &view.account, &object.id)?;
                Ok((T::render(&object, tx, &view)?, object.etag()))
            })
            .await?;
        Ok(Response::json(status, &shown)?.etag(&etag))
    }
}

/// An endpoint whose handler sees a call that says what every call must say.
fn endpoint<H, F>(
    make: fn(&'static str, &'static str, Wrapped) -> Endpoint,
    (path, operation): (&'static str, &'static str),
    handler: H,
) -> Endpoint
where
    H: Fn(Call) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Response>> + Send + 'static,
{
    let handler = move |call: Call| -> Answer { Box::pin(handler(call)) };
    let wrapped: Wrapped = Box::new(move |ctx: Ctx, request: Request| {
        let trace = ctx.transaction_id().to_owned();
        let running = admit(ctx, request).map(&handler);
        Box::pin(async move { Ok(running?.await?.header("x-request-id", &trace)) })
    });
    make(path, operation, wrapped)
}

type Answer = std::pin::Pin<Box<dyn Future<Output = Result<Response>> + Send>>;
type Wrapped = Box<dyn Fn(Ctx, Request) -> Answer + Send + Sync>;

/// What every call must say, before anything else of it is read.
fn admit(ctx: Ctx, request: Request) -> Result<Call> {
    let version = request.query_required("version").map_err(in_parameter)?;
    let wrong = || {
        in_parameter(Error::invalid(
            "version",
            "The query parameter 'version' must be a day as YYYY-MM-DD, not before 2019-01-01 and not in the future.",
        ))
        .code("invalid_version_range")
    };
    let day = Timestamp::parse_rfc3339(&format!("{version}T00:00:00Z")).map_err(|_| wrong())?;
    // Somewhere it is tomorrow already.
    if version.len() != 10 || version.as_str() < "2019-01-01" || day.millis() > ctx.now().millis() + DAY {
        return Err(wrong());
    }
    let generation = request.query_required("generation").map_err(in_parameter)?;
    if generation != "2" {
        return Err(in_parameter(Error::invalid(
            "generation",
            "The query parameter 'generation' must be 2.",
        )));
    }
    let view = View {
        app: ctx.app().clone(),
        account: ctx.caller()?.account().clone(),
        base: format!("{}/v1", request.origin),
        origin: request.origin.clone(),
        region: Region::of(&ctx.app().config),
    };
    Ok(Call { ctx, request, view })
}

macro_rules! method {
    ($name:ident, $text:literal) => {
        #[doc = $text]
        pub fn $name<H, F>(path: &'static str, operation: &'static str, handler: H) -> Endpoint
        where
            H: Fn(Call) -> F + Send + Sync + 'static,
            F: Future<Output = Result<Response>> + Send + 'static,
        {
            endpoint(Endpoint::$name, (path, operation), handler)
        }
    };
}

method!(get, "`GET`.");
method!(post, "`POST`.");
method!(put, "`PUT`.");
method!(patch, "`PATCH`.");
method!(delete, "`DELETE`.");
