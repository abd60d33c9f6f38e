//! `iam trusted-profile-link…`: which compute resources may become a profile.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::{profiles, put};
use crate::api::{Api, Call, segment};
use crate::failure::{Result, usage};
use crate::input::confirm;
use crate::output::{Out, cell};
use crate::select::{self, Several};
use crate::session::Session;

/// Kinds of compute resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CrType {
    /// Virtual server
    Vsi,
    /// Power virtual server
    Pvs,
    /// Bare metal server
    Bms,
    /// Service account of a Kubernetes cluster
    IksSa,
    /// Service account of an OpenShift cluster
    RoksSa,
    /// Code Engine
    Ce,
    /// Registered OIDC issuer
    Oidc,
}

impl CrType {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            CrType::Vsi => "VSI",
            CrType::Pvs => "PVS",
            CrType::Bms => "BMS",
            CrType::IksSa => "IKS_SA",
            CrType::RoksSa => "ROKS_SA",
            CrType::Ce => "CE",
            CrType::Oidc => "OIDC",
        }
    }
}

/// Commands on links.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the links of a trusted profile
    TrustedProfileLinks {
        #[arg(value_name = "NAME|ID")]
        profile: String,
        /// Print ids only
        #[arg(long)]
        id: bool,
    },
    /// Show a link of a trusted profile
    TrustedProfileLink {
        #[arg(value_name = "NAME|ID")]
        profile: String,
        #[arg(value_name = "LINK_NAME|LINK_ID")]
        link: String,
    },
    /// Trust a compute resource
    TrustedProfileLinkCreate(Create),
    /// Trust a compute resource no longer
    TrustedProfileLinkDelete {
        #[arg(value_name = "NAME|ID")]
        profile: String,
        #[arg(value_name = "LINK_NAME|LINK_ID")]
        link: String,
    },
}

#[derive(Debug, Args)]
pub struct Create {
    #[arg(value_name = "NAME|ID")]
    profile: String,
    /// Name of the link
    #[arg(long)]
    name: Option<String>,
    /// Kind of compute resource
    #[arg(long, value_enum, ignore_case = true)]
    cr_type: CrType,
    #[command(flatten)]
    target: LinkTarget,
    /// The compute resource belongs to another account
    #[arg(long)]
    cross_account: bool,
}

/// What a link points at.
#[derive(Debug, Default, Args)]
pub struct LinkTarget {
    /// CRN of cluster, server or project
    #[arg(id = "link_crn", long = "link-crn", value_name = "CRN")]
    pub crn: String,
    /// Namespace (clusters)
    #[arg(id = "link_namespace", long = "link-namespace", value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Name of the service account (clusters)
    #[arg(id = "link_name", long = "link-name", value_name = "NAME")]
    pub name: Option<String>,
    /// application, job or function (Code Engine)
    #[arg(id = "link_component_type", long = "link-component-type", value_name = "TYPE")]
    pub component_type: Option<String>,
    /// Name of the component (Code Engine)
    #[arg(id = "link_component_name", long = "link-component-name", value_name = "NAME")]
    pub component_name: Option<String>,
}

impl LinkTarget {
    fn check(&self, kind: CrType) -> Result<()> {
        let need = |given: bool, flags: &str| {
            if given {
                Ok(())
            } else {
                Err(usage(format!("--cr-type {}: needs {flags} as well.", kind.as_str())))
            }
        };
        match kind {
            CrType::IksSa | CrType::RoksSa => {
                need(self.namespace.is_some() && self.name.is_some(), "--link-namespace and --link-name")
            }
            CrType::Ce => need(
                self.component_type.is_some() && self.component_name.is_some(),
                "--link-component-type and --link-component-name",
            ),
            CrType::Oidc => need(self.name.is_some(), "--link-name"),
            _ => Ok(()),
        }
    }
}

/// A link to be made.
pub struct NewLink {
    /// Kind of compute resource.
    pub kind: CrType,
    /// Label.
    pub name: Option<String>,
    /// What is trusted.
    pub target: LinkTarget,
    /// The CRN is of another account.
    pub cross_account: bool,
}

/// Creates a link.
pub async fn create(api: &Api, profile: &Value, link: NewLink) -> Result<Value> {
    let NewLink { kind, name, target, cross_account } = link;
    target.check(kind)?;
    let mut link = Map::new();
    link.insert("crn".into(), json!(target.crn));
    put(&mut link, "namespace", target.namespace);
    put(&mut link, "name", target.name);
    put(&mut link, "component_type", target.component_type);
    put(&mut link, "component_name", target.component_name);
    let mut body = Map::new();
    put(&mut body, "name", name);
    body.insert("cr_type".into(), json!(kind.as_str()));
    body.insert("link".into(), link.into());
    if cross_account {
        body.insert("is_cross_account".into(), json!(true));
    }
    Ok(api.send(Call::post(format!("{}/links", profiles::path(profile))).json(body.into())).await?.body)
}

