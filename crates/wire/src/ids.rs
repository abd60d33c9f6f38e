//! Identifiers. One type per thing, so that an id of one kind cannot stand where another is wanted.
//!
//! Each id is made either from text that follows its grammar, or from a UUID that the caller drew: nothing here is random.
//! A spelling that differs in case, width or white space is refused, never folded.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::crn::{self, Crn};
use crate::text;

/// The text is not an identifier of the wanted kind. Carries what was wanted, never the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {wanted}")]
pub struct IdError {
    /// Name of the kind that was wanted, for messages.
    pub wanted: &'static str,
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $wanted:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Takes the text as it is when it follows the grammar of this id.
            ///
            /// # Errors
            /// [`IdError`] for any other text.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.to_owned())) } else { Err(IdError { wanted: $wanted }) }
            }

            /// The id as it stands on the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The id as owned text, for binding to a statement.
            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }
        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
        impl From<&$name> for String {
            fn from(id: &$name) -> String {
                id.0.clone()
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                Self::parse(s)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $wanted:literal, $prefix:literal) => {
        id_type!($(#[$doc])* $name, $wanted, |s| s.strip_prefix($prefix).is_some_and(text::uuid));

        impl $name {
            /// What stands before the UUID.
            pub const PREFIX: &'static str = $prefix;

            /// The id made of a UUID that the caller drew.
            pub fn from_uuid(uuid: Uuid) -> Self {
                Self(format!(concat!($prefix, "{}"), uuid.as_hyphenated()))
            }
        }
    };
}

id_type!(
    /// An account: 32 lower-case hexadecimal digits.
    ///
    /// ```
    /// use avouch_wire::AccountId;
    /// assert!(AccountId::parse("0123456789abcdef0123456789abcdef").is_ok());
    /// assert!(AccountId::parse("0123456789ABCDEF0123456789ABCDEF").is_err());
    /// ```
    AccountId, "account id", |s| text::lower_hex(s, 32)
);

impl AccountId {
    /// The id made of a UUID that the caller drew.
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid.as_simple().to_string())
    }

    /// The operator's own account, 32 zeros: events that belong to no tenant are kept there.
    pub fn operator() -> Self {
        Self("0".repeat(32))
    }
}

id_type!(
    /// A resource group: 32 lower-case hexadecimal digits.
    ResourceGroupId, "resource group id", |s| text::lower_hex(s, 32)
);

impl ResourceGroupId {
    /// The id made of a UUID that the caller drew.
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid.as_simple().to_string())
    }
}

prefixed_id!(
    /// A trusted profile: `Profile-<uuid>`.
    ///
    /// ```
    /// use avouch_wire::ProfileId;
    /// let id = ProfileId::from_uuid(uuid::Uuid::nil());
    /// assert_eq!(id.as_str(), "Profile-00000000-0000-0000-0000-000000000000");
    /// ```
    ProfileId, "profile id", "Profile-"
);
prefixed_id!(
    /// A service ID: `ServiceId-<uuid>`.
    ServiceIdId, "service ID id", "ServiceId-"
);
prefixed_id!(
    /// An API key: `ApiKey-<uuid>`. This is its public id, not the key.
    ApiKeyId, "API key id", "ApiKey-"
);
prefixed_id!(
    /// A link of a profile to one compute resource: `Link-<uuid>`.
    LinkId, "link id", "Link-"
);
prefixed_id!(
    /// A claim rule of a profile, or a dynamic rule of an access group: `ClaimRule-<uuid>`.
    ClaimRuleId, "claim rule id", "ClaimRule-"
);
prefixed_id!(
    /// A group of service IDs: `ServiceIdGroup-<uuid>`.
    ServiceIdGroupId, "service ID group id", "ServiceIdGroup-"
);
prefixed_id!(
    /// A registered issuer of workload tokens that is no cluster: `Issuer-<uuid>`.
    IssuerId, "issuer id", "Issuer-"
);

id_type!(
    /// An access group: `AccessGroupId-<uuid>`, or the group of everybody, `AccessGroupId-PublicAccess`.
    AccessGroupId, "access group id", |s| s == AccessGroupId::PUBLIC || s.strip_prefix("AccessGroupId-").is_some_and(text::uuid)
);

impl AccessGroupId {
    /// Id of the public access group, the same in every account.
    pub const PUBLIC: &'static str = "AccessGroupId-PublicAccess";

