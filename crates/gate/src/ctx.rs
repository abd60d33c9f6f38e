//! One request: who calls, when, from where, and the doors to decisions, the store and the audit trail.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use avouch_crypto::rng;
use avouch_policy::access::ResourceAttrs;
use avouch_store::Tx;
use avouch_wire::ids::{AccountId, IamId, PolicyId};
use avouch_wire::time::Timestamp;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::access::{Asker, Filter, Home, Verdict, dead_identity};
use crate::app::App;
use crate::audit::unasked::{self, Unasked};
use crate::audit::writer::Rider;
use crate::audit::{self, Event, EventTarget, Initiator};
use crate::authn::Caller;
use crate::config::Reads;
use crate::error::{Error, Kind, Result};
use crate::http::endpoint::{Auth, Effect, Endpoint};
use crate::links::ExternalState;
use crate::unverified::Refusal;

/// Audit action of a refusal where the endpoint has none of its own.
const DENIED: &str = unasked::DENIED.action();

/// What is acted on: decision attributes and audit target in one.
#[derive(Debug, Clone)]
pub struct Target {
    /// Owning account.
    pub account: AccountId,
    /// Attributes that policies match.
    pub attrs: ResourceAttrs,
    /// Full CRN, or as much of it as is known.
    pub crn: String,
    /// Display name.
    pub name: String,
    /// `service/object`; empty: the endpoint's.
    pub type_uri: String,
    /// CRN of the resource group, if the object has one.
    pub resource_group: Option<String>,
    /// CRN of the emitting service instance.
    pub log_source: String,
}

impl Target {
    /// A target of a global service (IAM, resource controller) in `account`.
    pub fn global(service: &str, account: &AccountId, attrs: ResourceAttrs, crn: impl Into<String>) -> Self {
        Self {
            account: account.clone(),
            attrs,
            crn: crn.into(),
            name: String::new(),
            type_uri: String::new(),
            resource_group: None,
            log_source: audit::log_source(service, "global", account, ""),
        }
    }

    /// Sets the display name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the audit type (`service/object`) where it differs from the endpoint's.
    #[must_use]
    pub fn of_type(mut self, type_uri: impl Into<String>) -> Self {
        self.type_uri = type_uri.into();
        self
    }
}

/// Proof that an action on a target was decided and allowed. Only `authorize` and its kin make one.
#[derive(Debug, Clone)]
pub struct Permit {
    action: String,
    target: Target,
    initiator: Initiator,
    policies: Vec<String>,
    how: &'static str,
}

impl Permit {
    /// A permit of a background job, named in the trail as the platform. Its events are declared.
    pub fn system(event: &Unasked, target: Target) -> Self {
        let service = target.type_uri.split('/').next().unwrap_or_default();
        let action = event.action().replace("<service>", service);
        let initiator = Initiator {
            id: format!("avouch-{}", event.by()),
            name: "Avouch".into(),
            type_uri: "service/security/clientid".into(),
            credential: "token".into(),
            ..Initiator::default()
        };
        Self { action, target, initiator, policies: Vec::new(), how: "system" }
    }

    /// A permit made from evidence or a credential that the token endpoint verified.
    pub fn admitted(action: &str, target: Target, initiator: Initiator) -> Self {
        Self { action: action.to_owned(), target, initiator, policies: Vec::new(), how: "evidence" }
    }

    /// The decided action.
    pub fn action(&self) -> &str {
        &self.action
    }

    /// The decided target.
    pub fn target(&self) -> &Target {
        &self.target
    }
}

/// What an event will say beyond its permit; filled by the handler from an allow-list.
#[derive(Debug, Clone, Default)]
pub struct Details {
    /// Audit action; empty: the endpoint's first.
    pub action: Option<String>,
    /// CRN of the target, once it is known.
    pub target_crn: Option<String>,
    /// Name of the target, once it is known.
    pub target_name: Option<String>,
    /// `service/object` of the target where it differs from the permit's.
    pub target_type: Option<String>,
    /// The object was locked.
    pub locked: bool,
    /// Something that the owner of the account should notice, told in the message (a quota nearly used up).
    pub warning: Option<String>,
    /// Allow-listed request fields.
    pub request: Map<String, Value>,
    /// Allow-listed answer fields.
    pub response: Map<String, Value>,
    /// Decision details: rule ids, first failing condition, token id.
    pub decision: Map<String, Value>,
    /// Status to record; 0: 200.
    pub status: u16,
    /// Another initiator than the caller (token issue).
    pub initiator: Option<Initiator>,
    /// Public words of the failure.
    pub failure: Option<String>,
    /// Further events of the same change: (permit, details).
    pub also: Vec<(Permit, Details)>,
}

