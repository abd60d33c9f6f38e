//! Cloud resource names.
//!
//! `crn:v1:<cname>:<ctype>:<service>:<region>:<scope>:<instance>:<resource type>:<resource>`: ten segments, of which the last
//! keeps every further colon. The instance and the resource may contain `/`.
//!
//! What it refuses, because names are compared, stored, and shown but must never act as paths: anything but visible ASCII,
//! `%` (a second encoding), a backslash, an empty path part (`//`), and the path parts `.` and `..`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::{AccountId, ApiKeyId, IamId, ProfileId, ServiceIdId};

/// The longest name that is accepted, in bytes.
pub const MAX_LEN: usize = 1024;

/// The cloud name that builders use; change it on a built name with [`Crn::with_cname`].
pub const DEFAULT_CNAME: &str = "bluemix";

/// Why a text is not a [`Crn`]. The text itself is never part of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CrnError {
    /// Longer than [`MAX_LEN`] bytes.
    #[error("a CRN has at most {MAX_LEN} characters")]
    TooLong,
    /// Does not begin with `crn:v1:`.
    #[error("a CRN begins with crn:v1:")]
    Prefix,
    /// Not ten segments.
    #[error("a CRN has ten segments")]
    Segments,
    /// A character outside visible ASCII, or `%`, or a backslash.
    #[error("a CRN has a character that is not allowed")]
    Character,
    /// `//`, or a path part `.` or `..`.
    #[error("a CRN has a path part that is not allowed")]
    PathPart,
    /// A segment other than the last was given with a colon in it (builders only).
    #[error("a CRN segment may not contain a colon")]
    Colon,
}

/// A cloud resource name that follows the grammar of this module.
///
/// ```
/// use avouch_wire::Crn;
/// let crn = Crn::parse("crn:v1:bluemix:public:kms:us-south:a/0123456789abcdef0123456789abcdef:guid:key:k:1").unwrap();
/// assert_eq!(crn.service(), "kms");
/// assert_eq!(crn.resource(), "k:1");
/// assert_eq!(crn.account().unwrap().as_str(), "0123456789abcdef0123456789abcdef");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Crn {
    version: String,
    cname: String,
    ctype: String,
    service: String,
    region: String,
    scope: String,
    instance: String,
    resource_type: String,
    resource: String,
}

impl Crn {
    /// Reads a name. A name without its trailing `::` (eight segments, instance not empty) is taken as the full form, which
    /// is then what [`Display`](fmt::Display) prints.
    ///
    /// # Errors
    /// [`CrnError`] when the text is outside the grammar.
    pub fn parse(text: &str) -> Result<Crn, CrnError> {
        if text.len() > MAX_LEN {
            return Err(CrnError::TooLong);
        }
        let rest = text.strip_prefix("crn:v1:").ok_or(CrnError::Prefix)?;
        let mut parts = rest.splitn(8, ':');
        let mut segment = || parts.next().ok_or(CrnError::Segments);
        let (cname, ctype, service) = (segment()?, segment()?, segment()?);
        let (region, scope, instance) = (segment()?, segment()?, segment()?);
        let (resource_type, resource) = match (parts.next(), parts.next()) {
            (Some(kind), Some(resource)) => (kind, resource),
            // COMPAT: people write the name of an instance without its trailing `::`.
            (None, None) if !instance.is_empty() => ("", ""),
            _ => return Err(CrnError::Segments),
        };
        for part in [cname, ctype, service, region, scope, instance, resource_type, resource] {
            check(part)?;
        }
        let crn = Crn {
            version: "v1".to_owned(),
            cname: cname.to_owned(),
            ctype: ctype.to_owned(),
            service: service.to_owned(),
            region: region.to_owned(),
            scope: scope.to_owned(),
            instance: instance.to_owned(),
            resource_type: resource_type.to_owned(),
            resource: resource.to_owned(),
        };
        crn.within_length()
    }

