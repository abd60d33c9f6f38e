//! Grant `cr-token`: a compute resource proves what it is and becomes a trusted profile.
//!
//! The evidence is verified by its issuer's keys, then a link or claim rule of the profile must match. It refuses to tell
//! an unknown profile from one that does not trust the caller.

use std::sync::Arc;

use avouch_crypto::digest::{hex, sha256};
use avouch_gate::audit::Initiator;
use avouch_gate::links::{Evidence, KnownEvidence, RefusedEvidence};
use avouch_gate::{Ctx, Details, Error, Kind, Permit, Result, Target};
use avouch_policy::access::ResourceAttrs;
use avouch_policy::claims::{ClaimValue, Claims};
use avouch_policy::reason::Reason;
use avouch_policy::rules::{ComputeIdentity, CrType, match_profile};
use avouch_wire::crn::Crn;
use avouch_wire::ids::{AccountId, IamId};
use serde_json::{Map, Value, json};

use super::failures::{Refused, Told};
use super::form::Form;
use super::issue::Admitted;
use super::lookup::TrustedProfile;
use super::subject::{Subject, compute_authn};
use super::trust::Selector;
use super::{TOKEN_LIMIT, Tokens, actions, type_uri};

/// Most claims that an event keeps, and the longest text of one.
const CLAIMS_KEPT: usize = 48;
const CLAIM_TEXT: usize = 200;