    /// The id made of a UUID that the caller drew.
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(format!("AccessGroupId-{}", uuid.as_hyphenated()))
    }

    /// The public access group.
    pub fn public() -> Self {
        Self(Self::PUBLIC.to_owned())
    }

    /// True for the public access group.
    pub fn is_public(&self) -> bool {
        self.0 == Self::PUBLIC
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $wanted:literal) => {
        id_type!($(#[$doc])* $name, $wanted, text::uuid);

        impl $name {
            /// The id made of a UUID that the caller drew.
            pub fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid.as_hyphenated().to_string())
            }
        }
    };
}

uuid_id!(
    /// An access policy or authorization: a UUID, lower-case.
    PolicyId, "policy id"
);
uuid_id!(
    /// A custom role: a UUID, lower-case.
    RoleId, "role id"
);

/// The longest [`IamId`] that is not a CRN, in bytes.
const IAM_ID_MAX: usize = 512;

id_type!(
    /// A subject as it stands in `iam_id`: a user (`IBMid-…` or another realm), `iam-ServiceId-<uuid>`, `iam-Profile-<uuid>`, or
    /// `crn-<crn>`. Visible ASCII and inner spaces, at most 512 characters; what follows `crn-crn:` must be a CRN.
    IamId, "iam_id", |s| {
        if let Some(name) = s.strip_prefix("crn-").filter(|name| name.starts_with("crn:")) {
            // Only the full spelling, so that one subject has one text.
            return name.len() <= crn::MAX_LEN && Crn::parse(name).is_ok_and(|crn| crn.to_string() == name);
        }
        !s.is_empty() && s.len() <= IAM_ID_MAX && s.trim().len() == s.len() && s.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
    }
);

/// What an [`IamId`] names. Told by its prefix alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IamKind {
    /// A person of some realm.
    User,
    /// `iam-ServiceId-…`
    ServiceId,
    /// `iam-Profile-…`
    Profile,
    /// `crn-crn:…`: a service instance, a compute resource, an issuer.
    Crn,
}

impl IamId {
    /// `iam-Profile-<uuid>`
    pub fn profile(id: &ProfileId) -> Self {
        Self(format!("iam-{id}"))
    }

    /// `iam-ServiceId-<uuid>`
    pub fn service_id(id: &ServiceIdId) -> Self {
        Self(format!("iam-{id}"))
    }

    /// `crn-<crn>`
    pub fn crn(crn: &Crn) -> Self {
        Self(format!("crn-{crn}"))
    }

    /// Which kind of subject this is.
    ///
    /// ```
    /// use avouch_wire::{IamId, IamKind};
    /// assert_eq!(IamId::parse("IBMid-550000ABCD").unwrap().kind(), IamKind::User);
    /// assert_eq!(IamId::parse("iam-Profile-x").unwrap().kind(), IamKind::Profile);
    /// ```
    pub fn kind(&self) -> IamKind {
        if self.0.starts_with("iam-Profile-") {
            IamKind::Profile
        } else if self.0.starts_with("iam-ServiceId-") {
            IamKind::ServiceId
        } else if self.0.starts_with("crn-crn:") {
            IamKind::Crn
        } else {
            IamKind::User
        }
    }

    /// The profile, when this is the IAM id of a well-formed one.
    pub fn as_profile(&self) -> Option<ProfileId> {
        self.0.strip_prefix("iam-").and_then(|id| ProfileId::parse(id).ok())
    }

    /// The service ID, when this is the IAM id of a well-formed one.
    pub fn as_service_id(&self) -> Option<ServiceIdId> {
        self.0.strip_prefix("iam-").and_then(|id| ServiceIdId::parse(id).ok())
    }

