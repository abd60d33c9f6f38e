//! One token request from form to answer. The grants decide who it is; what follows is the same for all of them.

use avouch_crypto::rng;
use avouch_crypto::secret::SecretString;
use avouch_gate::audit::Initiator;
use avouch_gate::audit::writer::Rider;
use avouch_gate::authn::Authn;
use avouch_gate::ctx::type_uri as identity_type;
use avouch_gate::{Ctx, Details, Error, Kind, Permit, Request, Response, Result, Target};
use avouch_policy::access::ResourceAttrs;
use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;
use avouch_wire::token::{NOT_SUPPORTED, TokenResponse};
use serde_json::{Map, Value, json};

use super::client::{Client, tenants};
use super::failures::{self, Refused, Told};
use super::form::Form;
use super::limits::LoginLimits;
use super::sessions::{self, Session};
use super::subject::{Frame, Subject, claims};
use super::{SCOPE, Tokens, activity, api_key, assume, compute, refresh};

/// Longest `scope` that is echoed.
const SCOPE_MAX: usize = 256;
const JWT_TYPE: &str = "urn:ietf:params:oauth:token-type:jwt";
const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";

/// The grants that are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// API key of a user or service ID.
    ApiKey,
    /// Compute resource token.
    ComputeResource,
    /// A profile on behalf of another token.
    Assume,
    /// Refresh token.
    Refresh,
    /// The compute resource token in the form of RFC 8693.
    Exchange,
}

impl Grant {
    /// All of them.
    pub const ALL: [Grant; 5] =
        [Grant::ApiKey, Grant::ComputeResource, Grant::Assume, Grant::Refresh, Grant::Exchange];

    /// `grant_type`.
    pub fn urn(self) -> &'static str {
        match self {
            Grant::ApiKey => "urn:ibm:params:oauth:grant-type:apikey",
            Grant::ComputeResource => "urn:ibm:params:oauth:grant-type:cr-token",
            Grant::Assume => "urn:ibm:params:oauth:grant-type:assume",
            Grant::Refresh => "refresh_token",
            Grant::Exchange => "urn:ietf:params:oauth:grant-type:token-exchange",
        }
    }

    /// Short name for metrics.
    fn label(self) -> &'static str {
        match self {
            Grant::ApiKey => "apikey",
            Grant::ComputeResource => "cr-token",
            Grant::Assume => "assume",
            Grant::Refresh => "refresh_token",
            Grant::Exchange => "token-exchange",
        }
    }

    fn parse(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|g| g.urn() == text).ok_or_else(|| {
            Error::invalid("grant_type", "The property 'grant_type' has a value that is not supported.")
        })
    }
}

/// What a request asks for, beside its credential.
#[derive(Debug)]
pub struct Asked {
    /// The form.
    pub form: Form,
    /// The grant.
    pub grant: Grant,
    /// The program that asks.
    pub client: Client,
}

/// A login whose evidence was accepted.
#[derive(Debug)]
pub struct Admitted {
    /// Audit action.
    pub action: &'static str,
    /// Who the token is for.
    pub subject: Subject,
    /// Account of the token.
    pub account: AccountId,
    /// The token is pinned to the account.
    pub frozen: bool,
    /// The identity behind the subject.
    pub authn: Authn,
    /// What the account demands of logins.
    pub limits: LoginLimits,
    /// The token must not outlive this time.
    pub cap: Option<Timestamp>,
    /// `credential.type` of the event.
    pub credential: &'static str,
    /// CRN and name of the target of the event.
    pub target: (String, String),
    /// How the decision came about, for the event.
    pub decision: Map<String, Value>,
    /// Objects whose uses are counted: (account, id).
    pub counted: Vec<(AccountId, String)>,
    /// API key that was used; empty: none.
    pub api_key_id: String,
    /// The refresh token that was used: its hash and its session.
    pub refreshed: Option<(String, Session)>,
}

impl Admitted {
    /// The initiator of the login's event.
    pub fn initiator(&self, ctx: &Ctx) -> Initiator {
        let iam_id = self.subject.iam_id();
        let behind = self.authn.iam_id != iam_id.as_str();
        let authn_name = self.authn.email.clone().or_else(|| self.authn.name.clone());
        Initiator {
            id: iam_id.as_str().to_owned(),
            name: self.subject.shown().to_owned(),
            type_uri: identity_type(&iam_id).to_owned(),
            credential: self.credential.to_owned(),
            authn_id: behind.then(|| self.authn.iam_id.clone()),
            authn_name: if behind { authn_name } else { None },
            address: ctx.address().to_string(),
            agent: ctx.agent().to_owned(),
        }
    }

