//! Who a token is for, and the claims that follow from it.

use avouch_gate::authn::{Authn, Caller, TokenAccount, TokenClaims};
use avouch_gate::links::Person;
use avouch_policy::rules::ComputeIdentity;
use avouch_wire::crn::Crn;
use avouch_wire::ids::{AccountId, IamId};

use super::lookup::{ServiceIdFacts, TrustedProfile};

/// Who a token is for.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A user.
    User(IamId, Person),
    /// A service ID.
    ServiceId(ServiceIdFacts),
    /// A trusted profile.
    Profile(IamId, String),
    /// The owner of a key who no longer exists: stands in refusals, never in a token.
    Gone(IamId),
}

impl Subject {
    /// The profile as a subject.
    pub fn profile(profile: &TrustedProfile) -> Self {
        Subject::Profile(IamId::profile(&profile.id), profile.name.clone())
    }

    /// IAM id.
    pub fn iam_id(&self) -> IamId {
        match self {
            Subject::User(id, _) | Subject::Profile(id, _) | Subject::Gone(id) => id.clone(),
            Subject::ServiceId(s) => IamId::service_id(&s.id),
        }
    }

    /// Display name in events.
    pub fn shown(&self) -> &str {
        match self {
            Subject::User(_, person) => &person.email,
            Subject::ServiceId(s) => &s.name,
            Subject::Profile(_, name) => name,
            Subject::Gone(_) => "",
        }
    }

    fn sub_type(&self) -> Option<&'static str> {
        match self {
            Subject::User(..) | Subject::Gone(_) => None,
            Subject::ServiceId(_) => Some("ServiceId"),
            Subject::Profile(..) => Some("Profile"),
        }
    }

    /// The subject as its own `authn`.
    pub fn as_authn(&self) -> Authn {
        let iam_id = self.iam_id();
        let (_, identifier) = realm_and_identifier(&iam_id);
        match self {
            Subject::User(_, p) => Authn {
                sub: p.email.clone(),
                iam_id: iam_id.as_str().to_owned(),
                sub_type: None,
                name: Some(p.full_name()),
                given_name: Some(p.given_name.clone()),
                family_name: Some(p.family_name.clone()),
                email: Some(p.email.clone()),
            },
            _ => Authn {
                sub: identifier,
                iam_id: iam_id.as_str().to_owned(),
                sub_type: self.sub_type().map(str::to_owned),
                name: Some(self.shown().to_owned()),
                given_name: None,
                family_name: None,
                email: None,
            },
        }
    }
}

/// The identity behind a profile token that a compute resource earned: its CRN, and the finer name.
pub fn compute_authn(identity: &ComputeIdentity) -> Authn {
    crn_authn(&identity.crn, &identity.display)
}

/// `crn-<CRN>` with a display name.
pub fn crn_authn(crn: &Crn, display: &str) -> Authn {
    let iam_id = IamId::crn(crn).as_str().to_owned();
    Authn {
        sub: iam_id.clone(),
        iam_id,
        sub_type: Some("CRN".into()),
        name: Some(display.to_owned()),
        given_name: None,
        family_name: None,
        email: None,
    }
}

/// The identity behind a profile token that was assumed with another token: that token's own identity.
pub fn assumed_authn(caller: &Caller) -> Authn {
    let claims = &caller.claims;
    match claims.sub_type.as_deref() {
        // A service that acts as itself.
        Some("CRN") => Authn {
            sub: claims.iam_id.as_str().to_owned(),
            iam_id: claims.iam_id.as_str().to_owned(),
            sub_type: Some("CRN".into()),
            name: claims.name.clone(),
            given_name: None,
            family_name: None,
            email: None,
        },
        _ => claims.authn.clone(),
    }
}

/// What a token says beside its subject.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Account that the token acts in.
    pub account: AccountId,
    /// Pinned to the account.
    pub frozen: bool,
    /// The identity behind the subject.
    pub authn: Authn,
    /// Token id.
    pub jti: String,
    /// Issued at, epoch seconds.
    pub iat: i64,
    /// Expires at, epoch seconds.
    pub exp: i64,
    /// Issuer.
    pub iss: String,
    /// Full URN of the grant.
    pub grant_type: String,
    /// Scope.
    pub scope: String,
    /// Client.
    pub client_id: String,
    /// Session id and hard end, when there is one.
    pub session: Option<(String, i64)>,
}

