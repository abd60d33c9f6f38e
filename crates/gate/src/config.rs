//! Settings: one TOML file, every key also an environment variable `AVOUCH_…`; unknown keys are errors.
//!
//! The comments on the fields are what `docs/reference/configuration.md` says of them: a test writes that page from here.

use std::path::Path;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Settings of the server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port to listen on; port 0 takes a free one. Another address than loopback needs TLS or
    /// `insecure_http`. The option `--listen` goes before it.
    pub listen: String,
    /// Origin under which clients reach the server, such as `https://avouch.example.com`: base of links, of the address in
    /// `bootstrap.env` and of the token issuer, so it must be the same on all replicas, and a change ends the tokens that
    /// are out. Empty: `http` or `https` and `listen`.
    pub public_url: String,
    /// Serve plain HTTP on an address that is not loopback, for example behind a proxy that speaks TLS.
    pub insecure_http: bool,
    /// Networks (CIDR) of the proxies in front of the server, whose `X-Forwarded-For` is believed. Without it all clients
    /// behind a proxy share its address: in events, in limits of failed logins, and where an account admits addresses.
    pub trusted_proxies: Vec<IpNet>,
    /// `sqlite` (in the data folder) or a `postgres://` address.
    pub store: String,
    /// Region of this deployment, in CRNs and in policies.
    pub region: String,
    /// First segment after `crn:v1` in CRNs that we mint.
    pub cname: String,
    /// Signature algorithm of access tokens: `RS256` or `ES256`.
    pub token_alg: String,
    /// Name of this replica, shown in events and error contexts. Give each replica its own.
    pub node: String,
    /// File that holds the root keys of the encryption at rest, readable by its owner only; the first start makes it. All
    /// replicas need the same one. Empty: `keyring` in the data folder.
    pub keyring: String,
    /// Certificate chain (PEM) for TLS; empty: plain HTTP.
    pub tls_cert: String,
    /// Private key (PEM) for TLS, together with `tls_cert`.
    pub tls_key: String,
    /// Outgoing fetches.
    pub fetch: Fetch,
    /// Virtual private clouds.
    pub vpc: Vpc,
    /// The audit trail.
    pub audit: Audit,
    /// Quotas and rates.
    pub limits: Limits,
}

/// Where virtual private clouds live.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Vpc {
    /// Four characters that the ids of the region's objects begin with, such as `r006`. Empty: those of `region` where
    /// they are published, else a number made of its name.
    pub region_id: String,
    /// Network (CIDR) that floating addresses are drawn from; the default is of this machine alone.
    pub floating_addresses: String,
    /// Path of the socket of `avouch agent`, which runs instances for this replica. Empty: it runs none.
    pub agent: String,
    /// Folder of the root folders that images of accounts name: `rootfs:NAME` is the folder `NAME` in it. Empty: no
    /// instance of such an image starts.
    pub images: String,
}

impl Default for Vpc {
    fn default() -> Self {
        Self {
            region_id: String::new(),
            floating_addresses: "127.68.0.0/16".into(),
            agent: String::new(),
            images: String::new(),
        }
    }
}

/// The audit trail.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// When reads that disclose no secret are answered: `soon`, their event is committed with the next batch, or `sync`,
    /// after that, as everything else is.
    pub reads: Reads,
}

/// When reads are answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reads {
    /// Once their event is handed over.
    #[default]
    Soon,
    /// Once their event is committed.
    Sync,
}

/// What the server may fetch on behalf of a registration.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fetch {
    /// Networks (CIDR) or host names that may be fetched although private or loopback. An entry with a port
    /// (`10.0.0.0/8:8443`, `host:8443`, `host:*` for any) admits that port too, beside 443 and 6443. `avouch dev` without
    /// this setting allows loopback and private networks.
    pub allow: Vec<String>,
    /// Files with a bearer token for fetches from one origin, and with the certificates that the origin is known by:
    /// `https://host:port=/path/to/token;/path/to/ca.pem`. Without the second file those of the system count, never
    /// those of a registration. Both are read anew for each fetch, and the token goes to that origin only.
    pub token_files: Vec<String>,
}