    fn permit(&self, ctx: &Ctx, account: &AccountId) -> Permit {
        let attrs = ResourceAttrs::service(account, "iam-identity");
        let (crn, name) = &self.target;
        let target = Target::global("iam-identity", account, attrs, crn.clone())
            .named(name.clone())
            .of_type(super::type_uri(self.action));
        Permit::admitted(self.action, target, self.initiator(ctx))
    }

    /// A refusal that is told in the trail of the account.
    pub fn refused(&self, ctx: &Ctx, error: Error) -> Refused {
        self.refused_in(ctx, &self.account, error)
    }

    /// A refusal that is told in the trail of this account, whatever the token was to be of.
    pub fn refused_in(&self, ctx: &Ctx, account: &AccountId, error: Error) -> Refused {
        let mut details = Details { decision: self.decision.clone(), ..Details::default() };
        details.decision.insert("permitted".into(), json!(false));
        details.decision.insert("reason_code".into(), json!(error.reason_label().unwrap_or("refused")));
        Refused { error, told: Told::Accounts(vec![(self.permit(ctx, account), details)]) }
    }
}

/// `POST /identity/token`.
pub async fn issue(ctx: Ctx, request: Request) -> Result<Response> {
    let app = ctx.app();
    if let Some(wait) = app.failures.blocked(ctx.address(), ctx.now()) {
        return Err(
            Error::new(Kind::RateLimited, "Too many failed requests from this address.").retry_after(wait)
        );
    }
    let tokens = app.state::<Tokens>()?;
    tokens.keys.pool.door()?;
    let form = Form::read(&request)?;
    let client = Client::of(&request)?;
    let grant = Grant::parse(form.required("grant_type")?)?;
    check_common(&form)?;
    let asked = Asked { form, grant, client };
    match login(&ctx, &tokens, &request, &asked).await {
        Ok(answer) => {
            app.metrics.token(grant.label());
            Response::json(200, &answer)
        }
        Err(refused) => Err(failures::record(&ctx, client.id(), refused).await),
    }
}

fn check_common(form: &Form) -> Result<()> {
    for kind in form.get("response_type").unwrap_or("cloud_iam").split(' ') {
        if kind != "cloud_iam" {
            return Err(Error::invalid(
                "response_type",
                "The property 'response_type' has a value that is not supported.",
            )
            .details("The property 'response_type' may have the values: cloud_iam."));
        }
    }
    if form.get("scope").is_some_and(|s| !avouch_wire::text::printable(s, SCOPE_MAX)) {
        return Err(Error::invalid("scope", "The property 'scope' is not valid."));
    }
    Ok(())
}

async fn login(
    ctx: &Ctx,
    tokens: &Tokens,
    request: &Request,
    asked: &Asked,
) -> Result<TokenResponse, Refused> {
    let form = &asked.form;
    let admitted = match asked.grant {
        Grant::ApiKey => api_key::admit(ctx, form).await?,
        Grant::ComputeResource => {
            form.refuse(&["subject_token", "actor_token"])?;
            compute::admit(ctx, tokens, form, form.required("cr_token")?).await?
        }
        Grant::Exchange => {
            form.refuse(&["cr_token", "actor_token", "actor_token_type"])?;
            let given = form.required("subject_token_type")?;
            if given != JWT_TYPE {
                return Err(Error::invalid(
                    "subject_token_type",
                    format!("The only supported value is '{JWT_TYPE}'."),
                )
                .into());
            }
            if form.get("requested_token_type").is_some_and(|t| t != ACCESS_TOKEN_TYPE && t != JWT_TYPE) {
                return Err(Error::invalid(
                    "requested_token_type",
                    "The requested token type is not supported.",
                )
                .into());
            }
            compute::admit(ctx, tokens, form, form.required("subject_token")?).await?
        }
        Grant::Assume => assume::admit(ctx, tokens, form).await?,
        Grant::Refresh => refresh::admit(ctx, form, asked.client.required()?).await?,
    };
    let revoked_before = restrict(ctx, &admitted).await?;
    from_where(ctx, request, &admitted)?;
    Box::pin(finish(ctx, tokens, asked, &admitted, revoked_before)).await
}

/// Signs and tells.
async fn finish(
    ctx: &Ctx,
    tokens: &Tokens,
    asked: &Asked,
    admitted: &Admitted,
    revoked_before: Option<Timestamp>,
) -> Result<TokenResponse, Refused> {
    let issued = Issued::plan(ctx, asked, admitted, revoked_before).map_err(|e| admitted.refused(ctx, e))?;
    // Not before: admission waits for issuers, and whoever waits must not hold what everybody needs.
    let slot = tokens.keys.pool.slot()?;
    let key = tokens.keys.active(ctx.now()).await?;
    let token = tokens.keys.pool.sign(&slot, key, issued.claims(ctx, asked, admitted)).await?;
    commit(ctx, asked, admitted, &issued).await?;
    Ok(issued.answer(asked, token))
}