/// The claims of a token for `subject`.
pub fn claims(subject: &Subject, frame: Frame) -> TokenClaims {
    let iam_id = subject.iam_id();
    let (realmid, identifier) = realm_and_identifier(&iam_id);
    let person = match subject {
        Subject::User(_, p) => Some(p),
        _ => None,
    };
    let (session_id, session_exp_max) = frame.session.unzip();
    TokenClaims {
        id: iam_id.clone(),
        realmid,
        session_id,
        session_exp_max,
        jti: frame.jti,
        given_name: person.map(|p| p.given_name.clone()),
        family_name: person.map(|p| p.family_name.clone()),
        name: Some(person.map_or_else(|| subject.shown().to_owned(), Person::full_name)),
        email: person.map(|p| p.email.clone()),
        sub: person.map_or_else(|| identifier.clone(), |p| p.email.clone()),
        sub_type: subject.sub_type().map(str::to_owned),
        unique_instance_crns: match subject {
            Subject::ServiceId(s) if !s.unique_instance_crns.is_empty() => {
                Some(s.unique_instance_crns.clone())
            }
            _ => None,
        },
        identifier,
        iam_id,
        authn: frame.authn,
        account: TokenAccount { valid: true, bss: frame.account, frozen: frame.frozen.then_some(true) },
        iat: frame.iat,
        exp: frame.exp,
        iss: frame.iss,
        grant_type: frame.grant_type,
        scope: frame.scope,
        client_id: frame.client_id,
        acr: 1,
        amr: vec!["pwd".to_owned()],
    }
}

/// `iam-Profile-…` → (`iam`, `Profile-…`); `IBMid-…` → (`IBMid`, `…`).
fn realm_and_identifier(iam_id: &IamId) -> (String, String) {
    match iam_id.as_str().split_once('-') {
        Some((realm, identifier)) => (realm.to_owned(), identifier.to_owned()),
        None => (String::new(), iam_id.as_str().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;
    use serde_json::{Value, json};

    const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

    fn rendered(subject: &Subject, authn: Authn) -> Value {
        let frame = Frame {
            account: AccountId::parse(ACCOUNT).unwrap(),
            frozen: true,
            authn,
            jti: "c481".into(),
            iat: 1_746_519_454,
            exp: 1_746_523_054,
            iss: "https://iam.example.test/identity".into(),
            grant_type: "urn:ibm:params:oauth:grant-type:cr-token".into(),
            scope: "ibm openid".into(),
            client_id: "default".into(),
            session: None,
        };
        serde_json::to_value(claims(subject, frame)).unwrap()
    }

    #[test]
    fn profile_of_a_compute_resource_has_exactly_the_published_claims() {
        let crn = format!(
            "crn:v1:bluemix:public:containers-kubernetes:us-south:a/{ACCOUNT}:c0pigdctkkc07fs7pm06::"
        );
        let id = "iam-Profile-6e1f7ea6-0000-4000-8000-000000000001";
        let subject = Subject::Profile(IamId::parse(id).unwrap(), "builder".into());
        let authn = crn_authn(&Crn::parse(&crn).unwrap(), "c1:default:app:app-0");
        assert_eq!(
            rendered(&subject, authn),
            json!({
                "iam_id": id, "id": id, "realmid": "iam", "jti": "c481",
                "identifier": "Profile-6e1f7ea6-0000-4000-8000-000000000001", "name": "builder",
                "sub": "Profile-6e1f7ea6-0000-4000-8000-000000000001", "sub_type": "Profile",
                "authn": {"sub": format!("crn-{crn}"), "iam_id": format!("crn-{crn}"), "sub_type": "CRN",
                          "name": "c1:default:app:app-0"},
                "account": {"valid": true, "bss": ACCOUNT, "frozen": true},
                "iat": 1_746_519_454, "exp": 1_746_523_054, "iss": "https://iam.example.test/identity",
                "grant_type": "urn:ibm:params:oauth:grant-type:cr-token", "scope": "ibm openid",
                "client_id": "default", "acr": 1, "amr": ["pwd"],
            })
        );
    }

    #[test]
    fn user_and_service_id_carry_their_own_names() {
        let person = Person {
            email: "a@b.test".into(),
            given_name: "Ada".into(),
            family_name: "Byron".into(),
            made_here: true,
        };
        let user = Subject::User(IamId::parse("IBMid-270003GUSX").unwrap(), person);
        let v = rendered(&user, user.as_authn());
        assert_eq!((&v["realmid"], &v["identifier"]), (&json!("IBMid"), &json!("270003GUSX")));
        assert_eq!(
            (&v["sub"], &v["name"], v.get("sub_type")),
            (&json!("a@b.test"), &json!("Ada Byron"), None)
        );
        assert_eq!(v["authn"]["email"], "a@b.test");

        let service = Subject::ServiceId(ServiceIdFacts {
            id: "ServiceId-6e1f7ea6-0000-4000-8000-000000000001".parse().unwrap(),
            name: "ci".into(),
            unique_instance_crns: vec!["crn:v1:x".into()],
        });
        let v = rendered(&service, service.as_authn());
        assert_eq!(v["iam_id"], "iam-ServiceId-6e1f7ea6-0000-4000-8000-000000000001");
        assert_eq!(v["authn"]["sub"], "ServiceId-6e1f7ea6-0000-4000-8000-000000000001");
        assert_eq!(v["authn"]["sub_type"], "ServiceId");
        assert_eq!(v["unique_instance_crns"], json!(["crn:v1:x"]));
    }
}
