//! `target`: account, region and resource group that commands aim at.

use clap::Args as ClapArgs;

use crate::failure::Result;
use crate::output::{Out, cell};
use crate::resource::groups;
use crate::session::Session;
use crate::state::Named;

use super::account;

/// Arguments of `target`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Account id or name
    #[arg(short = 'c', value_name = "ACCOUNT")]
    account: Option<String>,
    /// Region
    #[arg(short = 'r', value_name = "REGION", conflicts_with = "unset_region")]
    region: Option<String>,
    /// Resource group name or id
    #[arg(short = 'g', value_name = "GROUP", conflicts_with = "unset_resource_group")]
    group: Option<String>,
    /// Target no region
    #[arg(long)]
    unset_region: bool,
    /// Target no resource group
    #[arg(long)]
    unset_resource_group: bool,
}

/// Regions that published scripts name.
const REGIONS: &[&str] = &[
    "au-syd", "br-sao", "ca-mon", "ca-tor", "eu-de", "eu-es", "eu-gb", "in-che", "in-mum", "jp-osa",
    "jp-tok", "us-east", "us-south",
];

/// Says that a region looks mistyped. It is kept all the same: whoever runs the server may call its region as he likes.
pub fn warn_of_region(out: &Out, region: &str) {
    if !REGIONS.contains(&region) {
        out.note(format!(
            "WARNING: '{region}' is none of the known regions ({}). It is right only if the server was given this name.",
            REGIONS.join(", ")
        ));
    }
}

/// Runs `target`.
pub async fn run(s: &mut Session, args: Args) -> Result<()> {
    let mut api = s.api().await?;
    if let Some(wanted) = &args.account {
        let current = account::own(&api).await;
        if *wanted != current.guid && *wanted != current.name {
            let id = account::find(&api, wanted).await?;
            api = s.switch(&id).await?;
            s.state.config.resource_group = Named::default();
        }
        s.state.config.account = account::own(&api).await;
    }
    if let Some(wanted) = &args.group {
        let group = groups::find(&api, wanted).await?;
        s.state.config.resource_group = Named { guid: cell(&group, "id"), name: cell(&group, "name") };
    }
    if args.unset_resource_group {
        s.state.config.resource_group = Named::default();
    }
    if let Some(region) = args.region {
        warn_of_region(&s.out, &region);
        s.state.config.region = region;
    }
    if args.unset_region {
        s.state.config.region.clear();
    }
    s.state.save()?;
    show(s)
}

/// Shows what is targeted.
pub fn show(s: &Session) -> Result<()> {
    let config = &s.state.config;
    let claims = s.claims();
    let named =
        |n: &Named| if n.name.is_empty() { n.guid.clone() } else { format!("{} ({})", n.name, n.guid) };
    let or_hint = |text: String, hint: &str| {
        if text.is_empty() { format!("None targeted, use '{hint}'") } else { text }
    };
    if !s.out.table() {
        return s.out.data(&serde_json::json!({
            "api_endpoint": s.endpoint(),
            "region": {"name": config.region},
            "user": {"display_name": claims.user, "iam_id": claims.iam_id},
            "account": {"guid": config.account.guid, "name": config.account.name},
            "resource_group": {"guid": config.resource_group.guid, "name": config.resource_group.name},
        }));
    }
    let rows = [
        ("API endpoint", s.endpoint()),
        ("Region", or_hint(config.region.clone(), "target -r REGION")),
        ("User", claims.user.clone()),
        ("Trusted profile", if claims.profile { claims.iam_id.clone() } else { String::new() }),
        (
            if claims.behind.starts_with("crn-") { "Compute resource" } else { "Behind it" },
            claims.behind.clone(),
        ),
        ("Account", or_hint(named(&config.account), "target -c ACCOUNT")),
        ("Resource group", or_hint(named(&config.resource_group), "target -g GROUP")),
    ];
    crate::output::print(&crate::output::details(&rows))
}
