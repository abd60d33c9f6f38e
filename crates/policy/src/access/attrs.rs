//! Attribute keys, and the attributes of the resource that a request is about.

use crate::roles::{Catalogue, ServiceKind};
use avouch_wire::{AccountId, Crn};

/// Every attribute key that a policy can match on. Their order is of no meaning on the wire.
const NAMES: [&str; 44] = [
    "accountId",
    "serviceType",
    "service_group_id",
    "serviceName",
    "resourceGroupId",
    "region",
    "serviceInstance",
    "resourceType",
    "resource",
    "keyRing",
    "namespace",
    "geography",
    "country",
    "metro",
    "satellite",
    "locationvalues",
    "instanceId",
    "vpcId",
    "subnetId",
    "keyId",
    "imageId",
    "volumeId",
    "securityGroupId",
    "floatingIpId",
    "networkAclId",
    "publicGatewayId",
    "virtualNetworkInterfaceId",
    "instanceGroupId",
    "placementGroupId",
    "dedicatedHostId",
    "bareMetalServerId",
    "shareId",
    "snapshotId",
    "loadBalancerId",
    "endpointGatewayId",
    "flowLogCollectorId",
    "vpnGatewayId",
    "reservationId",
    "backupPolicyId",
    "clusterNetworkId",
    "privatePathServiceGatewayId",
    "publicAddressRangeId",
    "vpnServerId",
    "dnsResolutionBindingId",
];

/// Number of keys.
pub(crate) const KEYS: usize = NAMES.len();
const FIRST_OBJECT_ID: u8 = 16;

/// An attribute key that policies can match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(u8);

impl Key {
    pub const ACCOUNT: Key = Key(0);
    pub const SERVICE_TYPE: Key = Key(1);
    pub const SERVICE_GROUP: Key = Key(2);
    pub const SERVICE: Key = Key(3);
    pub const RESOURCE_GROUP: Key = Key(4);
    pub const REGION: Key = Key(5);
    pub const INSTANCE: Key = Key(6);
    pub const RESOURCE_TYPE: Key = Key(7);
    pub const RESOURCE: Key = Key(8);
    pub const KEY_RING: Key = Key(9);
    pub const NAMESPACE: Key = Key(10);
    pub const GEOGRAPHY: Key = Key(11);
    pub const COUNTRY: Key = Key(12);
    pub const METRO: Key = Key(13);

    /// The key of this name; `None` for a name that nothing can match.
    ///
    /// ```
    /// use avouch_policy::access::Key;
    /// assert_eq!(Key::parse("serviceName"), Some(Key::SERVICE));
    /// assert_eq!(Key::parse("servicename"), None);
    /// ```
    pub fn parse(name: &str) -> Option<Key> {
        let at = NAMES.iter().position(|n| *n == name)?;
        u8::try_from(at).ok().map(Key)
    }

    pub fn as_str(self) -> &'static str {
        NAMES.get(self.place()).copied().unwrap_or_default()
    }

    pub(crate) fn place(self) -> usize {
        usize::from(self.0)
    }

    /// The key at a place below [`KEYS`].
    pub(crate) fn at(place: u32) -> Key {
        Key(u8::try_from(place).unwrap_or(u8::MAX))
    }

    /// Whether the key holds the id of one kind of object of the VPC service, which also picks the kind.
    pub fn is_object_id(self) -> bool {
        self.0 >= FIRST_OBJECT_ID
    }

    /// Keys whose value is an id, where the plain value `*` has always meant "any".
    pub(crate) fn is_id(self) -> bool {
        self.is_object_id() || matches!(self, Self::RESOURCE_GROUP | Self::INSTANCE | Self::RESOURCE)
    }

    pub(crate) fn is_location(self) -> bool {
        self == Self::REGION || (Self::GEOGRAPHY.0..FIRST_OBJECT_ID).contains(&self.0)
    }

    /// Keys that point inside a service instance.
    pub(crate) fn is_inside_instance(self) -> bool {
        self.is_object_id()
            || matches!(self, Self::RESOURCE_TYPE | Self::RESOURCE | Self::KEY_RING | Self::NAMESPACE)
    }

    /// Keys that every service has.
    pub(crate) fn is_system_wide(self) -> bool {
        self.0 <= Self::RESOURCE.0 || self.is_location()
    }

    /// How much a value narrows: the policy is filed under its narrowest one.
    pub(crate) fn narrowness(self) -> u8 {
        match self {
            Self::RESOURCE => 60,
            k if k.is_object_id() => 55,
            Self::NAMESPACE | Self::KEY_RING => 50,
            Self::INSTANCE => 45,
            Self::RESOURCE_GROUP => 40,
            Self::RESOURCE_TYPE => 30,
            Self::SERVICE => 20,
            Self::SERVICE_GROUP => 15,
            Self::SERVICE_TYPE => 10,
            _ => 0,
        }
    }

    #[cfg(test)]
    pub(crate) fn all() -> impl Iterator<Item = Key> {
        (0u8..).take(KEYS).map(Key)
    }
}