impl Details {
    /// Records an allow-listed request field.
    pub fn request(&mut self, field: &str, value: impl Into<Value>) -> &mut Self {
        self.request.insert(field.to_owned(), value.into());
        self
    }

    /// Records an allow-listed answer field.
    pub fn response(&mut self, field: &str, value: impl Into<Value>) -> &mut Self {
        self.response.insert(field.to_owned(), value.into());
        self
    }

    /// Names the target.
    pub fn target(&mut self, crn: impl Into<String>, name: impl Into<String>) -> &mut Self {
        self.target_crn = Some(crn.into());
        self.target_name = Some(name.into());
        self
    }

    /// Sets the audit action.
    pub fn action(&mut self, action: impl Into<String>) -> &mut Self {
        self.action = Some(action.into());
        self
    }
}

#[derive(Debug, Default)]
pub(crate) struct Trail {
    pub recorded: bool,
    /// A decision was made.
    pub decided: bool,
    pub target: Option<Target>,
    /// The last decision on `target` allowed the caller something.
    pub permitted: bool,
    pub details: Details,
}

pub(crate) struct Inner {
    pub app: Arc<App>,
    pub endpoint: Arc<Endpoint>,
    pub service_display: &'static str,
    pub transaction_id: String,
    /// Epoch milliseconds.
    pub now: AtomicI64,
    pub address: IpAddr,
    pub agent: String,
    pub caller: Option<Caller>,
    pub trail: Mutex<Trail>,
}

/// One request. Cheap to clone.
#[derive(Clone)]
pub struct Ctx(pub(crate) Arc<Inner>);

impl std::fmt::Debug for Ctx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ctx({})", self.0.transaction_id)
    }
}

impl Ctx {
    /// Shared state.
    pub fn app(&self) -> &Arc<App> {
        &self.0.app
    }

