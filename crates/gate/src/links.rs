//! The few seams between services. A service that needs another names the need here; the owner implements it and the
//! server wires it, so services never import each other.

use async_trait::async_trait;
use avouch_policy::access::PolicyDoc;
use avouch_policy::rules::{ComputeIdentity, CrType};
use avouch_store::Tx;
use avouch_wire::crn::Crn;
use avouch_wire::ids::{AccountId, IamId, IamKind, LinkId, PolicyId, ProfileId};
use avouch_wire::time::Timestamp;

use crate::audit::Initiator;
use crate::ctx::{Ctx, Details, Permit};
use crate::error::{Error, Result};

/// One step from an older to a newer picture of who may do what in an account.
#[derive(Debug, Clone)]
pub enum AccessChange {
    /// A policy is as given now, or no longer counts.
    Policy { id: PolicyId, doc: Option<Box<PolicyDoc>> },
    /// The access groups that hold this IAM id, all of them.
    Member { iam_id: String, groups: Vec<String> },
    /// A custom role is as given now (service, actions), or gone.
    Role { crn: String, role: Option<(String, Vec<String>)> },
    /// Whether the public group counts.
    PublicAccess(bool),
    /// How identities of other accounts may act here.
    External(ExternalAccess),
}

/// What an account lets one type of identity of other accounts do, beyond what policies say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExternalState {
    /// As policies say.
    #[default]
    Enabled,
    /// As policies say, and noted in the trail.
    Monitor,
    /// Nothing, unless their account is named.
    Limited,
}

/// The setting for one type of identity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExternalRule {
    /// What they may do.
    pub state: ExternalState,
    /// Accounts that a limit does not touch.
    pub allowed: Vec<String>,
}

/// How identities of other accounts may act in an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExternalAccess {
    /// Users.
    pub user: ExternalRule,
    /// Service IDs and trusted profiles.
    pub service_id: ExternalRule,
    /// Services that act as themselves.
    pub service: ExternalRule,
}

impl ExternalAccess {
    /// What holds for an identity whose tokens are of another account, `home` where that is known.
    pub fn state(&self, iam_id: &IamId, home: Option<&AccountId>) -> ExternalState {
        let rule = match iam_id.kind() {
            IamKind::User => &self.user,
            IamKind::ServiceId | IamKind::Profile => &self.service_id,
            IamKind::Crn => &self.service,
        };
        let named = home.is_some_and(|home| rule.allowed.iter().any(|a| a == home.as_str()));
        if rule.state == ExternalState::Limited && named { ExternalState::Enabled } else { rule.state }
    }
}

/// Where the decision gets policies, groups and roles from; implemented by `iam`.
pub trait AccessSource: Send + Sync {
    /// Hands over everything of the account (`objects` is `None`), or the present state of the named `(kind, object)`
    /// pairs, one by one: an account may hold more than should be in memory twice.
    ///
    /// # Errors
    /// Those of the store.
    fn load(
        &self,
        tx: &mut Tx<'_>,
        account: &AccountId,
        objects: Option<&[(String, String)]>,
        take: &mut dyn FnMut(AccessChange),
    ) -> Result<()>;
}

/// Whether an identity may act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityState {
    /// The account has such a profile, service ID or user, active or not.
    pub known: bool,
    /// The profile, service ID or user exists and is active in the account.
    pub alive: bool,
    /// Tokens issued before this time no longer count on our own services.
    pub revoked_before: Option<Timestamp>,
}

impl IdentityState {
    /// What becomes of a token of this identity by the time when it was issued; one that does not tell counts as older
    /// than every revocation. The only place where that is judged.
    pub fn life(&self, issued_at: Option<Timestamp>, now: Timestamp) -> Life {
        if !self.alive {
            Life::Gone
        } else if self.ended(issued_at, now) {
            Life::Stale
        } else {
            Life::Lives
        }
    }

    /// Whether a revocation ended what was issued then.
    pub fn ended(&self, issued_at: Option<Timestamp>, now: Timestamp) -> bool {
        let Some(before) = self.revoked_before else { return false };
        // The clock was set back since a token of the future was issued: it may be older than the revocation. One of the
        // second of a revocation is dated a second later.
        issued_at.is_none_or(|at| at < before || at > now.plus_secs(1))
    }
}

/// Whether an identity may act with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It may.
    Lives,
    /// It does not exist in the account of its tokens, or is not active there.
    Gone,
    /// It may act, but no longer with that token.
    Stale,
}

/// How a user is called, for tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// E-mail, also the user name.
    pub email: String,
    /// Given name.
    pub given_name: String,
    /// Family name.
    pub family_name: String,
    /// The account drew the IAM id, so nobody was known by it before.
    pub made_here: bool,
}

impl Person {
    /// Given and family name.
    pub fn full_name(&self) -> String {
        format!("{} {}", self.given_name, self.family_name).trim().to_owned()
    }
}