    /// An account-wide name without a check of the texts.
    fn unchecked(service: &str, region: &str, account: &AccountId) -> Crn {
        Crn {
            version: "v1".to_owned(),
            cname: DEFAULT_CNAME.to_owned(),
            ctype: "public".to_owned(),
            service: service.to_owned(),
            region: region.to_owned(),
            scope: format!("a/{account}"),
            instance: String::new(),
            resource_type: String::new(),
            resource: String::new(),
        }
    }

    /// Demands of a name that was put together what [`Crn::parse`] demands of a text.
    fn checked(self) -> Result<Crn, CrnError> {
        let segments = self.segments();
        for (i, segment) in segments.iter().enumerate() {
            check(segment)?;
            if i + 1 < segments.len() && segment.contains(':') {
                return Err(CrnError::Colon);
            }
        }
        self.within_length()
    }

    fn within_length(self) -> Result<Crn, CrnError> {
        // "crn:" and the eight colons between the other segments.
        let len = 4 + 8 + self.segments().iter().map(|s| s.len()).sum::<usize>();
        if len > MAX_LEN { Err(CrnError::TooLong) } else { Ok(self) }
    }

    /// `crn:v1:bluemix:public:iam-identity::a/<account>::profile:<id>`
    pub fn profile(account: &AccountId, id: &ProfileId) -> Crn {
        Crn {
            resource_type: "profile".to_owned(),
            resource: id.as_str().to_owned(),
            ..Crn::unchecked("iam-identity", "", account)
        }
    }

    /// `crn:v1:bluemix:public:iam-identity::a/<account>::serviceid:<id>`
    pub fn service_id(account: &AccountId, id: &ServiceIdId) -> Crn {
        Crn {
            resource_type: "serviceid".to_owned(),
            resource: id.as_str().to_owned(),
            ..Crn::unchecked("iam-identity", "", account)
        }
    }

    /// `crn:v1:bluemix:public:iam-identity::a/<account>:<owner>:apikey:<id>`
    ///
    /// # Errors
    /// [`CrnError`] when the owner's IAM id cannot be a CRN segment (for example because it holds a CRN itself).
    pub fn api_key(account: &AccountId, owner: &IamId, id: &ApiKeyId) -> Result<Crn, CrnError> {
        let owner = owner.as_str().to_owned();
        Crn { instance: owner, ..Crn::unchecked("iam-identity", "", account) }
            .with_resource("apikey", id.as_str())
    }

    /// `crn:v1:bluemix:public:<service>:<region>:a/<account>:<guid>::`
    ///
    /// # Errors
    /// [`CrnError`] when a part is outside the grammar or contains a colon.
    pub fn service_instance(
        service: &str,
        region: &str,
        account: &AccountId,
        guid: &str,
    ) -> Result<Crn, CrnError> {
        Crn { instance: guid.to_owned(), ..Crn::unchecked(service, region, account) }.checked()
    }

    /// `crn:v1:bluemix:public:resource-controller:global:a/<account>::resource-group:<id>`
    ///
    /// # Errors
    /// [`CrnError`] when the id is outside the grammar.
    pub fn resource_group(account: &AccountId, id: &str) -> Result<Crn, CrnError> {
        Crn::unchecked("resource-controller", "global", account).with_resource("resource-group", id)
    }

    /// `crn:v1:bluemix:public:<service>:<region>:a/<account>:<id>::`; `service` is `containers-kubernetes` for both kinds of cluster
    /// unless the caller says otherwise.
    ///
    /// # Errors
    /// [`CrnError`] when a part is outside the grammar or contains a colon.
    pub fn cluster(service: &str, region: &str, account: &AccountId, id: &str) -> Result<Crn, CrnError> {
        Crn::service_instance(service, region, account, id)
    }