/// The token of a compute resource that is known by its channel. Where it asks from is that channel, so an account's list of
/// addresses says nothing about it.
pub async fn by_channel(ctx: &Ctx, tokens: &Tokens, admitted: &Admitted) -> Result<TokenResponse, Refused> {
    let revoked_before = restrict(ctx, admitted).await?;
    let asked = Asked { form: Form::none(), grant: Grant::ComputeResource, client: Client::Default };
    let answer = Box::pin(finish(ctx, tokens, &asked, admitted, revoked_before)).await?;
    ctx.app().metrics.token(asked.grant.label());
    Ok(answer)
}

/// What the account demands of every login, whatever the grant. Returns up to when older tokens of the subject were
/// revoked.
async fn restrict(ctx: &Ctx, admitted: &Admitted) -> Result<Option<Timestamp>, Refused> {
    let state = ctx.app().identity(&admitted.account, &admitted.subject.iam_id()).await?;
    if !state.alive {
        let error = Error::new(Kind::Invalid, "The identity is not active in the account.")
            .code("BXNIM0415E")
            .reason("identity_not_active");
        return Err(admitted.refused(ctx, error));
    }
    Ok(state.revoked_before)
}

/// Where logins of the account may come from.
fn from_where(ctx: &Ctx, request: &Request, admitted: &Admitted) -> Result<(), Refused> {
    if !admitted.limits.addresses.admit(ctx.address()) {
        let error = Error::new(Kind::Invalid, "Logins from this address are not allowed in the account.")
            .code("BXNIM0484E")
            .reason("address_not_allowed");
        return Err(admitted.refused(ctx, error));
    }
    if tenants(request).is_some_and(|t| !t.iter().any(|t| t == admitted.account.as_str())) {
        let error =
            Error::new(Kind::Invalid, "The token would be of an account that the request does not allow.")
                .code("BXNIM0485E")
                .reason("tenant_not_allowed");
        return Err(admitted.refused(ctx, error));
    }
    Ok(())
}

/// Ids, times and refresh token of a token to be, drawn once.
struct Issued {
    jti: String,
    iat: i64,
    exp: i64,
    scope: String,
    refresh: Option<RefreshGrant>,
}

/// A refresh token to be, with the session that it belongs to.
struct RefreshGrant {
    value: SecretString,
    hash: String,
    expires_at: Timestamp,
    session: Session,
}

impl Issued {
    fn plan(
        ctx: &Ctx,
        asked: &Asked,
        admitted: &Admitted,
        revoked_before: Option<Timestamp>,
    ) -> Result<Self> {
        let now = ctx.now();
        // Tokens count by the second: one that is issued in the second of a revocation is dated one later, so that it
        // is not taken for an old one.
        let iat = now.secs().max(revoked_before.map_or(i64::MIN, |at| at.plus_millis(999).secs()));
        if iat > now.secs() + 1 {
            return Err(
                Error::unavailable("Tokens of this identity are revoked at the moment.").reason("revoked")
            );
        }
        let granted = admitted.refreshed.as_ref().map(|(_, session)| session.scope.as_str());
        let scope = asked.form.get("scope").unwrap_or(granted.unwrap_or(SCOPE));
        let refresh = Self::refresh(ctx, asked, admitted, scope);
        let ends = refresh.as_ref().filter(|r| r.session.visible).map(|r| r.session.expires_at);
        let exp = [admitted.cap, ends]
            .into_iter()
            .flatten()
            .map(Timestamp::secs)
            .fold(iat + admitted.limits.access_secs, i64::min);
        if exp <= iat {
            return Err(Error::new(Kind::Invalid, "The presented token is expired.")
                .code("BXNIM0408E")
                .reason("expired"));
        }
        Ok(Self { jti: ctx.uuid().to_string(), iat, exp, scope: scope.to_owned(), refresh })
    }

