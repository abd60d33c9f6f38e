//! Lines of published walk-throughs that the published command line does not know. Each does what its text means and
//! prints the usual command.

use clap::{Args, Subcommand};

use super::links::{self, CrType, LinkTarget, NewLink};
use super::profiles;
use crate::failure::{Result, usage};
use crate::select::Several;
use crate::session::Session;

/// Commands of walk-throughs.
#[derive(Debug, Subcommand)]
pub enum Command {
    // COMPAT: written in a published walk-through; means a link.
    #[command(hide = true)]
    TrustedProfileComputeResourceAdd(Add),
}

#[derive(Debug, Args)]
pub struct Add {
    #[arg(value_name = "NAME|ID")]
    profile: String,
    #[arg(long, value_name = "CRN")]
    compute_resource: String,
    #[arg(long, value_name = "TYPE")]
    compute_resource_type: String,
    #[arg(long, value_name = "TYPE")]
    component_type: Option<String>,
    #[arg(long, value_name = "NAME")]
    component_name: Option<String>,
    #[arg(long)]
    namespace: Option<String>,
    /// Name of the service account
    #[arg(long)]
    name: Option<String>,
}

/// Runs such a command.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    let Command::TrustedProfileComputeResourceAdd(args) = command;
    let profile = args.profile.clone();
    let (kind, target) = link(args)?;
    let api = s.api().await?;
    s.out.progress(format!("Creating a link of trusted profile {profile}"));
    let found = profiles::find(&api, &profile, Several::unless(s.force)).await?;
    s.out.note(format!("The usual command is\n  {}", canonical(&profile, kind, &target)));
    let link = NewLink { kind, name: None, target, cross_account: false };
    let made = links::create(&api, &found, link).await?;
    links::details(&s.out, &made)
}

fn canonical(profile: &str, kind: CrType, target: &LinkTarget) -> String {
    let mut line = format!(
        "iam trusted-profile-link-create {profile} --cr-type {} --link-crn {}",
        kind.as_str(),
        target.crn
    );
    for (flag, value) in [
        ("--link-namespace", &target.namespace),
        ("--link-name", &target.name),
        ("--link-component-type", &target.component_type),
        ("--link-component-name", &target.component_name),
    ] {
        if let Some(value) = value {
            line.push_str(&format!(" {flag} {value}"));
        }
    }
    line
}

fn link(args: Add) -> Result<(CrType, LinkTarget)> {
    let kind = match args.compute_resource_type.to_lowercase().replace('-', "_").as_str() {
        "code_engine" | "codeengine" | "ce" => CrType::Ce,
        "vpc" | "vsi" | "is" => CrType::Vsi,
        "iks" | "iks_sa" | "kubernetes" => CrType::IksSa,
        "roks" | "roks_sa" | "openshift" => CrType::RoksSa,
        "bms" => CrType::Bms,
        "pvs" => CrType::Pvs,
        _ => return Err(usage("--compute-resource-type: wanted code_engine, vpc, iks or roks.")),
    };
    let mut target = LinkTarget {
        crn: args.compute_resource,
        namespace: args.namespace,
        name: args.name,
        component_type: args.component_type,
        component_name: args.component_name,
    };
    if kind == CrType::Ce {
        project(&mut target);
    }
    Ok((kind, target))
}

/// Splits the CRN of a component into project and component.
fn project(target: &mut LinkTarget) {
    let parts: Vec<String> = target.crn.split(':').map(str::to_owned).collect();
    let [head @ .., _, _, _, _] = parts.as_slice() else { return };
    let found = match (head.len(), parts.as_slice()) {
        // COMPAT: the walk-through's own form: …:REGION:ACCOUNT:project:ID:app:NAME
        (7, [.., region, account, word, id, kind, name]) if word == "project" => {
            let account = account.strip_prefix("a/").unwrap_or(account);
            Some((
                format!("crn:v1:bluemix:public:codeengine:{region}:a/{account}:{id}::"),
                kind.clone(),
                name.clone(),
            ))
        }
        // …:REGION:a/ACCOUNT:ID:app:NAME
        (6, [.., region, account, id, kind, name]) if !kind.is_empty() => Some((
            format!("crn:v1:bluemix:public:codeengine:{region}:{account}:{id}::"),
            kind.clone(),
            name.clone(),
        )),
        _ => None,
    };
    let Some((crn, kind, name)) = found else { return };
    target.crn = crn;
    let kind = match kind.as_str() {
        "app" => "application".to_owned(),
        "fn" => "function".to_owned(),
        _ => kind,
    };
    target.component_type.get_or_insert(kind);
    target.component_name.get_or_insert(name);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn add(crn: &str, kind: &str) -> Add {
        Add {
            profile: "p".into(),
            compute_resource: crn.into(),
            compute_resource_type: kind.into(),
            component_type: None,
            component_name: None,
            namespace: None,
            name: None,
        }
    }

    #[test]
    fn the_walk_throughs_crn_becomes_project_and_component() {
        let (kind, target) =
            link(add("crn:v1:bluemix:public:codeengine:us-south:ACC:project:PID:app:my-app", "code_engine"))
                .unwrap();
        assert_eq!(kind, CrType::Ce);
        assert_eq!(
            canonical("p", kind, &target),
            "iam trusted-profile-link-create p --cr-type CE \
             --link-crn crn:v1:bluemix:public:codeengine:us-south:a/ACC:PID:: \
             --link-component-type application --link-component-name my-app"
        );
    }

    #[test]
    fn a_component_crn_is_split_and_a_project_crn_is_kept() {
        let (_, target) =
            link(add("crn:v1:bluemix:public:codeengine:us-south:a/ACC:PID:job:nightly", "ce")).unwrap();
        assert_eq!(target.crn, "crn:v1:bluemix:public:codeengine:us-south:a/ACC:PID::");
        assert_eq!(target.component_type.as_deref(), Some("job"));
        let project = "crn:v1:bluemix:public:codeengine:us-south:a/ACC:PID::";
        let (_, target) = link(add(project, "ce")).unwrap();
        assert_eq!((target.crn.as_str(), target.component_type), (project, None));
    }

    #[test]
    fn types_have_the_names_of_people() {
        for (word, kind) in [("vpc", CrType::Vsi), ("iks", CrType::IksSa), ("ROKS", CrType::RoksSa)] {
            assert_eq!(link(add("crn:x", word)).unwrap().0, kind);
        }
        assert!(link(add("crn:x", "toaster")).is_err());
    }
}