/// Quotas and rates; 0 = no limit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections of one address at a time; further ones are closed.
    pub connections_per_address: u32,
    /// Bytes that the bodies of all requests may take in memory at a time, but for the first 64 KiB of each (which have 64
    /// MiB of their own); one address may have a quarter. What does not fit is answered with 503.
    pub large_bodies_bytes: u64,
    /// Failed exchanges per address and minute before 429.
    pub failed_exchanges_per_minute: u32,
    /// Trusted profiles per account.
    pub profiles: u32,
    /// Service IDs per account.
    pub service_ids: u32,
    /// API keys per identity.
    pub api_keys_per_identity: u32,
    /// Claim rules per profile.
    pub rules_per_profile: u32,
    /// Links per profile.
    pub links_per_profile: u32,
    /// Policies per account.
    pub policies: u32,
    /// Policies per subject.
    pub policies_per_subject: u32,
    /// Access groups per account.
    pub access_groups: u32,
    /// Access groups per member.
    pub groups_per_member: u32,
    /// Custom roles per account.
    pub custom_roles: u32,
    /// Secret groups per instance.
    pub secret_groups: u32,
    /// VPCs per account.
    pub vpcs: u32,
    /// Instances per account.
    pub instances: u32,
    /// Subnets per VPC.
    pub subnets_per_vpc: u32,
    /// Address prefixes per VPC.
    pub address_prefixes_per_vpc: u32,
    /// Security groups per VPC.
    pub security_groups_per_vpc: u32,
    /// Rules per security group.
    pub rules_per_security_group: u32,
    /// Network ACLs per VPC.
    pub network_acls_per_vpc: u32,
    /// Rules per network ACL.
    pub rules_per_network_acl: u32,
    /// Routing tables per VPC.
    pub routing_tables_per_vpc: u32,
    /// Routes per routing table.
    pub routes_per_routing_table: u32,
    /// Keys for instances per account.
    pub vpc_keys: u32,
    /// Private images per account.
    pub private_images: u32,
    /// Placement groups per account.
    pub placement_groups: u32,
    /// Virtual network interfaces per account.
    pub network_interfaces: u32,
    /// Floating addresses per account and zone.
    pub floating_ips_per_zone: u32,
    /// Volumes per account.
    pub volumes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_per_address: 2048,
            large_bodies_bytes: 256 << 20,
            failed_exchanges_per_minute: 100,
            profiles: 2000,
            service_ids: 2000,
            api_keys_per_identity: 20,
            rules_per_profile: 20,
            links_per_profile: 100,
            policies: 4020,
            policies_per_subject: 1000,
            access_groups: 500,
            groups_per_member: 50,
            custom_roles: 40,
            secret_groups: 200,
            vpcs: 10,
            instances: 200,
            subnets_per_vpc: 100,
            address_prefixes_per_vpc: 25,
            security_groups_per_vpc: 100,
            rules_per_security_group: 250,
            network_acls_per_vpc: 100,
            rules_per_network_acl: 200,
            routing_tables_per_vpc: 50,
            routes_per_routing_table: 200,
            vpc_keys: 200,
            private_images: 100,
            placement_groups: 100,
            network_interfaces: 1000,
            floating_ips_per_zone: 40,
            volumes: 300,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:2868".into(),
            public_url: String::new(),
            insecure_http: false,
            trusted_proxies: Vec::new(),
            store: "sqlite".into(),
            region: "us-south".into(),
            cname: "bluemix".into(),
            token_alg: "RS256".into(),
            node: "avouch".into(),
            keyring: String::new(),
            tls_cert: String::new(),
            tls_key: String::new(),
            fetch: Fetch::default(),
            vpc: Vpc::default(),
            audit: Audit::default(),
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// Reads the file, if given, then lets `AVOUCH_…` variables override single keys (`AVOUCH_FETCH_ALLOW` is a comma
    /// list, nested keys join with `_`).
    ///
    /// # Errors
    /// A text that names the key at fault.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, String> {
        let text = match file {
            Some(path) => {
                std::fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?
            }
            None => String::new(),
        };
        // The file by itself first: only then is it known in which line a mistake is. The line is not quoted, because an
        // address of a database may hold a password.
        let at = |e: toml::de::Error| {
            let before = e.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let name = file.map(|f| f.display().to_string()).unwrap_or_default();
            format!("{name}, line {}: {}", before.matches('\n').count() + 1, e.message())
        };
        toml::from_str::<Config>(&text).map_err(at)?;
        let mut table: toml::Table = toml::from_str(&text).map_err(at)?;
        let defaults = toml::Table::try_from(Config::default()).map_err(|e| e.to_string())?;
        for (name, value) in environment {
            let Some(key) = name.strip_prefix("AVOUCH_") else { continue };
            set(&mut table, &defaults, &key.to_ascii_lowercase(), &value)?;
        }
        table.try_into().map_err(|e: toml::de::Error| format!("configuration: {}", e.message()))
    }

    /// The origin of links: `public_url`, or `http(s)://listen`.
    pub fn origin(&self) -> String {
        if self.public_url.is_empty() {
            let scheme = if self.tls_cert.is_empty() { "http" } else { "https" };
            format!("{scheme}://{}", self.listen)
        } else {
            self.public_url.trim_end_matches('/').to_owned()
        }
    }

    /// Issuer of access tokens.
    pub fn issuer(&self) -> String {
        format!("{}/identity", self.origin())
    }
}