/// Region, metro, country, geography.
const LOCATIONS: [(&str, &str, &str, &str); 13] = [
    ("us-south", "dal", "us", "na"),
    ("us-east", "wdc", "us", "na"),
    ("ca-tor", "tor", "ca", "na"),
    ("ca-mon", "mon", "ca", "na"),
    ("br-sao", "sao", "br", "sa"),
    ("eu-gb", "lon", "gb", "eu"),
    ("eu-de", "fra", "de", "eu"),
    ("eu-es", "mad", "es", "eu"),
    ("jp-tok", "tok", "jp", "ap"),
    ("jp-osa", "osa", "jp", "ap"),
    ("au-syd", "syd", "au", "ap"),
    ("in-mum", "mum", "in", "ap"),
    ("in-che", "che", "in", "ap"),
];

/// Whether a location attribute names a place that exists. Regions are free: a deployment may have its own.
pub(crate) fn known_location(key: Key, value: &str) -> bool {
    let plain =
        |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_alphanumeric() || "-_.,:".contains(c));
    match key {
        Key::METRO => LOCATIONS.iter().any(|l| l.1 == value),
        Key::COUNTRY => LOCATIONS.iter().any(|l| l.2 == value),
        Key::GEOGRAPHY => LOCATIONS.iter().any(|l| l.3 == value),
        _ => plain(value),
    }
}

/// The attributes of the resource that a request is about. What is not set is absent: a policy that names it does not match.
///
/// ```
/// use avouch_policy::access::{Key, ResourceAttrs};
/// use avouch_wire::AccountId;
/// let account = AccountId::parse("0123456789abcdef0123456789abcdef").unwrap();
/// let res = ResourceAttrs::service(&account, "secrets-manager").instance("i1").resource("secret-group", "g1");
/// assert_eq!(res.get(Key::SERVICE_TYPE), Some("service"));
/// assert_eq!(res.get(Key::REGION), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceAttrs {
    values: Vec<(Key, String)>,
    tags: Vec<String>,
    /// The attributes stand for everything that a policy covers, not for one resource: what is absent is unconstrained.
    target: bool,
    /// In a target: keys that the policy itself demands to be absent.
    absent: Vec<Key>,
}

impl ResourceAttrs {
    /// Value of the id attribute when an object is created or a collection is asked for, so that `*` covers it and an id
    /// does not.
    pub const NEW_RESOURCE: &'static str = "NEWRESOURCE";

    /// A request about a service: its type and group come from the catalogue.
    pub fn service(account: &AccountId, service: &str) -> Self {
        Self::account(account.as_str()).set(Key::SERVICE, service)
    }

    /// A request about a resource group itself, not about what is in it. `None`: the groups of the account.
    pub fn resource_group_object(account: &AccountId, id: Option<&str>) -> Self {
        let res = Self::service(account, "resource-controller").set(Key::RESOURCE_TYPE, "resource-group");
        match id {
            Some(id) => res.set(Key::RESOURCE, id),
            None => res,
        }
    }