    /// When the request had arrived whole; the same for all that is done with it.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.now.load(Ordering::Relaxed))
    }

    /// Request id, echoed to the caller and in events.
    pub fn transaction_id(&self) -> &str {
        &self.0.transaction_id
    }

    /// Goes on after the request waited for somebody outside: it is later now, and whoever was slow on purpose, or waited
    /// for who was, does not stay who he was. Permits are older than that: what they are for is to be authorized again.
    ///
    /// # Errors
    /// As if the request had come now.
    pub async fn resume(&self) -> Result<()> {
        self.0.now.store(self.0.app.clock.now().millis(), Ordering::Relaxed);
        match &self.0.caller {
            Some(caller) if !(self.0.app.lives(caller).await? && self.now().secs() < caller.claims.exp) => {
                Err(dead_identity())
            }
            _ => Ok(()),
        }
    }

    /// Address of the client.
    pub fn address(&self) -> IpAddr {
        self.0.address
    }

    /// User agent of the client, shortened.
    pub fn agent(&self) -> &str {
        &self.0.agent
    }

    /// A random UUID (version 4), drawn now: draw it outside of closures that may run twice.
    pub fn uuid(&self) -> Uuid {
        rng::uuid_v4(self.0.app.rng.as_ref())
    }

    /// The proven caller.
    ///
    /// # Errors
    /// `Unauthenticated` on anonymous endpoints.
    pub fn caller(&self) -> Result<&Caller> {
        self.0.caller.as_ref().ok_or_else(|| {
            Error::new(Kind::Unauthenticated, "No authorization header found.").reason("no_token")
        })
    }

    /// The caller as an initiator of events.
    pub fn initiator(&self) -> Initiator {
        let mut initiator = Initiator {
            address: self.0.address.to_string(),
            agent: self.0.agent.clone(),
            ..Initiator::default()
        };
        if let Some(caller) = &self.0.caller {
            let claims = &caller.claims;
            initiator.id = claims.iam_id.as_str().to_owned();
            initiator.name = caller.name().to_owned();
            initiator.credential = "token".into();
            initiator.type_uri = type_uri(&claims.iam_id).into();
            if claims.authn.iam_id != claims.iam_id.as_str() {
                initiator.authn_id = Some(claims.authn.iam_id.clone());
                initiator.authn_name = claims.authn.name.clone().or_else(|| claims.authn.email.clone());
            }
        }
        initiator
    }

    /// Decides whether the caller may do `action` on `target`.
    ///
    /// # Errors
    /// `NotFound` when the target is in another account where the caller has no right: the same as an unknown one;
    /// `Forbidden` otherwise.
    pub async fn authorize(&self, action: &str, target: &Target) -> Result<Permit> {
        let caller = self.caller()?;
        self.note(target);
        let account = self.0.app.account(&target.account).await?;
        let who = Asker { iam_id: caller.iam_id(), home: Home::seen_from(&target.account, caller.account()) };
        let Verdict { permitted, decision, external } =
            account.judge(&who, action, &target.attrs, self.now());
        {
            // What explaining the request asks again, whatever came out.
            let mut trail = self.0.trail.lock();
            (trail.decided, trail.permitted) = (true, permitted);
            let told = &mut trail.details.decision;
            if decision.permitted && external == ExternalState::Monitor {
                told.insert("external".into(), json!("monitor"));
            }
            told.insert("stage".into(), json!("access"));
            told.insert("iam_id".into(), json!(caller.iam_id().as_str()));
            if caller.account() != &target.account {
                told.insert("home".into(), json!(caller.account().as_str()));
            }
            told.insert("action".into(), json!(action));
            told.insert("account".into(), json!(target.account.as_str()));
            told.insert("attributes".into(), attributes_json(&target.attrs));
            told.insert("permitted".into(), json!(permitted));
            if permitted {
                told.insert("policies".into(), json!(some_of(&decision.matched)));
                if decision.matched.len() > POLICIES_TOLD {
                    told.insert("policies_count".into(), json!(decision.matched.len()));
                }
            }
        }
        if permitted {
            self.0.app.permits.note(&target.account, &decision.matched, self.now());
            return Ok(Permit {
                action: action.to_owned(),
                target: target.clone(),
                initiator: self.initiator(),
                policies: some_of(&decision.matched),
                how: "policy",
            });
        }
        if caller.account() == &target.account {
            self.0.app.metrics.refusal("access");
            Err(Error::forbidden().reason("access"))
        } else {
            // Not counted, as what does not exist is not: anybody may read the counters.
            Err(Error::new(Kind::NotFound, "Not found.").reason("other_account"))
        }
    }

    /// The work of a decision for an answer that came without one: what does not exist takes as long as what belongs to
    /// another account.
    pub(crate) async fn decide_nothing(&self) -> Result<()> {
        let (Some(caller), false) = (&self.0.caller, self.0.trail.lock().decided) else { return Ok(()) };
        let action = self.0.endpoint.actions.first().copied().unwrap_or_default();
        let service = action.split('.').next().unwrap_or_default();
        let picture = self.0.app.account(caller.account()).await?;
        let attrs = ResourceAttrs::service(caller.account(), service);
        // Asked about nobody: like a stranger, he matches no policy.
        let nothing = picture.decide("", action, &attrs, self.now());
        std::hint::black_box(nothing.permitted);
        Ok(())
    }

    /// A permit for what an identity may do to itself without any policy (`reason` says which rule).
    ///
    /// # Errors
    /// `Forbidden` unless the caller is `subject`.
    pub fn authorize_self(&self, subject: &IamId, action: &str, target: &Target) -> Result<Permit> {
        self.note(target);
        if self.caller()?.iam_id() != subject {
            return Err(Error::forbidden().reason("access"));
        }
        Ok(Permit {
            action: action.to_owned(),
            target: target.clone(),
            initiator: self.initiator(),
            policies: Vec::new(),
            how: "self",
        })
    }

    /// A permit that membership in the account is enough for, by a published rule (creating a service ID, one's own
    /// API key).
    ///
    /// # Errors
    /// `NotFound` when the target is in another account.
    pub fn authorize_member(&self, action: &str, target: &Target) -> Result<Permit> {
        self.note(target);
        if self.caller()?.account() != &target.account {
            return Err(Error::new(Kind::NotFound, "Not found.").reason("other_account"));
        }
        Ok(Permit {
            action: action.to_owned(),
            target: target.clone(),
            initiator: self.initiator(),
            policies: Vec::new(),
            how: "member",
        })
    }

    /// A handle to ask many decisions about one account, for lists that filter silently.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn filter(&self, account: &AccountId) -> Result<Filter> {
        let iam_id = self.caller()?.iam_id().clone();
        let home = self.caller()?.account();
        let picture = self.0.app.account(account).await?;
        let who = Asker { iam_id: &iam_id, home: Home::seen_from(account, home) };
        let shut_out = picture.external(&who) == ExternalState::Limited;
        Ok(Filter { account: picture, iam_id, now: self.now(), shut_out })
    }

    /// Remembers the target for the event of this request, whatever becomes of it.
    pub fn note(&self, target: &Target) {
        let mut trail = self.0.trail.lock();
        trail.target = Some(target.clone());
        trail.permitted = false;
    }

    /// Adds to the event of this request, whatever becomes of it.
    pub fn detail(&self, f: impl FnOnce(&mut Details)) {
        f(&mut self.0.trail.lock().details);
    }

    /// Reads from the store. Closures may run twice.
    ///
    /// # Errors
    /// Those of the closure and of the store.
    pub async fn read<T, F>(&self, f: F) -> Result<T>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        self.0.app.store.read(f).await
    }

    /// Changes state under a permit; the event commits with the change, and if the closure fails nothing is changed.
    /// The closure may run twice and starts each time from fresh details.
    ///
    /// # Errors
    /// Those of the closure and of the store.
    pub async fn write<T, F>(&self, permit: Permit, mut f: F) -> Result<T>
    where
        F: FnMut(&mut Tx<'_>, &mut Details) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let ctx = self.clone();
        let ids = EventIds::draw(self);
        self.note(&permit.target);
        let base = {
            let mut trail = self.0.trail.lock();
            trail.permitted = true;
            trail.details.clone()
        };
        let account = permit.target.account.clone();
        let done = self
            .0
            .app
            .store
            .write_for(account.as_str(), move |tx| {
                let mut details = base.clone();
                let result = match f(tx, &mut details) {
                    Ok(v) => v,
                    Err(e) => {
                        // What the closure learnt (a lock, a name) still belongs into the failure's event.
                        details.also.clear();
                        ctx.0.trail.lock().details = details;
                        return Err(e);
                    }
                };
                let also = std::mem::take(&mut details.also);
                let mut ids = ids.iter();
                audit::sql::insert(tx, &ctx.event(ids.next(), &permit, details))?;
                for (permit, details) in also {
                    audit::sql::insert(tx, &ctx.event(ids.next(), &permit, details))?;
                }
                Ok(result)
            })
            .await?;
        self.0.trail.lock().recorded = true;
        Ok(done)
    }

    /// Makes the event of a disclosure or token issue durable; only then may the answer leave.
    ///
    /// # Errors
    /// `Unavailable`: nothing may be disclosed.
    pub async fn disclose(
        &self,
        permit: &Permit,
        f: impl FnOnce(&mut Details),
        riders: Vec<Rider>,
    ) -> Result<()> {
        let mut details = self.0.trail.lock().details.clone();
        f(&mut details);
        let mut ids = EventIds::draw(self).iter();
        let event = self.event(ids.next(), permit, details);
        self.0.app.audit.durable(event, riders).await?;
        self.0.trail.lock().recorded = true;
        Ok(())
    }

    /// Writes an event of its own, durable on return (failed logins into the trail of an account).
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn record(&self, permit: &Permit, details: Details) -> Result<()> {
        let mut ids = EventIds::draw(self).iter();
        let event = self.event(ids.next(), permit, details);
        self.0.app.audit.durable(event, Vec::new()).await?;
        self.0.trail.lock().recorded = true;
        Ok(())
    }

    /// As [`Ctx::record`], committed with the next batch: for what must not cost a flush of its own (evidence that
    /// nobody can verify).
    ///
    /// # Errors
    /// `Unavailable` when the queue stays full.
    pub async fn record_soon(&self, permit: &Permit, details: Details) -> Result<()> {
        let mut ids = EventIds::draw(self).iter();
        let event = self.event(ids.next(), permit, details);
        self.0.app.audit.soon(event).await?;
        self.0.trail.lock().recorded = true;
        Ok(())
    }

    /// Says that this request needs no event of its own beyond what was written.
    pub fn recorded(&self) {
        self.0.trail.lock().recorded = true;
    }

    fn event(&self, id: String, permit: &Permit, details: Details) -> Event {
        let endpoint = &self.0.endpoint;
        let action = endpoint.events.first().map_or_else(|| permit.action.clone(), |e| named(endpoint, e));
        let mut event = compose(&self.0.app, id, self.now(), permit, details);
        if event.action.is_empty() {
            event.action = action;
        }
        if event.target.type_uri.is_empty() {
            event.target.type_uri = named(endpoint, endpoint.target);
        }
        event.correlation_id = self.0.transaction_id.clone();
        event.data_event = endpoint.effect == Effect::Disclose;
        event.service_display = self.0.service_display.to_owned();
        event
    }

    /// The event of a request that wrote none: a read, or a failure after authentication.
    pub(crate) async fn finish(&self, status: u16, error: Option<&Error>) -> Result<()> {
        let endpoint = self.0.endpoint.clone();
        // 404 among them: behind it may stand a refusal, and the trail must not tell it from what never was.
        let refusal = matches!(status, 401 | 403 | 404) && endpoint.auth != Auth::Anonymous;
        if endpoint.events.is_empty() && !refusal {
            return Ok(());
        }
        let (target, permitted, mut details) = {
            let trail = self.0.trail.lock();
            if trail.recorded {
                return Ok(());
            }
            (trail.target.clone(), trail.permitted, trail.details.clone())
        };
        let Some(caller) = &self.0.caller else { return self.unverified(status, error).await };
        details.status = status;
        details.failure = error.map(|e| e.message().to_owned());
        if endpoint.events.is_empty() {
            details.action = Some(DENIED.into());
        }
        let account = caller.account().clone();
        // A stranger's attempt is told in his own trail, like one on what does not exist: neither does he learn there that
        // he found something, nor does its owner learn of guesses. What he was allowed belongs into the owner's trail.
        let known = target.filter(|target| permitted || target.account == account);
        if known.is_none() {
            let action = details.action.take();
            details = Details { action, status, failure: details.failure, ..Details::default() };
        }
        let target = known.unwrap_or_else(|| {
            let action = endpoint.events.first().map(|e| named(&endpoint, e)).unwrap_or_default();
            let service = action.split('.').next().filter(|s| !s.is_empty()).unwrap_or("avouch");
            Target::global(service, &account, ResourceAttrs::service(&account, service), "")
        });
        let permit = Permit {
            action: endpoint.actions.first().copied().unwrap_or_default().to_owned(),
            target,
            initiator: self.initiator(),
            policies: Vec::new(),
            how: "policy",
        };
        let mut ids = EventIds::draw(self).iter();
        let event = self.event(ids.next(), &permit, details);
        let panicked = error.is_some_and(Error::is_panic);
        let wait = panicked
            || self.0.app.config.audit.reads == Reads::Sync
            || status >= 400 && (endpoint.effect != Effect::Read || refusal);
        if wait {
            self.0.app.audit.durable(event, Vec::new()).await
        } else {
            self.0.app.audit.soon(event).await
        }
    }

    /// Tells the operator that this request met a defect; durable on return.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(crate) async fn panicked(&self) -> Result<()> {
        let account = AccountId::parse(audit::OPERATOR_ACCOUNT).map_err(Error::internal)?;
        let attrs = ResourceAttrs::service(&account, "avouch");
        let target = Target::global("avouch", &account, attrs, "")
            .named(self.0.endpoint.operation)
            .of_type("avouch/request");
        let permit = Permit {
            action: unasked::PANIC.action().into(),
            target,
            initiator: self.initiator(),
            policies: Vec::new(),
            how: "system",
        };
        let details = Details { action: Some(permit.action.clone()), status: 500, ..Details::default() };
        let event = self.event(EventIds::draw(self).iter().next(), &permit, details);
        self.0.app.audit.durable(event, Vec::new()).await
    }
    /// A token that proves nobody is told to the operator, like a login that nobody can verify.
    async fn unverified(&self, status: u16, error: Option<&Error>) -> Result<()> {
        let Some(error) = error else { return Ok(()) };
        if self.0.endpoint.auth == Auth::Anonymous || error.kind() != Kind::Unauthenticated {
            return Ok(());
        }
        let reason = error.reason_label().unwrap_or("unauthenticated");
        let refusal = Refusal { action: DENIED, reason, status, display: "IAM Access Management" };
        if !self.0.app.unverified.note(&self.0.app, self.address(), refusal, self.now()).await? {
            return Ok(());
        }
        let mut details = Details {
            action: Some(DENIED.to_owned()),
            status,
            failure: Some(error.message().to_owned()),
            ..Details::default()
        };
        details.request("operation", self.0.endpoint.operation);
        details.decision.insert("stage".into(), json!("evidence"));
        details.decision.insert("reason".into(), json!(reason));
        self.record_soon(&refusal.permit(self.initiator()), details).await
    }
}

