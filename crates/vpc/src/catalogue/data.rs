//! The catalogue as data: what `data/catalogue.toml` lists.

use std::sync::LazyLock;

use serde::Deserialize;

/// An operating system.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatingSystem {
    pub name: String,
    pub architecture: String,
    pub display_name: String,
    pub family: String,
    pub vendor: String,
    pub version: String,
}

/// An image that everybody may use.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicImage {
    pub id: String,
    pub name: String,
    pub operating_system: String,
}

/// What an instance may be made as.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceProfile {
    pub name: String,
    pub family: String,
    pub vcpu: i64,
    pub memory: i64,
    pub bandwidth: i64,
    pub interfaces: i64,
}

/// What a volume may be made as.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeProfile {
    pub name: String,
    pub family: String,
    pub generation: i64,
    /// Least and most GB.
    pub capacity: [i64; 2],
    /// 0: chosen by whoever makes the volume.
    pub iops_per_gb: i64,
    /// Least and most operations per second.
    pub iops: [i64; 2],
    /// Least and most Mbps.
    pub bandwidth: [i64; 2],
}

/// All of it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    #[serde(rename = "operating_system")]
    pub operating_systems: Vec<OperatingSystem>,
    #[serde(rename = "image")]
    pub images: Vec<PublicImage>,
    #[serde(rename = "instance_profile")]
    pub instance_profiles: Vec<InstanceProfile>,
    #[serde(rename = "volume_profile")]
    pub volume_profiles: Vec<VolumeProfile>,
}

static BUILTIN: LazyLock<Catalogue> =
    LazyLock::new(|| toml::from_str(include_str!("../../data/catalogue.toml")).unwrap_or_default());

impl Catalogue {
    /// What this version lists; a test reads the file.
    pub fn builtin() -> &'static Self {
        &BUILTIN
    }

    /// The operating system of that name.
    pub fn operating_system(&self, name: &str) -> Option<&OperatingSystem> {
        self.operating_systems.iter().find(|o| o.name == name)
    }

    /// The public image with that id.
    pub fn image(&self, id: &str) -> Option<&PublicImage> {
        self.images.iter().find(|i| i.id == id)
    }

    /// The instance profile of that name.
    pub fn instance_profile(&self, name: &str) -> Option<&InstanceProfile> {
        self.instance_profiles.iter().find(|p| p.name == name)
    }

    /// The volume profile of that name.
    pub fn volume_profile(&self, name: &str) -> Option<&VolumeProfile> {
        self.volume_profiles.iter().find(|p| p.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::is_id;

    #[test]
    fn the_file_is_read_and_its_entries_fit_together() {
        let c: Catalogue = toml::from_str(include_str!("../../data/catalogue.toml")).unwrap();
        assert!(c.image("r006-b9ebf1d8-a674-42e8-898e-0fcb08994f66").is_some());
        for image in &c.images {
            assert!(is_id(&image.id) && c.operating_system(&image.operating_system).is_some(), "{image:?}");
            assert_eq!(c.images.iter().filter(|i| i.id == image.id || i.name == image.name).count(), 1);
        }
        assert!(c.instance_profile("bxf-2x8").is_some() && c.volume_profile("general-purpose").is_some());
        for p in &c.volume_profiles {
            assert!(
                p.capacity[0] < p.capacity[1] && p.iops[0] < p.iops[1] && p.bandwidth[0] < p.bandwidth[1]
            );
        }
    }
}