    /// The attributes that a resource name carries. `None` if the name belongs to no account.
    pub fn from_crn(crn: &Crn) -> Option<Self> {
        let account = crn.account()?;
        if crn.service() == "resource-controller" && crn.resource_type() == "resource-group" {
            return Some(Self::resource_group_object(&account, non_empty(crn.resource())));
        }
        let mut res = Self::service(&account, crn.service());
        let parts = [
            (Key::REGION, crn.region()),
            (Key::INSTANCE, crn.instance()),
            (Key::RESOURCE_TYPE, crn.resource_type()),
            (Key::RESOURCE, crn.resource()),
        ];
        for (key, value) in parts {
            if let Some(value) = non_empty(value) {
                res = res.set(key, value);
            }
        }
        Some(res)
    }

    pub(crate) fn account(account: &str) -> Self {
        let mut res = Self { values: Vec::with_capacity(10), ..Self::default() };
        res.put(Key::ACCOUNT, account);
        res
    }

    pub fn instance(self, id: &str) -> Self {
        self.set(Key::INSTANCE, id)
    }

    /// The resource group that the resource is in. Account management lives outside resource groups, so it is ignored there.
    pub fn resource_group(self, id: &str) -> Self {
        self.set(Key::RESOURCE_GROUP, id)
    }

    pub fn region(self, region: &str) -> Self {
        self.set(Key::REGION, region)
    }

    pub fn resource(self, resource_type: &str, id: &str) -> Self {
        self.set(Key::RESOURCE_TYPE, resource_type).set(Key::RESOURCE, id)
    }

    pub fn resource_type(self, resource_type: &str) -> Self {
        self.set(Key::RESOURCE_TYPE, resource_type)
    }

    pub fn namespace(self, namespace: &str) -> Self {
        self.set(Key::NAMESPACE, namespace)
    }

    pub fn key_ring(self, ring: &str) -> Self {
        self.set(Key::KEY_RING, ring)
    }

    /// An attribute by its name, such as `instanceId`. A name that no policy can match on changes nothing.
    pub fn with(self, name: &str, value: &str) -> Self {
        match Key::parse(name) {
            Some(key) => self.set(key, value),
            None => self,
        }
    }

    /// The kind attribute of a request that creates or lists objects of that kind.
    pub fn new_object(self, name: &str) -> Self {
        self.with(name, Self::NEW_RESOURCE)
    }

    /// Access tags attached to the instance, `key:value`.
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Sets one attribute, and those that follow from it: the type and group of a service, the places of a region.
    pub fn set(mut self, key: Key, value: &str) -> Self {
        match key {
            Key::SERVICE => {
                self.put(key, value);
                self.clear(Key::SERVICE_TYPE);
                self.clear(Key::SERVICE_GROUP);
                if let Some(service) = Catalogue::builtin().service(value) {
                    if let Some(kind) = service.kind.service_type() {
                        self.put(Key::SERVICE_TYPE, kind);
                    }
                    if service.iam_group {
                        self.put(Key::SERVICE_GROUP, "IAM");
                    }
                    if service.kind != ServiceKind::Service {
                        self.clear(Key::RESOURCE_GROUP);
                    }
                }
            }
            Key::RESOURCE_GROUP => {
                let outside = self
                    .get(Key::SERVICE)
                    .and_then(|s| Catalogue::builtin().service(s))
                    .is_some_and(|s| s.kind != ServiceKind::Service);
                if !outside {
                    self.put(key, value);
                }
            }
            Key::REGION => {
                self.put(key, value);
                if let Some((_, metro, country, geography)) = LOCATIONS.iter().find(|l| l.0 == value) {
                    self.put(Key::METRO, metro);
                    self.put(Key::COUNTRY, country);
                    self.put(Key::GEOGRAPHY, geography);
                }
            }
            _ => self.put(key, value),
        }
        self
    }