    fn refresh(ctx: &Ctx, asked: &Asked, admitted: &Admitted, scope: &str) -> Option<RefreshGrant> {
        let wanted = matches!(asked.grant, Grant::ApiKey | Grant::Refresh) && asked.client.refreshes();
        if !wanted {
            return None;
        }
        let now = ctx.now();
        let limits = &admitted.limits;
        let visible = matches!(admitted.subject, Subject::User(..));
        let token_end = now.plus_secs(limits.refresh_secs);
        let session = match &admitted.refreshed {
            // A session ends when it was meant to; without one, each use of the refresh token gives it a new life.
            Some((_, old)) if old.visible => Session { last_used_at: now, ..old.clone() },
            Some((_, old)) => Session { last_used_at: now, expires_at: token_end, ..old.clone() },
            None => Session {
                id: ctx.uuid().to_string(),
                account: admitted.account.clone(),
                iam_id: admitted.subject.iam_id(),
                visible,
                client_id: asked.client.id().to_owned(),
                api_key_id: admitted.api_key_id.clone(),
                scope: scope.to_owned(),
                created_at: now,
                last_used_at: now,
                expires_at: if visible { now.plus_secs(limits.session_secs) } else { token_end },
                ended_at: None,
            },
        };
        let value = rng::token_urlsafe(ctx.app().rng.as_ref(), 48);
        Some(RefreshGrant {
            hash: sessions::hash_of(value.expose()),
            value,
            expires_at: token_end.min(session.expires_at),
            session,
        })
    }

    fn claims(&self, ctx: &Ctx, asked: &Asked, admitted: &Admitted) -> avouch_gate::authn::TokenClaims {
        let session = self
            .refresh
            .as_ref()
            .filter(|r| r.session.visible)
            .map(|r| (r.session.id.clone(), r.session.expires_at.secs()));
        claims(
            &admitted.subject,
            Frame {
                account: admitted.account.clone(),
                frozen: admitted.frozen,
                authn: admitted.authn.clone(),
                jti: self.jti.clone(),
                iat: self.iat,
                exp: self.exp,
                iss: ctx.app().config.issuer(),
                grant_type: asked.grant.urn().to_owned(),
                scope: self.scope.clone(),
                client_id: asked.client.id().to_owned(),
                session,
            },
        )
    }

    fn answer(self, asked: &Asked, token: String) -> TokenResponse {
        let mut answer = TokenResponse::bearer(token, self.exp, self.exp - self.iat, &self.scope);
        if let Some(refresh) = self.refresh {
            answer.session_id = refresh.session.visible.then(|| refresh.session.id.clone());
            answer.refresh_token = refresh.value.expose().clone();
        } else {
            answer.refresh_token = NOT_SUPPORTED.to_owned();
        }
        if asked.grant == Grant::Exchange {
            answer.issued_token_type = Some(ACCESS_TOKEN_TYPE.to_owned());
        }
        answer
    }
}

/// Makes the event durable, with the counters and, where there is one, the refresh token. A signature whose event does
/// not commit is thrown away by the caller.
async fn commit(ctx: &Ctx, asked: &Asked, admitted: &Admitted, issued: &Issued) -> Result<(), Refused> {
    let permit = admitted.permit(ctx, &admitted.account);
    let mut decision = admitted.decision.clone();
    decision.insert("permitted".into(), json!(true));
    decision.insert("jti".into(), json!(issued.jti));
    decision.insert("exp".into(), json!(issued.exp));
    let (client, action) = (asked.client.id(), admitted.action);
    let fill = move |details: &mut Details| {
        details.action(action);
        details.decision = decision;
        details.request("client_id", client);
        details.request("grant_type", asked.grant.urn());
    };
    let now = ctx.now();
    let riders: Vec<Rider> = admitted
        .counted
        .iter()
        .map(|(account, object)| {
            let (account, object) = (account.clone(), object.clone());
            let node = ctx.app().config.node.clone();
            Rider::new(format!("authn/{account}/{object}"), move |tx, times| {
                activity::note(tx, (&account, &object), &node, now, times)
            })
        })
        .collect();
    let Some(refresh) = &issued.refresh else {
        ctx.disclose(&permit, fill, riders).await?;
        return Ok(());
    };
    let mut filled = Details::default();
    fill(&mut filled);
    let used = admitted.refreshed.as_ref().map(|(hash, _)| hash.clone());
    let (hash, until, session) = (refresh.hash.clone(), refresh.expires_at, refresh.session.clone());
    let max_sessions = admitted.limits.max_sessions;
    let written = ctx.write(permit, move |tx, details| {
        *details = filled.clone();
        match &used {
            Some(used) => {
                if !sessions::use_up(tx, used, now)? {
                    return Err(refresh::invalid(refresh::REUSED));
                }
                sessions::touch(tx, &session.id, now, session.expires_at)?;
            }
            None => sessions::open(tx, &session, max_sessions)?,
        }
        sessions::add_token(tx, &hash, &session.id, now, until)?;
        riders.iter().try_for_each(|rider| rider.alone(tx))
    });
    match written.await {
        // Somebody else used the token between admission and commit: two have it, as if it had come a second time.
        Err(e) if e.reason_label() == Some(refresh::REUSED) => Err(refresh::reused(ctx, admitted).await?),
        written => Ok(written?),
    }
}