/// Sets `key` where the defaults have it, at the top or one level down; names that are no setting are left alone,
/// since other programs of ours use the prefix too.
fn set(table: &mut toml::Table, defaults: &toml::Table, key: &str, value: &str) -> Result<(), String> {
    if let Some(like) = defaults.get(key).filter(|v| !v.is_table()) {
        table.insert(key.to_owned(), convert(like, key, value)?);
        return Ok(());
    }
    for (section, inner) in defaults {
        let (Some(inner), Some(rest)) = (inner.as_table(), key.strip_prefix(section.as_str())) else {
            continue;
        };
        let Some(rest) = rest.strip_prefix('_') else { continue };
        if let Some(like) = inner.get(rest) {
            let value = convert(like, key, value)?;
            let entry =
                table.entry(section.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if let Some(t) = entry.as_table_mut() {
                t.insert(rest.to_owned(), value);
            }
            return Ok(());
        }
        return Err(format!(
            "environment variable AVOUCH_{}: there is no such setting",
            key.to_ascii_uppercase()
        ));
    }
    Ok(())
}

fn convert(like: &toml::Value, key: &str, value: &str) -> Result<toml::Value, String> {
    let bad = || format!("environment variable AVOUCH_{}: not a valid value", key.to_ascii_uppercase());
    Ok(match like {
        toml::Value::Boolean(_) => toml::Value::Boolean(value.parse().map_err(|_| bad())?),
        toml::Value::Integer(_) => toml::Value::Integer(value.parse().map_err(|_| bad())?),
        toml::Value::Array(_) => toml::Value::Array(
            value
                .split(',')
                .map(str::trim)
                .filter(|v| !v.is_empty())
                .map(|v| toml::Value::String(v.into()))
                .collect(),
        ),
        _ => toml::Value::String(value.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_overrides_and_unknown_keys_of_a_file_are_errors() {
        let env = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        let c = Config::load(
            None,
            [
                env("AVOUCH_FETCH_ALLOW", "127.0.0.0/8, example.test"),
                env("AVOUCH_LIMITS_PROFILES", "7"),
                env("AVOUCH_URL", "x"),
            ],
        )
        .unwrap();
        assert_eq!(c.fetch.allow, ["127.0.0.0/8", "example.test"]);
        assert_eq!(c.limits.profiles, 7);
        assert!(Config::load(None, [env("AVOUCH_LIMITS_PROFILES", "x")]).is_err());
        let mistyped = Config::load(None, [env("AVOUCH_LIMITS_PROFILE", "7")]).unwrap_err();
        assert!(mistyped.contains("AVOUCH_LIMITS_PROFILE:"), "{mistyped}");
        let dir = std::env::temp_dir().join(format!("avouch-config-{}", std::process::id()));
        for (text, line, told) in [
            ("listen = \"127.0.0.1:1\"\nno_such_key = 1", 2, "no_such_key"),
            ("store = \"postgres://u:PASSWORD@h\"\n\n[limits]\nprofiles = \"many\"\n", 4, "expected u32"),
            ("region = \"a\"\nstore = \"postgres://u:PASSWORD@h\n", 2, "string"),
        ] {
            std::fs::write(&dir, text).unwrap();
            let refused = Config::load(Some(&dir), []).unwrap_err();
            assert!(refused.starts_with(&format!("{}, line {line}: ", dir.display())), "{refused}");
            assert!(refused.contains(told) && !refused.contains("PASSWORD"), "{refused}");
        }
        std::fs::remove_file(&dir).unwrap();
    }
}