/// Where authentication asks whether an identity lives; implemented by `iam` (users: `platform` through the same
/// tables).
pub trait IdentitySource: Send + Sync {
    /// State of `iam_id` in `account`.
    ///
    /// # Errors
    /// Those of the store.
    fn state(&self, tx: &mut Tx<'_>, account: &AccountId, iam_id: &IamId) -> Result<IdentityState>;

    /// Names of a user of the account; `None` for other kinds of identities and for strangers.
    ///
    /// # Errors
    /// Those of the store.
    fn person(&self, tx: &mut Tx<'_>, account: &AccountId, iam_id: &IamId) -> Result<Option<Person>>;

    /// Whether a user is in any other account too.
    ///
    /// # Errors
    /// Those of the store.
    fn member_elsewhere(&self, tx: &mut Tx<'_>, account: &AccountId, iam_id: &IamId) -> Result<bool>;
}

/// A resource group as other services need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceGroupInfo {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
}

/// Where services look resource groups up; implemented by `platform`.
pub trait ResourceGroupSource: Send + Sync {
    /// The group with this id in the account; without an id the default group.
    ///
    /// # Errors
    /// Those of the store.
    fn resource_group(
        &self,
        tx: &mut Tx<'_>,
        account: &AccountId,
        id: Option<&str>,
    ) -> Result<Option<ResourceGroupInfo>>;
}

/// A service instance as other services need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceInfo {
    /// GUID.
    pub guid: String,
    /// Owning account.
    pub account: AccountId,
    /// Service name.
    pub service: String,
    /// Region.
    pub region: String,
    /// Resource group id.
    pub resource_group: String,
    /// Name.
    pub name: String,
    /// CRN of the instance.
    pub crn: Crn,
    /// Usable: neither removed, pending reclamation nor suspended.
    pub active: bool,
    /// Access tags.
    pub tags: Vec<String>,
}

/// Where services look instances up; implemented by `platform`.
pub trait InstanceSource: Send + Sync {
    /// The instance with this GUID, of whatever account.
    ///
    /// # Errors
    /// Those of the store.
    fn instance(&self, tx: &mut Tx<'_>, guid: &str) -> Result<Option<InstanceInfo>>;
}

/// What a service does when an instance of it comes or goes; implemented by the service, called by `platform` inside
/// its own transaction.
pub trait InstanceHooks: Send + Sync {
    /// Service name.
    fn service(&self) -> &'static str;
    /// A new instance was written.
    ///
    /// # Errors
    /// Any; the creation is undone.
    fn created(&self, tx: &mut Tx<'_>, instance: &InstanceInfo, now: Timestamp) -> Result<()>;
    /// The instance is removed for good.
    ///
    /// # Errors
    /// Any; the removal is undone.
    fn removed(&self, tx: &mut Tx<'_>, instance: &InstanceInfo) -> Result<()>;
}

/// Ends access that names what no longer exists; implemented by `iam`.
pub trait AccessCleaner: Send + Sync {
    /// Policies whose resource names this service instance.
    ///
    /// # Errors
    /// Those of the store.
    fn instance_removed(
        &self,
        tx: &mut Tx<'_>,
        account: &AccountId,
        guid: &str,
        now: Timestamp,
    ) -> Result<()>;

    /// All that a removed user had in the account: policies, memberships, places in profiles, API keys (locked or not),
    /// sessions and tokens. `removed`: when, and by whom. Gives the API keys that went, each for an event of its own.
    ///
    /// # Errors
    /// Those of the store.
    fn user_removed(
        &self,
        tx: &mut Tx<'_>,
        account: &AccountId,
        iam_id: &IamId,
        removed: (Timestamp, &str),
    ) -> Result<Vec<RemovedKey>>;
}

/// An API key that went with its owner.
#[derive(Debug, Clone)]
pub struct RemovedKey {
    /// CRN.
    pub crn: String,
    /// Name.
    pub name: String,
    /// It was locked.
    pub locked: bool,
}

/// A trusted profile as other services need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileInfo {
    /// Id.
    pub id: ProfileId,
    /// CRN.
    pub crn: String,
    /// Name.
    pub name: String,
}

/// A link from a profile to a virtual server.
#[derive(Debug, Clone)]
pub struct InstanceLink {
    /// The profile.
    pub profile: ProfileInfo,
    /// Id of the link.
    pub id: LinkId,
    /// Revision.
    pub etag: String,
    /// CRN of the virtual server.
    pub crn: Crn,
    /// Who links, and when.
    pub by: (IamId, Timestamp),
}

/// Links profiles to virtual servers in the transaction that makes or removes these; implemented by `iam`.
#[async_trait]
pub trait ProfileLinker: Send + Sync {
    /// The profile of the caller's account with this id or CRN.
    ///
    /// # Errors
    /// Those of the store.
    async fn profile(&self, ctx: &Ctx, wanted: &str) -> Result<Option<ProfileInfo>>;