    /// The same name with another resource type and resource, for things inside a service instance.
    ///
    /// # Errors
    /// [`CrnError`] when a part is outside the grammar, or the type contains a colon.
    ///
    /// ```
    /// # use avouch_wire::{AccountId, Crn};
    /// let account = AccountId::parse("0123456789abcdef0123456789abcdef").unwrap();
    /// let secret = Crn::service_instance("secrets-manager", "us-south", &account, "g").unwrap().with_resource("secret", "s").unwrap();
    /// assert!(secret.to_string().ends_with(":g:secret:s"));
    /// ```
    pub fn with_resource(mut self, resource_type: &str, resource: &str) -> Result<Crn, CrnError> {
        self.resource_type = resource_type.to_owned();
        self.resource = resource.to_owned();
        self.checked()
    }

    /// The same name in another cloud. The default is [`DEFAULT_CNAME`].
    ///
    /// # Errors
    /// [`CrnError`] when the text is outside the grammar or contains a colon.
    pub fn with_cname(mut self, cname: &str) -> Result<Crn, CrnError> {
        self.cname = cname.to_owned();
        self.checked()
    }

    /// The service instance that holds this resource: the same name with an empty resource type and resource.
    pub fn instance_crn(&self) -> Crn {
        Crn { resource_type: String::new(), resource: String::new(), ..self.clone() }
    }

    /// Always `v1`.
    pub fn version(&self) -> &str {
        &self.version
    }
    /// Cloud name, by default `bluemix`.
    pub fn cname(&self) -> &str {
        &self.cname
    }
    /// `public` in every name that we make.
    pub fn ctype(&self) -> &str {
        &self.ctype
    }
    /// Service name as in the catalogue, for example `secrets-manager`.
    pub fn service(&self) -> &str {
        &self.service
    }
    /// Region id, `global`, or empty.
    pub fn region(&self) -> &str {
        &self.region
    }
    /// `a/<account id>`, `o/<organisation>`, `s/<space>`, or empty.
    pub fn scope(&self) -> &str {
        &self.scope
    }
    /// GUID of the service instance, or empty; may contain `/`.
    pub fn instance(&self) -> &str {
        &self.instance
    }
    /// Kind of the resource inside the instance, or empty.
    pub fn resource_type(&self) -> &str {
        &self.resource_type
    }
    /// Name of the resource inside the instance, or empty; may contain `:` and `/`.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    fn segments(&self) -> [&str; 9] {
        [
            &self.version,
            &self.cname,
            &self.ctype,
            &self.service,
            &self.region,
            &self.scope,
            &self.instance,
            &self.resource_type,
            &self.resource,
        ]
    }

    /// The account of the scope segment; `None` when the scope is not an account.
    pub fn account(&self) -> Option<AccountId> {
        self.scope.strip_prefix("a/").and_then(|id| AccountId::parse(id).ok())
    }

    /// True when both name the same resource: every segment is equal, case included. A missing trailing `::` was already
    /// normalised when the names were read.
    pub fn same_resource(&self, other: &Crn) -> bool {
        self == other
    }
}

/// Characters and path parts of one segment.
fn check(segment: &str) -> Result<(), CrnError> {
    if segment.bytes().any(|b| !b.is_ascii_graphic() || b == b'%' || b == b'\\') {
        return Err(CrnError::Character);
    }
    if segment.contains("//") || segment.split(['/', ':']).any(|part| part == "." || part == "..") {
        return Err(CrnError::PathPart);
    }
    Ok(())
}

impl fmt::Display for Crn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("crn")?;
        self.segments().iter().try_for_each(|segment| write!(f, ":{segment}"))
    }
}

impl fmt::Debug for Crn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crn({self})")
    }
}

impl FromStr for Crn {
    type Err = CrnError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Crn::parse(s)
    }
}