/// Policies that an event names; of more it tells how many.
const POLICIES_TOLD: usize = 20;

fn some_of(policies: &[PolicyId]) -> Vec<String> {
    policies.iter().take(POLICIES_TOLD).map(ToString::to_string).collect()
}

/// A declared word with the service in place of `<service>`. Handlers name the service of an instance; where there is no
/// instance, it is the one that decides about instances.
fn named(endpoint: &Endpoint, declared: &str) -> String {
    let deciding = endpoint.actions.first().and_then(|a| a.split('.').next()).unwrap_or("avouch");
    declared.replace("<service>", deciding)
}

/// The event of a background job, which has no request: it goes into the transaction of the change
/// ([`audit::sql::insert`]) or to the audit writer.
pub fn background_event(
    app: &App,
    now: Timestamp,
    service_display: &str,
    permit: &Permit,
    details: Details,
) -> Event {
    let id = EventIds::at(app, now).iter().next();
    let mut event = compose(app, id.clone(), now, permit, details);
    if event.action.is_empty() {
        event.action = permit.action.clone();
    }
    event.correlation_id = id;
    event.service_display = service_display.to_owned();
    event
}

/// What an event takes from its permit and details.
fn compose(app: &App, id: String, now: Timestamp, permit: &Permit, details: Details) -> Event {
    let target = &permit.target;
    let mut decision = details.decision;
    if permit.how != "policy" {
        decision.entry("by").or_insert_with(|| json!(permit.how));
    }
    if !permit.policies.is_empty() {
        decision.insert("policies".into(), json!(permit.policies));
    }
    Event {
        id,
        account: target.account.as_str().to_owned(),
        time: now,
        action: details.action.unwrap_or_default(),
        status: if details.status == 0 { 200 } else { details.status },
        locked: details.locked,
        warning: details.warning,
        initiator: details.initiator.unwrap_or_else(|| permit.initiator.clone()),
        target: EventTarget {
            // What has no CRN of its own, a collection or what nobody found, is told as the service that has it.
            id: details
                .target_crn
                .or_else(|| Some(target.crn.clone()))
                .filter(|crn| !crn.is_empty())
                .unwrap_or_else(|| target.log_source.clone()),
            name: details.target_name.unwrap_or_else(|| target.name.clone()),
            type_uri: details.target_type.unwrap_or_else(|| target.type_uri.clone()),
            resource_group: target.resource_group.clone(),
        },
        failure: details.failure,
        correlation_id: String::new(),
        log_source: target.log_source.clone(),
        data_event: false,
        request: details.request,
        response: details.response,
        decision,
        node: app.config.node.clone(),
        service_display: String::new(),
    }
}