    /// The permit to link it to a resource of the account.
    ///
    /// # Errors
    /// `Forbidden`.
    async fn may_link(&self, ctx: &Ctx, profile: &ProfileInfo) -> Result<Permit>;

    /// Writes the link, and hands out the event of it.
    ///
    /// # Errors
    /// `Limit` when the profile has no room for it, `Conflict` when it is gone.
    fn link(
        &self,
        tx: &mut Tx<'_>,
        account: &AccountId,
        permit: &Permit,
        link: &InstanceLink,
    ) -> Result<(Permit, Details)>;

    /// Removes all links to a virtual server, of whatever profile, and hands out the event of each. `by` is the IAM id and
    /// account of whoever does it, for the history of the profiles.
    ///
    /// # Errors
    /// Those of the store.
    fn unlink(
        &self,
        tx: &mut Tx<'_>,
        crn: &Crn,
        by: (&str, &AccountId),
        at: Timestamp,
    ) -> Result<Vec<(Permit, Details)>>;
}

/// How a compute resource names the profile that it wants to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileWanted {
    /// By id.
    Id(String),
    /// By CRN.
    Crn(String),
    /// By name, in the account of the resource.
    Name(String),
}

/// An IAM token of a profile. No `Debug`: it is secret.
pub struct ProfileToken {
    /// The token.
    pub token: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Whose it is.
    pub profile: ProfileInfo,
    /// The profile as an initiator, the resource behind it.
    pub initiator: Initiator,
}

/// Gives a compute resource whose identity is certain by the channel a token of a profile that trusts it; implemented by
/// `iam` with the code of its token endpoint, event included.
#[async_trait]
pub trait ComputeExchange: Send + Sync {
    /// The token for the profile, which must be of the account of the resource.
    ///
    /// # Errors
    /// `Invalid` with the reason `profile_not_found`, `not_eligible` or another one; `Unavailable`.
    async fn exchange(
        &self,
        ctx: &Ctx,
        identity: &ComputeIdentity,
        wanted: &[ProfileWanted],
    ) -> Result<ProfileToken>;
}

/// What else keeps a resource group from being deleted; implemented by services whose objects have one.
pub trait GroupMembers: Send + Sync {
    /// Whether anything of the service is in the group.
    ///
    /// # Errors
    /// Those of the store.
    fn any_in_group(&self, tx: &mut Tx<'_>, account: &AccountId, group: &str) -> Result<bool>;
}

/// Evidence that was verified: what the compute resource is.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// Type, CRN, display name, account and claims.
    pub identity: ComputeIdentity,
    /// Token id of the evidence, when it has one.
    pub jti: Option<String>,
    /// Key that verified it.
    pub kid: Option<String>,
    /// The issued token must not outlive this time, when the registration asks for it.
    pub cap: Option<Timestamp>,
}

/// Evidence that was refused. Whether its signature was verified first decides in whose trail the event belongs.
#[derive(Debug)]
pub struct RefusedEvidence {
    /// What the caller is told.
    pub error: Error,
    /// Whose compute resource signed it, when the signature was verified before the refusal.
    pub known: Option<Box<KnownEvidence>>,
}

impl From<Error> for RefusedEvidence {
    fn from(error: Error) -> Self {
        Self { error, known: None }
    }
}

/// What is certain about refused evidence.
#[derive(Debug, Clone)]
pub struct KnownEvidence {
    /// Account of the issuer.
    pub account: AccountId,
    /// CRN of the issuer.
    pub crn: Crn,
    /// Name of the compute resource as far as it is known.
    pub display: String,
    /// Kind of the compute resource.
    pub cr_type: CrType,
    /// Token id of the evidence, when it has one.
    pub jti: Option<String>,
}

/// Tells whether a compute resource may become a profile; implemented by `iam` with the code that issues tokens.
#[async_trait]
pub trait TrustExplainer: Send + Sync {
    /// The tree of the decision for a profile of `account`, named by id, IAM id or CRN; `None`: no such profile there.
    ///
    /// # Errors
    /// Those of the store.
    async fn explain_trust(
        &self,
        ctx: &Ctx,
        account: &AccountId,
        identity: &ComputeIdentity,
        profile: &str,
    ) -> Result<Option<avouch_policy::reason::Reason>>;
}

/// Verifies compute resource tokens; implemented by `kubernetes`.
#[async_trait]
pub trait EvidenceVerifier: Send + Sync {
    /// Runs every check in order.
    ///
    /// # Errors
    /// With the published code of the token endpoint and a bounded private reason.
    async fn verify(&self, ctx: &Ctx, cr_token: &str) -> Result<Evidence, RefusedEvidence>;

    /// The same checks as a list of steps for those who may see them, with the evidence if all passed.
    ///
    /// # Errors
    /// Only for faults of the server; a refusal is in the tree.
    async fn inspect(
        &self,
        ctx: &Ctx,
        cr_token: &str,
        at: Timestamp,
    ) -> Result<(avouch_policy::reason::Reason, Option<Evidence>)>;
}