/// The profile parameters of a request.
pub struct Wanted {
    selectors: Vec<(&'static str, Selector)>,
    account: Option<AccountId>,
    /// Profiles of other accounts do not exist for the request.
    own_only: bool,
}

impl Wanted {
    /// What a resource of an account wants to become there.
    pub fn own(selectors: Vec<(&'static str, Selector)>) -> Self {
        Self { selectors, account: None, own_only: true }
    }

    /// Reads `profile_id`, `profile_crn`, `profile_name` and `account`.
    ///
    /// # Errors
    /// `Missing` when there is no profile parameter, `Invalid` for a malformed one.
    pub fn of(form: &Form) -> Result<Self> {
        let mut selectors = Vec::new();
        let malformed =
            |name: &'static str| Error::invalid(name, format!("The property '{name}' is not valid."));
        if let Some(id) = form.get("profile_id") {
            selectors.push(("profile_id", Selector::of_id(id).ok_or_else(|| malformed("profile_id"))?));
        }
        if let Some(crn) = form.get("profile_crn") {
            selectors.push(("profile_crn", Selector::of_crn(crn).ok_or_else(|| malformed("profile_crn"))?));
        }
        if let Some(name) = form.get("profile_name") {
            if name.len() > 1024 {
                return Err(malformed("profile_name"));
            }
            // COMPAT: a published walk-through puts an id into `profile_name`; names of that form cannot exist.
            let selector = Selector::of_id(name).unwrap_or_else(|| Selector::Name(name.to_owned()));
            selectors.push(("profile_name", selector));
        }
        if selectors.is_empty() {
            return Err(Error::missing("profile_id").details(
                "One of the properties 'profile_id', 'profile_name' and 'profile_crn' is required.",
            ));
        }
        let account = match (form.get("account"), form.get("bss_account")) {
            (Some(a), Some(b)) if a != b => return Err(malformed("account")),
            (Some(a), _) | (None, Some(a)) => Some(AccountId::parse(a).map_err(|_| malformed("account"))?),
            (None, None) => None,
        };
        Ok(Self { selectors, account, own_only: false })
    }

    /// The account that was named.
    pub fn account(&self) -> Option<&AccountId> {
        self.account.as_ref()
    }

    /// Whether a profile is asked for by its name alone.
    pub fn by_name_only(&self) -> bool {
        self.selectors.iter().all(|(_, s)| matches!(s, Selector::Name(_)))
    }

    /// What was asked for, as the caller put it.
    pub fn shown(&self) -> String {
        self.selectors.first().map_or_else(String::new, |(_, s)| s.shown())
    }

    /// The profile of the first parameter, and the name of a parameter that means another one.
    pub async fn find(
        &self,
        ctx: &Ctx,
        tokens: &Tokens,
        named_in: &AccountId,
    ) -> Result<(Option<Arc<TrustedProfile>>, Option<&'static str>)> {
        let mut found = None;
        let mut differs = None;
        for (i, (parameter, selector)) in self.selectors.iter().enumerate() {
            let profile = tokens.trust.find(ctx.app(), selector, named_in).await?;
            if i == 0 {
                found = profile;
            } else if profile.as_ref().map(|p| &p.id) != found.as_ref().map(|p| &p.id) {
                differs = Some(*parameter);
            }
        }
        Ok((found, differs))
    }
}

/// Who the compute resource becomes.
pub async fn admit(ctx: &Ctx, tokens: &Tokens, form: &Form, token: &str) -> Result<Admitted, Refused> {
    form.refuse(&["apikey", "access_token", "refresh_token"])?;
    let wanted = Wanted::of(form)?;
    // COMPAT: clients send the file as it is, with its trailing newline.
    let token = token.trim();
    let evidence = verify(ctx, token).await?;
    Box::pin(admit_evidence(ctx, tokens, &evidence, &wanted)).await
}

/// Who a compute resource becomes that is certain.
pub async fn admit_evidence(
    ctx: &Ctx,
    tokens: &Tokens,
    evidence: &Evidence,
    wanted: &Wanted,
) -> Result<Admitted, Refused> {
    let identity = &evidence.identity;
    let named_in = wanted.account().unwrap_or(&identity.account);
    let (profile, differs) = wanted.find(ctx, tokens, named_in).await?;
    let profile = profile.filter(|p| !wanted.own_only || p.account == identity.account);
    let Some(profile) = profile else {
        let decision = decision(evidence, None, true);
        return Err(not_eligible(ctx, evidence, wanted, None, decision, "profile_not_found"));
    };
    let (matches, tree) = match_profile(identity, &profile.account, &profile.links, &profile.rules);
    let same_account = identity.account == profile.account;
    let mut decision = decision(evidence, Some(&profile), same_account);
    if !matches {
        if same_account {
            decision.insert("reason".into(), json!(tree.compact()));
        }
        return Err(not_eligible(ctx, evidence, wanted, Some(&profile), decision, "not_eligible"));
    }
    decision.insert("matched".into(), json!(tree.satisfied().collect::<Vec<_>>()));
    let admitted = Admitted {
        action: actions::COMPUTE,
        subject: Subject::profile(&profile),
        account: profile.account.clone(),
        frozen: true,
        authn: compute_authn(identity),
        limits: profile.limits.clone(),
        cap: evidence.cap,
        credential: "profile",
        target: (profile.crn.clone(), profile.name.clone()),
        decision,
        counted: vec![(profile.account.clone(), profile.id.as_str().to_owned())],
        api_key_id: String::new(),
        refreshed: None,
    };
    if let Some(parameter) = differs {
        return Err(admitted.refused(ctx, contradicts(parameter)));
    }
    Ok(admitted)
}

/// Two profile parameters do not mean the same profile.
pub fn contradicts(parameter: &'static str) -> Error {
    Error::invalid(parameter, format!("The property '{parameter}' names another profile."))
        .reason("profile_differs")
}

async fn verify(ctx: &Ctx, token: &str) -> Result<Evidence, Refused> {
    if token.is_empty() {
        return Err(Error::missing("cr_token").into());
    }
    if token.len() > TOKEN_LIMIT {
        let error =
            Error::new(Kind::Invalid, "cr_token could not be parsed").code("BXNIM0407E").reason("too_long");
        return Err(Refused::unverified(error, actions::COMPUTE));
    }
    let verified = ctx.app().links.evidence.verify(ctx, token).await;
    verified.map_err(|RefusedEvidence { error, known }| {
        let told = match known {
            Some(known) => Told::Accounts(vec![known_evidence(ctx, &known, &error)]),
            None if matches!(error.kind(), Kind::Internal | Kind::Unavailable) => Told::Nowhere,
            None => {
                let hash = hex(&sha256(token.as_bytes()));
                let evidence = hash.get(..16).map(str::to_owned);
                Told::Operator { action: actions::COMPUTE, evidence }
            }
        };
        Refused { error, told }
    })
}

/// The event of evidence whose signature was right and which was refused all the same.
fn known_evidence(ctx: &Ctx, known: &KnownEvidence, error: &Error) -> (Permit, Details) {
    let mut details = Details::default();
    let d = &mut details.decision;
    d.insert("stage".into(), json!("evidence"));
    d.insert("permitted".into(), json!(false));
    d.insert("reason_code".into(), json!(error.reason_label().unwrap_or("refused")));
    d.insert("cr_type".into(), json!(known.cr_type.as_str()));
    d.insert("crn".into(), json!(known.crn.to_string()));
    d.insert("display".into(), json!(known.display));
    if let Some(text) = error.details_text() {
        d.insert("detail".into(), json!(text));
    }
    if let Some(jti) = &known.jti {
        d.insert("evidence_jti".into(), json!(jti));
    }
    let target = target(&known.account, known.crn.to_string(), known.display.clone());
    (Permit::admitted(actions::COMPUTE, target, resource(ctx, &known.crn, &known.display)), details)
}

#[allow(clippy::too_many_arguments, reason = "each is a value of its own, and there is one caller")]
fn not_eligible(
    ctx: &Ctx,
    evidence: &Evidence,
    wanted: &Wanted,
    profile: Option<&TrustedProfile>,
    mut decision: Map<String, Value>,
    reason: &'static str,
) -> Refused {
    let identity = &evidence.identity;
    let error = Error::new(Kind::Invalid, "Selected trusted profile not eligible.")
        .code("BXNIM0398E")
        .details(format!(
            "The token with identifier '{}' may not assume the requested trusted profile; {}",
            identity.display,
            wanted.shown()
        ))
        .reason(reason);
    decision.insert("permitted".into(), json!(false));
    decision.insert("reason_code".into(), json!(reason));
    decision.insert("wanted".into(), json!(wanted.shown()));
    let initiator = resource(ctx, &identity.crn, &identity.display);
    let own = profile.filter(|p| p.account == identity.account);
    let (crn, name) = own.map_or_else(Default::default, |p| (p.crn.clone(), p.name.clone()));
    let permit = |account: &AccountId, crn, name| {
        Permit::admitted(actions::COMPUTE, target(account, crn, name), initiator.clone())
    };
    let mut trails = vec![(
        permit(&identity.account, crn, name),
        Details { decision: decision.clone(), ..Details::default() },
    )];
    if let (Some(profile), None) = (profile, own) {
        // The owner of the profile sees who knocked, and nothing that only the other account knows.
        decision.retain(|key, _| {
            matches!(key.as_str(), "stage" | "cr_type" | "crn" | "permitted" | "reason_code")
        });
        decision.insert("profile_id".into(), json!(profile.id.as_str()));
        let theirs = Details { decision, ..Details::default() };
        trails.push((permit(&profile.account, profile.crn.clone(), profile.name.clone()), theirs));
    }
    Refused { error, told: Told::Accounts(trails) }
}

fn target(account: &AccountId, crn: String, name: String) -> Target {
    let attrs = ResourceAttrs::service(account, "iam-identity");
    Target::global("iam-identity", account, attrs, crn).named(name).of_type(type_uri(actions::COMPUTE))
}

/// The compute resource itself as an initiator, as long as it is nobody else.
fn resource(ctx: &Ctx, crn: &Crn, display: &str) -> Initiator {
    Initiator {
        id: IamId::crn(crn).as_str().to_owned(),
        name: display.to_owned(),
        type_uri: "service/security/clientid".into(),
        credential: "compute-resource".into(),
        ..ctx.initiator()
    }
}

/// What the event keeps of the evidence: enough to tell later why, and no credential.
fn decision(evidence: &Evidence, profile: Option<&TrustedProfile>, claims: bool) -> Map<String, Value> {
    let identity = &evidence.identity;
    let mut d = Map::new();
    d.insert("stage".into(), json!("trust"));
    d.insert("cr_type".into(), json!(identity.cr_type.as_str()));
    d.insert("crn".into(), json!(identity.crn.to_string()));
    d.insert("display".into(), json!(identity.display));
    if let Some(profile) = profile {
        d.insert("profile_id".into(), json!(profile.id.as_str()));
    }
    if let Some(jti) = &evidence.jti {
        d.insert("evidence_jti".into(), json!(jti));
    }
    if let Some(kid) = &evidence.kid {
        d.insert("evidence_kid".into(), json!(kid));
    }
    if claims {
        d.insert("claims".into(), claims_json(&identity.claims));
    }
    d
}

fn claims_json(claims: &Claims) -> Value {
    let clip = |t: &str| t.chars().take(CLAIM_TEXT).collect::<String>();
    let mut out = Map::new();
    for (name, value) in claims.iter().take(CLAIMS_KEPT) {
        let value = match value {
            ClaimValue::Text(t) => json!(clip(t)),
            ClaimValue::List(l) => json!(l.iter().take(16).map(|t| clip(t)).collect::<Vec<_>>()),
        };
        out.insert(clip(name), value);
    }
    Value::Object(out)
}

/// The compute resource of a recorded decision, to ask the rules of today about it.
pub fn recorded_identity(decision: &Value, account: &AccountId) -> Option<ComputeIdentity> {
    let text = |name: &str| decision.get(name).and_then(Value::as_str);
    let mut claims = Claims::new();
    for (name, value) in decision.get("claims")?.as_object()? {
        if let Some(value) = ClaimValue::from_json(value) {
            claims.set(name.clone(), value);
        }
    }
    Some(ComputeIdentity {
        cr_type: CrType::parse(text("cr_type")?)?,
        crn: Crn::parse(text("crn")?).ok()?,
        display: text("display").unwrap_or_default().to_owned(),
        account: account.clone(),
        claims,
    })
}

/// The tree that was recorded with a refusal.
pub fn recorded_reason(decision: &Value) -> Option<Reason> {
    serde_json::from_value(decision.get("reason")?.clone()).ok()
}