    /// The resource name, when this is the IAM id of a resource.
    pub fn as_crn(&self) -> Option<Crn> {
        self.0.strip_prefix("crn-").and_then(|name| Crn::parse(name).ok())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    const UUID: &str = "6e1f7ea6-0000-4000-8000-000000000001";

    #[test]
    fn each_id_takes_only_its_own_prefix() {
        assert!(ProfileId::parse(&format!("Profile-{UUID}")).is_ok());
        assert!(ServiceIdId::parse(&format!("Profile-{UUID}")).is_err());
        assert!(ApiKeyId::parse(&format!("ApiKey-{UUID}")).is_ok());
        assert!(LinkId::parse(&format!("Link-{UUID}")).is_ok());
        assert!(ClaimRuleId::parse(&format!("ClaimRule-{UUID}")).is_ok());
        assert!(ServiceIdGroupId::parse(&format!("ServiceIdGroup-{UUID}")).is_ok());
        assert!(IssuerId::parse(&format!("Issuer-{UUID}")).is_ok());
        assert!(PolicyId::parse(UUID).is_ok());
        assert!(RoleId::parse(&format!("Profile-{UUID}")).is_err());
    }

    #[test]
    fn other_spellings_are_refused() {
        let upper = UUID.to_uppercase();
        for text in [
            format!("profile-{UUID}"),
            format!("Profile-{upper}"),
            format!("Profile-{UUID} "),
            format!(" Profile-{UUID}"),
            format!("Profile-{UUID}\0"),
            format!("Profile-{{{UUID}}}"),
            "Profile-6e1f7ea600004000800000000000001a".to_owned(),
            "Profile-".to_owned(),
            String::new(),
        ] {
            assert!(ProfileId::parse(&text).is_err(), "{text:?}");
        }
        assert!(AccountId::parse(&"0".repeat(31)).is_err());
        assert!(AccountId::parse(&"g".repeat(32)).is_err());
    }

    #[test]
    fn id_made_from_uuid_parses() {
        let uuid = Uuid::parse_str(UUID).unwrap();
        assert_eq!(ProfileId::from_uuid(uuid).as_str(), format!("Profile-{UUID}"));
        assert_eq!(AccountId::from_uuid(uuid).as_str(), "6e1f7ea6000040008000000000000001");
        assert_eq!(
            AccessGroupId::from_uuid(uuid),
            AccessGroupId::parse(&format!("AccessGroupId-{UUID}")).unwrap()
        );
        assert_eq!(PolicyId::from_uuid(uuid).as_str(), UUID);
        assert!(AccountId::parse(AccountId::operator().as_str()).is_ok());
    }

    #[test]
    fn public_access_group_is_an_id() {
        assert!(AccessGroupId::parse("AccessGroupId-PublicAccess").unwrap().is_public());
        assert!(AccessGroupId::parse("AccessGroupId-publicaccess").is_err());
    }

    #[test]
    fn iam_id_tells_its_kind() {
        let profile = ProfileId::parse(&format!("Profile-{UUID}")).unwrap();
        let crn = Crn::parse("crn:v1:b:p:s:r:a:i::").unwrap();
        assert_eq!(IamId::profile(&profile).kind(), IamKind::Profile);
        assert_eq!(IamId::profile(&profile).as_profile(), Some(profile));
        assert_eq!(IamId::crn(&crn).kind(), IamKind::Crn);
        assert_eq!(IamId::crn(&crn).as_crn(), Some(crn.clone()));
        assert_eq!(IamId::crn(&crn), IamId::parse("crn-crn:v1:b:p:s:r:a:i::").unwrap());
        assert_eq!(IamId::parse("SAML-some one@example.test").unwrap().kind(), IamKind::User);
    }

    #[test]
    fn iam_id_outside_the_grammar_is_refused() {
        for text in
            ["", " a", "a ", "a\nb", "a\0", "é", "crn-crn:v1:b:p:s:r:a:i:t:..", "crn-crn:v1:b:p:s:r:a:i"]
        {
            assert!(IamId::parse(text).is_err(), "{text:?}");
        }
        assert!(IamId::parse(&"a".repeat(512)).is_ok());
        assert!(IamId::parse(&"a".repeat(513)).is_err());
    }

    #[test]
    fn deserialising_checks_and_does_not_echo() {
        let ok: ProfileId = serde_json::from_value(serde_json::json!(format!("Profile-{UUID}"))).unwrap();
        assert_eq!(serde_json::to_value(&ok).unwrap(), serde_json::json!(format!("Profile-{UUID}")));
        let error = serde_json::from_value::<ProfileId>(serde_json::json!("CANARY")).unwrap_err();
        assert!(!error.to_string().contains("CANARY"));
    }

    proptest! {
        #[test]
        fn any_text_parses_to_itself_or_not_at_all(text in "\\PC{0,60}") {
            if let Ok(id) = IamId::parse(&text) { prop_assert_eq!(id.as_str(), &text); }
            if let Ok(id) = AccessGroupId::parse(&text) { prop_assert_eq!(id.as_str(), &text); }
        }
    }
}
