//! `is image…`, `is instance-profile…`: what instances are made from.

use clap::{Subcommand, ValueEnum};
use serde_json::{Map, json};

use super::{Group, Kind, Names, Rename, versioned};
use crate::api::{Call, segment};
use crate::failure::Result;
use crate::output::cell;
use crate::session::Session;

pub const IMAGE: Kind = Kind {
    one: "image",
    several: "images",
    path: "images",
    columns: &[
        ("Status", "status"),
        ("Arch", "operating_system.architecture"),
        ("OS name", "operating_system.display_name"),
        ("Visibility", "visibility"),
        ("Resource group", "resource_group.name"),
    ],
    rows: &[
        ("Status", "status"),
        ("Operating system", "operating_system.display_name"),
        ("Architecture", "operating_system.architecture"),
        ("Visibility", "visibility"),
        ("File size(GB)", "file.size"),
        ("User data format", "user_data_format"),
        ("Resource group", "resource_group.name"),
        ("Created", "created_at"),
    ],
};

const PROFILE: Kind = Kind {
    one: "instance profile",
    several: "instance profiles",
    path: "instance/profiles",
    columns: &[],
    rows: &[],
};

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Visibility {
    All,
    Public,
    Private,
}

/// Commands on images and profiles.
#[derive(Debug, Subcommand)]
#[allow(private_interfaces, reason = "arguments shared by the commands of this family only")]
pub enum Command {
    /// List images
    Images {
        /// Whose
        #[arg(long, value_enum, default_value = "all")]
        visibility: Visibility,
    },
    /// Show an image
    Image {
        #[arg(value_name = "NAME|ID")]
        image: String,
    },
    /// Import an image
    ImageCreate {
        name: String,
        /// Where it comes from
        #[arg(long, value_name = "URL")]
        file: String,
        /// Operating system
        #[arg(long, value_name = "NAME")]
        os_name: String,
        #[command(flatten)]
        group: Group,
    },
    /// Rename an image
    ImageUpdate(Rename),
    /// Delete images
    ImageDelete(Names),
    /// List what instances may have
    InstanceProfiles,
    /// Show an instance profile
    InstanceProfile {
        #[arg(value_name = "NAME")]
        profile: String,
    },
}

/// Runs a command on images and profiles.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::Images { visibility } => {
            let word = match visibility {
                Visibility::All => None,
                Visibility::Public => Some("public"),
                Visibility::Private => Some("private"),
            };
            let filters: Vec<_> = word.map(|w| ("visibility", w.to_owned())).into_iter().collect();
            super::list(s, &IMAGE, &filters).await
        }
        Command::Image { image } => super::show(s, &IMAGE, &image).await,
        Command::ImageCreate { name, file, os_name, group } => {
            let api = s.api().await?;
            s.out.progress(format!("Creating image {name}"));
            let mut body = Map::new();
            body.insert("name".into(), json!(name));
            body.insert("file".into(), json!({"href": file}));
            body.insert("operating_system".into(), json!({"name": os_name}));
            group.put(s, &api, &mut body).await?;
            super::create(s, &api, &IMAGE, body).await
        }
        Command::ImageUpdate(args) => super::rename(s, &IMAGE, args).await,
        Command::ImageDelete(names) => super::delete(s, &IMAGE, &names).await,
        Command::InstanceProfiles => {
            let api = s.api().await?;
            s.out.progress("Listing instance profiles");
            let call = versioned(Call::get("/v1/instance/profiles"));
            let all = api.list(call.query("limit", "100"), "profiles").await?;
            let titles =
                ["Name", "Architecture", "Family", "vCPUs", "Memory(GiB)", "Bandwidth(Mbps)", "Status"];
            s.out.list(&all, "No instance profiles found.", &titles, |p| {
                COLUMNS.iter().map(|f| cell(p, f)).collect()
            })
        }
        Command::InstanceProfile { profile } => {
            let api = s.api().await?;
            s.out.progress(format!("Getting {} {profile}", PROFILE.one));
            let path = format!("/v1/{}/{}", PROFILE.path, segment(&profile));
            let found = api.send(versioned(Call::get(path))).await?.body;
            let rows = [
                ("Name", "name"),
                ("Family", "family"),
                ("Architecture", "vcpu_architecture.value"),
                ("vCPUs", "vcpu_count.value"),
                ("Memory(GiB)", "memory.value"),
                ("Bandwidth(Mbps)", "bandwidth.value"),
                ("Status", "status"),
            ];
            s.out.object(&found, &rows.map(|(title, field)| (title, cell(&found, field))))
        }
    }
}

const COLUMNS: [&str; 7] = [
    "name",
    "vcpu_architecture.value",
    "family",
    "vcpu_count.value",
    "memory.value",
    "bandwidth.value",
    "status",
];