    pub fn get(&self, key: Key) -> Option<&str> {
        self.values.iter().find(|(k, _)| *k == key).map(|(_, v)| v.as_str())
    }

    pub fn iter(&self) -> impl Iterator<Item = (Key, &str)> {
        self.values.iter().map(|(k, v)| (*k, v.as_str()))
    }

    pub fn access_tags(&self) -> &[String] {
        &self.tags
    }

    /// Whether the key is known to be absent, which `stringExists: false` asks for.
    pub(crate) fn lacks(&self, key: Key) -> bool {
        self.get(key).is_none() && (!self.target || self.absent.contains(&key))
    }

    /// Turns the attributes into the target of a policy: all that it covers at once.
    pub(crate) fn into_target(mut self, absent: Vec<Key>) -> Self {
        self.target = true;
        self.absent = absent;
        self
    }

    fn put(&mut self, key: Key, value: &str) {
        match self.values.iter_mut().find(|(k, _)| *k == key) {
            Some((_, v)) => *v = value.to_owned(),
            None => self.values.push((key, value.to_owned())),
        }
    }

    fn clear(&mut self, key: Key) {
        self.values.retain(|(k, _)| *k != key);
    }
}

fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn account() -> AccountId {
        AccountId::parse("0123456789abcdef0123456789abcdef").unwrap()
    }

    #[test]
    fn keys_and_names_are_one_to_one() {
        const { assert!(KEYS < 64, "the index keeps a bit for each") };
        for key in Key::all() {
            assert_eq!(Key::parse(key.as_str()), Some(key));
        }
        assert_eq!(Key::parse("instanceId").map(Key::is_object_id), Some(true));
        assert!(!Key::parse("locationvalues").unwrap().is_object_id());
        assert!(Key::parse("locationvalues").unwrap().is_location() && Key::REGION.is_location());
        assert!(!Key::NAMESPACE.is_system_wide() && !Key::KEY_RING.is_system_wide());
    }

    #[test]
    fn account_management_has_no_resource_group() {
        let res = ResourceAttrs::service(&account(), "iam-identity").resource_group("g");
        assert_eq!(res.get(Key::RESOURCE_GROUP), None);
        assert_eq!(res.get(Key::SERVICE_GROUP), Some("IAM"));
        assert_eq!(
            ResourceAttrs::service(&account(), "kms").resource_group("g").get(Key::RESOURCE_GROUP),
            Some("g")
        );
    }

    #[test]
    fn operator_and_unknown_services_have_no_type() {
        for name in ["avouch", "no-such-service"] {
            assert_eq!(ResourceAttrs::service(&account(), name).get(Key::SERVICE_TYPE), None);
        }
    }

    #[test]
    fn attributes_of_a_crn() {
        let text = "crn:v1:bluemix:public:kms:us-south:a/0123456789abcdef0123456789abcdef:i1:key:k1";
        let res = ResourceAttrs::from_crn(&Crn::parse(text).unwrap()).unwrap();
        let want =
            ResourceAttrs::service(&account(), "kms").region("us-south").instance("i1").resource("key", "k1");
        assert_eq!(res, want);
        assert_eq!(res.get(Key::COUNTRY), Some("us"));
        let group = "crn:v1:bluemix:public:resource-controller:global:a/0123456789abcdef0123456789abcdef::resource-group:g1";
        let res = ResourceAttrs::from_crn(&Crn::parse(group).unwrap()).unwrap();
        assert_eq!(res, ResourceAttrs::resource_group_object(&account(), Some("g1")));
        assert!(
            ResourceAttrs::from_crn(&Crn::parse("crn:v1:bluemix:public:iam::::role:Viewer").unwrap())
                .is_none()
        );
    }

    #[test]
    fn every_attribute_of_the_catalogue_has_a_key() {
        for service in Catalogue::builtin().services() {
            for name in &service.attributes {
                let key = Key::parse(name).unwrap_or_else(|| panic!("{name}"));
                assert_eq!(key.is_object_id(), service.id_attribute, "{name}");
            }
        }
    }
}