/// Runs a command on links.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::TrustedProfileLinks { profile, id } => {
            let api = s.api().await?;
            s.out.progress(format!("Listing links of trusted profile {profile}"));
            let found = profiles::find(&api, &profile, Several::unless(s.force)).await?;
            let all = links(&api, &found).await?;
            if id && s.out.table() {
                return all.iter().try_for_each(|l| s.out.line(&cell(l, "id")));
            }
            s.out.list(&all, "No links found.", COLUMNS, row)
        }
        Command::TrustedProfileLink { profile, link } => {
            let api = s.api().await?;
            s.out.progress(format!("Getting link {link} of trusted profile {profile}"));
            let found = profiles::find(&api, &profile, Several::unless(s.force)).await?;
            let link = find(&api, &found, &link, Several::unless(s.force)).await?;
            details(&s.out, &link)
        }
        Command::TrustedProfileLinkCreate(args) => {
            args.target.check(args.cr_type)?;
            let api = s.api().await?;
            s.out.progress(format!("Creating a link of trusted profile {}", args.profile));
            let found = profiles::find(&api, &args.profile, Several::unless(s.force)).await?;
            let link = NewLink {
                kind: args.cr_type,
                name: args.name,
                target: args.target,
                cross_account: args.cross_account,
            };
            let made = create(&api, &found, link).await?;
            details(&s.out, &made)
        }
        Command::TrustedProfileLinkDelete { profile, link } => {
            confirm(s.force, &format!("Really delete link '{link}'?"))?;
            let api = s.api().await?;
            s.out.progress(format!("Deleting link {link} of trusted profile {profile}"));
            let found = profiles::find(&api, &profile, Several::unless(s.force)).await?;
            let link = find(&api, &found, &link, Several::unless(s.force)).await?;
            api.send(Call::delete(format!(
                "{}/links/{}",
                profiles::path(&found),
                segment(&cell(&link, "id"))
            )))
            .await?;
            s.out.ok();
            Ok(())
        }
    }
}

const COLUMNS: &[&str] = &["ID", "Name", "CR type", "CRN", "Namespace", "Name/Component"];

fn row(link: &Value) -> Vec<String> {
    let component = match cell(link, "link.component_name") {
        name if name.is_empty() => cell(link, "link.name"),
        name => format!("{}/{name}", cell(link, "link.component_type")),
    };
    vec![
        cell(link, "id"),
        cell(link, "name"),
        cell(link, "cr_type"),
        cell(link, "link.crn"),
        cell(link, "link.namespace"),
        component,
    ]
}

/// Shows a link.
pub fn details(out: &Out, link: &Value) -> Result<()> {
    let rows = [
        ("ID", cell(link, "id")),
        ("Name", cell(link, "name")),
        ("CR type", cell(link, "cr_type")),
        ("CRN", cell(link, "link.crn")),
        ("Namespace", cell(link, "link.namespace")),
        ("Service account", cell(link, "link.name")),
        ("Component type", cell(link, "link.component_type")),
        ("Component name", cell(link, "link.component_name")),
        ("Created", cell(link, "created_at")),
    ];
    out.object(link, &rows)
}

async fn links(api: &Api, profile: &Value) -> Result<Vec<Value>> {
    api.list(Call::get(format!("{}/links", profiles::path(profile))), "links").await
}

async fn find(api: &Api, profile: &Value, wanted: &str, several: Several) -> Result<Value> {
    let all = links(api, profile).await?;
    let field = if select::prefixed(wanted, "Link-") { "id" } else { "name" };
    select::one(api, "link", wanted, select::named(&all, field, wanted, false), several)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::output::columns_of;

    #[test]
    fn links_show_service_account_or_component() {
        let all = [
            json!({"id": "Link-1", "name": "pods", "cr_type": "IKS_SA",
                "link": {"crn": "crn:c", "namespace": "shop", "name": "api"}}),
            json!({"id": "Link-2", "cr_type": "CE",
                "link": {"crn": "crn:p", "component_type": "job", "component_name": "nightly"}}),
        ];
        insta::assert_snapshot!(columns_of(COLUMNS, &all.iter().map(row).collect::<Vec<_>>()), @r"
        ID      Name  CR type  CRN    Namespace  Name/Component
        Link-1  pods  IKS_SA   crn:c  shop       api
        Link-2        CE       crn:p             job/nightly
        ");
    }

    #[test]
    fn cluster_links_need_a_service_account() {
        let bare = LinkTarget { crn: "crn:c".into(), ..LinkTarget::default() };
        assert!(bare.check(CrType::Vsi).is_ok());
        for kind in [CrType::IksSa, CrType::RoksSa, CrType::Ce, CrType::Oidc] {
            assert!(bare.check(kind).is_err(), "{kind:?}");
        }
    }
}