/// Event ids, drawn before closures that may run twice.
struct EventIds {
    base: Uuid,
}

impl EventIds {
    fn draw(ctx: &Ctx) -> Self {
        Self::at(&ctx.0.app, ctx.now())
    }

    fn at(app: &App, now: Timestamp) -> Self {
        Self { base: rng::uuid_v7(app.rng.as_ref(), now.millis()) }
    }

    fn iter(&self) -> EventIdIter {
        EventIdIter { next: self.base.as_u128() }
    }
}

struct EventIdIter {
    next: u128,
}

impl EventIdIter {
    fn next(&mut self) -> String {
        let id = Uuid::from_u128(self.next).to_string();
        self.next = self.next.wrapping_add(1);
        id
    }
}

/// Attributes as a JSON object, for events and explanations.
pub fn attributes_json(attrs: &ResourceAttrs) -> Value {
    let mut out: Map<String, Value> = attrs.iter().map(|(k, v)| (k.as_str().to_owned(), json!(v))).collect();
    if !attrs.access_tags().is_empty() {
        out.insert("tags".into(), json!(attrs.access_tags()));
    }
    Value::Object(out)
}

/// `service/security/account/…` of an IAM id.
pub fn type_uri(iam_id: &IamId) -> &'static str {
    use avouch_wire::ids::IamKind;
    match iam_id.kind() {
        IamKind::Profile => "service/security/account/profile",
        IamKind::ServiceId => "service/security/account/serviceid",
        IamKind::Crn => "service/security/clientid",
        IamKind::User => "service/security/account/user",
    }
}