impl Serialize for Crn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Crn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Crn::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

    fn account() -> AccountId {
        AccountId::parse(ACCOUNT).unwrap()
    }

    #[test]
    fn instance_name_has_all_segments() {
        let text =
            format!("crn:v1:staging:public:secrets-manager:us-south:a/{ACCOUNT}:org/space/guid:secret:x/y:z");
        let crn = Crn::parse(&text).unwrap();
        assert_eq!(
            (crn.version(), crn.cname(), crn.ctype(), crn.service(), crn.region()),
            ("v1", "staging", "public", "secrets-manager", "us-south")
        );
        assert_eq!(
            (crn.instance(), crn.resource_type(), crn.resource()),
            ("org/space/guid", "secret", "x/y:z")
        );
        assert_eq!(crn.account(), Some(account()));
        assert_eq!(crn.to_string(), text);
        assert_eq!(
            crn.instance_crn().to_string(),
            format!("crn:v1:staging:public:secrets-manager:us-south:a/{ACCOUNT}:org/space/guid::")
        );
    }

    #[test]
    fn role_name_has_empty_scope_and_no_account() {
        let crn = Crn::parse("crn:v1:bluemix:public:iam::::role:Viewer").unwrap();
        assert_eq!((crn.resource_type(), crn.resource(), crn.account()), ("role", "Viewer", None));
        assert_eq!(crn.to_string(), "crn:v1:bluemix:public:iam::::role:Viewer");
    }

    #[test]
    fn scope_that_is_no_account_gives_none() {
        for scope in ["o/abc", "a/ABCDEF0123456789abcdef0123456789", "a/123", ""] {
            assert_eq!(
                Crn::parse(&format!("crn:v1:b:p:s:r:{scope}:i::")).unwrap().account(),
                None,
                "{scope}"
            );
        }
    }

    #[test]
    fn missing_trailing_colons_name_the_same_resource() {
        let short =
            Crn::parse(&format!("crn:v1:bluemix:public:containers-kubernetes:us-south:a/{ACCOUNT}:c0pig"))
                .unwrap();
        let full =
            Crn::parse(&format!("crn:v1:bluemix:public:containers-kubernetes:us-south:a/{ACCOUNT}:c0pig::"))
                .unwrap();
        assert!(short.same_resource(&full));
        assert_eq!(short.to_string(), full.to_string());
        let other =
            Crn::parse(&format!("crn:v1:bluemix:public:containers-kubernetes:us-south:a/{ACCOUNT}:C0pig::"))
                .unwrap();
        assert!(!short.same_resource(&other));
    }

    #[test]
    fn names_that_act_as_paths_or_hide_text_are_refused() {
        let with = |resource: &str| Crn::parse(&format!("crn:v1:b:p:s:r:a/{ACCOUNT}:i:t:{resource}"));
        for resource in ["..", "a/..", "../a", "a:..:b", ".", "a/./b"] {
            assert_eq!(with(resource), Err(CrnError::PathPart), "{resource}");
        }
        assert_eq!(with("a//b"), Err(CrnError::PathPart));
        for resource in ["a%2f", "a\\b", "a\0", "a b", "a\n", "\u{ff0e}", "é", "a\u{202e}", "\u{7f}"] {
            assert_eq!(with(resource), Err(CrnError::Character), "{resource:?}");
        }
        assert!(with("a..b/...").is_ok());
    }

    #[test]
    fn wrong_shapes_are_refused() {
        for text in [
            "",
            "crn",
            "CRN:v1:b:p:s:r:a:i::",
            "crn:v2:b:p:s:r:a:i::",
            " crn:v1:b:p:s:r:a:i::",
            "urn:v1:b:p:s:r:a:i::",
        ] {
            assert_eq!(Crn::parse(text), Err(CrnError::Prefix), "{text}");
        }
        for text in ["crn:v1:b:p:s:r:a", "crn:v1:b:p:s:r:a:", "crn:v1:b:p:s:r:a:i:", "crn:v1:"] {
            assert_eq!(Crn::parse(text), Err(CrnError::Segments), "{text}");
        }
        let longest = format!("crn:v1:b:p:s:r:a:i:t:{}", "x".repeat(MAX_LEN - 21));
        assert_eq!(longest.len(), MAX_LEN);
        assert!(Crn::parse(&longest).is_ok());
        assert_eq!(Crn::parse(&format!("{longest}x")), Err(CrnError::TooLong));
        // The normalised form must fit as well.
        assert_eq!(
            Crn::parse(&format!("crn:v1:b:p:s:r:a:{}", "x".repeat(MAX_LEN - 17))),
            Err(CrnError::TooLong)
        );
    }

    #[test]
    fn builders_print_the_published_forms() {
        let profile = ProfileId::parse("Profile-6e1f7ea6-0000-4000-8000-000000000001").unwrap();
        let service_id = ServiceIdId::parse("ServiceId-6e1f7ea6-0000-4000-8000-000000000002").unwrap();
        let key = ApiKeyId::parse("ApiKey-6e1f7ea6-0000-4000-8000-000000000003").unwrap();
        assert_eq!(
            Crn::profile(&account(), &profile).to_string(),
            format!("crn:v1:bluemix:public:iam-identity::a/{ACCOUNT}::profile:{profile}")
        );
        assert_eq!(
            Crn::api_key(&account(), &IamId::service_id(&service_id), &key).unwrap().to_string(),
            format!("crn:v1:bluemix:public:iam-identity::a/{ACCOUNT}:iam-{service_id}:apikey:{key}")
        );
        assert_eq!(
            Crn::resource_group(&account(), "rg").unwrap().to_string(),
            format!("crn:v1:bluemix:public:resource-controller:global:a/{ACCOUNT}::resource-group:rg")
        );
        let cluster = Crn::cluster("containers-kubernetes", "us-south", &account(), "c1")
            .unwrap()
            .with_cname("own")
            .unwrap();
        assert_eq!(
            cluster.to_string(),
            format!("crn:v1:own:public:containers-kubernetes:us-south:a/{ACCOUNT}:c1::")
        );
        assert_eq!(Crn::api_key(&account(), &IamId::crn(&cluster), &key), Err(CrnError::Colon));
        assert_eq!(Crn::service_instance("kms", "r", &account(), "a:b"), Err(CrnError::Colon));
        assert_eq!(Crn::service_instance("kms", "r", &account(), "../b"), Err(CrnError::PathPart));
        assert_eq!(cluster.clone().with_resource("x", &"y".repeat(MAX_LEN)), Err(CrnError::TooLong));
    }

    #[test]
    fn serde_checks_the_grammar() {
        let crn: Crn = serde_json::from_str("\"crn:v1:b:p:s:r:a:i::\"").unwrap();
        assert_eq!(serde_json::to_string(&crn).unwrap(), "\"crn:v1:b:p:s:r:a:i::\"");
        assert!(serde_json::from_str::<Crn>("\"crn:v1:b:p:s:r:a:i:t:..\"").is_err());
    }

    proptest! {
        #[test]
        fn parse_of_print_gives_the_same_name(text in "crn:v1:[a-z]{0,4}:[a-z]{0,4}:[a-z-]{0,9}:[a-z-]{0,9}:[a-z/]{0,9}:[A-Za-z0-9/.]{0,12}:[a-z]{0,9}:[!-~]{0,30}") {
            if let Ok(crn) = Crn::parse(&text) {
                prop_assert_eq!(crn.to_string(), text);
                prop_assert_eq!(Crn::parse(&crn.to_string()), Ok(crn));
            }
        }

        #[test]
        fn parse_never_panics(text in "\\PC{0,80}") {
            let _ = Crn::parse(&text);
            let _ = Crn::parse(&format!("crn:v1:{text}"));
        }

        #[test]
        fn builders_give_only_names_that_parse(service in "[ -~]{0,8}", guid in "[ -~]{0,8}", kind in "[ -~]{0,8}", id in "[ -~]{0,8}") {
            let account = AccountId::parse(ACCOUNT).unwrap();
            if let Ok(crn) = Crn::service_instance(&service, "r", &account, &guid).and_then(|c| c.with_resource(&kind, &id)) {
                prop_assert_eq!(Crn::parse(&crn.to_string()), Ok(crn));
            }
        }
    }
}
