//! Where the objects live: one region with three zones, and the prefixes of their ids.

use avouch_crypto::digest;
use avouch_gate::config::Config;
use avouch_wire::text;

/// Region, its prefix of ids, and the prefixes of its zones, as published.
const KNOWN: &[(&str, &str, [&str; 3])] = &[
    ("us-south", "r006", ["0717", "0727", "0737"]),
    ("us-east", "r014", ["0757", "0767", "0777"]),
    ("eu-de", "r010", ["02b7", "02c7", "02d7"]),
];

/// A region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Name.
    pub name: String,
    /// Prefix of the ids of what belongs to the region.
    pub prefix: String,
    /// Its zones.
    pub zones: Vec<Zone>,
}

/// A zone of the region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Name.
    pub name: String,
    /// Prefix of the ids of what belongs to the zone.
    pub prefix: String,
}

/// Refuses settings that no object could be made under.
///
/// # Errors
/// A text for the operator that names the key.
pub fn check(config: &Config) -> Result<(), String> {
    let id = &config.vpc.region_id;
    if !id.is_empty() && (id.len() != 4 || !id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
    {
        return Err("vpc.region_id: not four lower-case letters and digits".into());
    }
    match config.vpc.floating_addresses.parse::<ipnet::Ipv4Net>() {
        Ok(network) if network.prefix_len() <= 30 => Ok(()),
        _ => Err("vpc.floating_addresses: not an IPv4 network of at least four addresses".into()),
    }
}

impl Region {
    /// The region of this deployment.
    pub fn of(config: &Config) -> Self {
        let name = config.region.clone();
        let known = KNOWN.iter().find(|(region, ..)| *region == name);
        let drawn = |text: &str| digest::hex(&digest::sha256(text.as_bytes()));
        let prefix = match known {
            _ if !config.vpc.region_id.is_empty() => config.vpc.region_id.clone(),
            Some((_, prefix, _)) => (*prefix).to_owned(),
            // Three digits from 200 on, the same at every start.
            None => {
                let [first, second, ..] = digest::sha256(name.as_bytes());
                format!("r{}", 200 + (u32::from(first) * 256 + u32::from(second)) % 800)
            }
        };
        let zones = (0..3)
            .map(|n| {
                let zone = format!("{name}-{}", n + 1);
                let published = known.and_then(|(_, _, zones)| zones.get(n)).map(|p| (*p).to_owned());
                let prefix = published.unwrap_or_else(|| drawn(&zone).chars().take(4).collect());
                Zone { name: zone, prefix }
            })
            .collect();
        Self { name, prefix, zones }
    }

    /// The zone of that name.
    pub fn zone(&self, name: &str) -> Option<&Zone> {
        self.zones.iter().find(|z| z.name == name)
    }
}

/// Whether a text has the form of an id of this service: a prefix and a UUID.
pub fn is_id(id: &str) -> bool {
    let Some((prefix, uuid)) = id.split_once(['-', '_']) else { return false };
    prefix.len() == 4 && prefix.bytes().all(|b| b.is_ascii_alphanumeric()) && text::uuid(uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_nothing_could_be_made_under_are_refused_by_name() {
        let with = |id: &str, network: &str| {
            let mut config = Config::default();
            (config.vpc.region_id, config.vpc.floating_addresses) = (id.into(), network.into());
            check(&config)
        };
        assert!(with("", "198.18.0.0/16").is_ok() && with("r006", "10.0.0.0/30").is_ok());
        for id in ["r06", "R006", "r-06", "r0066"] {
            assert!(with(id, "198.18.0.0/16").unwrap_err().starts_with("vpc.region_id:"), "{id}");
        }
        for network in ["", "198.18.0.0", "198.18.0.0/31", "fd00::/8"] {
            assert!(with("", network).unwrap_err().starts_with("vpc.floating_addresses:"), "{network}");
        }
    }

    #[test]
    fn published_regions_have_their_prefixes_and_others_keep_one_of_their_own() {
        let of = |region: &str, id: &str| {
            let mut config = Config { region: region.into(), ..Config::default() };
            config.vpc.region_id = id.into();
            Region::of(&config)
        };
        let south = of("us-south", "");
        assert_eq!((south.prefix.as_str(), south.zones[2].name.as_str()), ("r006", "us-south-3"));
        assert_eq!(south.zone("us-south-1").unwrap().prefix, "0717");
        assert_eq!(of("us-south", "r777").prefix, "r777");
        let own = of("my-place", "");
        assert_eq!(own, of("my-place", ""));
        assert!(own.prefix.len() == 4 && own.zones.iter().all(|z| z.prefix.len() == 4), "{own:?}");
        assert!(is_id("r006-b9ebf1d8-a674-42e8-898e-0fcb08994f66"));
        assert!(is_id("0717_b9ebf1d8-a674-42e8-898e-0fcb08994f66"));
        assert!(!is_id("b9ebf1d8-a674-42e8-898e-0fcb08994f66") && !is_id("r006") && !is_id("default"));
    }
}
