//! `iam trusted-profile-identity…`: who, holding a token already, may become a profile.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::{profiles, put};
use crate::api::{Api, Call, segment};
use crate::failure::Result;
use crate::input::confirm;
use crate::output::cell;
use crate::select::{self, Several};
use crate::session::Session;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
enum IdType {
    User,
    #[value(name = "SERVICEID")]
    ServiceId,
    Crn,
}

impl IdType {
    fn as_str(self) -> &'static str {
        match self {
            IdType::User => "user",
            IdType::ServiceId => "serviceid",
            IdType::Crn => "crn",
        }
    }
}

/// Commands on profile identities.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the identities that may become a trusted profile
    TrustedProfileIdentities {
        #[arg(value_name = "NAME|ID")]
        profile: String,
    },
    /// Show an identity of a trusted profile
    TrustedProfileIdentity(One),
    /// Let an identity become a trusted profile
    TrustedProfileIdentityCreate(Create),
    /// Let an identity become a trusted profile no longer
    TrustedProfileIdentityDelete(One),
}

#[derive(Debug, Args)]
pub struct One {
    #[arg(value_name = "NAME|ID")]
    profile: String,
    #[arg(value_name = "IDENTITY")]
    identity: String,
    /// What kind of identity it is
    #[arg(long, value_enum, ignore_case = true)]
    id_type: Option<IdType>,
}

#[derive(Debug, Args)]
pub struct Create {
    #[arg(value_name = "NAME|ID")]
    profile: String,
    /// IAM id of a user, id of a service ID, or CRN of a service instance
    #[arg(long)]
    id: String,
    /// What kind of identity it is
    #[arg(long, value_enum, ignore_case = true)]
    id_type: IdType,
    /// Accounts that the user may come from
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    accounts: Vec<String>,
    /// Text about it
    #[arg(long)]
    description: Option<String>,
}

/// Runs a command on profile identities.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::TrustedProfileIdentities { profile } => {
            let api = s.api().await?;
            s.out.progress(format!("Listing identities of trusted profile {profile}"));
            let found = profiles::find(&api, &profile, Several::unless(s.force)).await?;
            let all = identities(&api, &found).await?;
            s.out.list(&all, "No identities found.", &["Identifier", "Type", "IAM ID", "Description"], |i| {
                ["identifier", "type", "iam_id", "description"].map(|k| cell(i, k)).to_vec()
            })
        }
        Command::TrustedProfileIdentity(one) => {
            let api = s.api().await?;
            s.out.progress(format!("Getting identity {} of trusted profile {}", one.identity, one.profile));
            let found = profiles::find(&api, &one.profile, Several::unless(s.force)).await?;
            let identity = find(&api, &found, &one, Several::unless(s.force)).await?;
            show(s, &identity)
        }
        Command::TrustedProfileIdentityCreate(args) => {
            let api = s.api().await?;
            s.out.progress(format!("Adding identity {} to trusted profile {}", args.id, args.profile));
            let found = profiles::find(&api, &args.profile, Several::unless(s.force)).await?;
            let mut body = Map::new();
            body.insert("identifier".into(), json!(args.id));
            body.insert("type".into(), json!(args.id_type.as_str()));
            put(&mut body, "description", args.description);
            if !args.accounts.is_empty() {
                body.insert("accounts".into(), json!(args.accounts));
            }
            let path = format!("{}/identities/{}", profiles::path(&found), args.id_type.as_str());
            let made = api.send(Call::post(path).json(body.into())).await?.body;
            show(s, &made)
        }
        Command::TrustedProfileIdentityDelete(one) => {
            confirm(s.force, &format!("Really delete identity '{}'?", one.identity))?;
            let api = s.api().await?;
            s.out
                .progress(format!("Removing identity {} from trusted profile {}", one.identity, one.profile));
            let found = profiles::find(&api, &one.profile, Several::unless(s.force)).await?;
            let identity = find(&api, &found, &one, Several::unless(s.force)).await?;
            let path = format!(
                "{}/identities/{}/{}",
                profiles::path(&found),
                segment(&cell(&identity, "type")),
                segment(&cell(&identity, "identifier"))
            );
            api.send(Call::delete(path)).await?;
            s.out.ok();
            Ok(())
        }
    }
}

fn show(s: &Session, identity: &Value) -> Result<()> {
    let rows = [
        ("Identifier", cell(identity, "identifier")),
        ("Type", cell(identity, "type")),
        ("IAM ID", cell(identity, "iam_id")),
        ("Accounts", cell(identity, "accounts")),
        ("Description", cell(identity, "description")),
    ];
    s.out.object(identity, &rows)
}

async fn identities(api: &Api, profile: &Value) -> Result<Vec<Value>> {
    api.list(Call::get(format!("{}/identities", profiles::path(profile))), "identities").await
}

async fn find(api: &Api, profile: &Value, one: &One, several: Several) -> Result<Value> {
    let all = identities(api, profile).await?;
    let wanted = one.identity.as_str();
    let fits = |i: &&Value| {
        (i["identifier"] == wanted || i["iam_id"] == wanted)
            && one
                .id_type
                .is_none_or(|t| i["type"].as_str().is_some_and(|f| f.eq_ignore_ascii_case(t.as_str())))
    };
    select::one(api, "identity", wanted, all.iter().filter(fits).cloned().collect(), several)
}
