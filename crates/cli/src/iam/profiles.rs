//! `iam trusted-profile…`: profiles, and acting as one.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::put;
use crate::api::{Api, Call, segment};
use crate::failure::{Result, failed, usage};
use crate::input::confirm;
use crate::output::cell;
use crate::select::{self, Several};
use crate::session::{Session, tokens_of};

const ASSUME: &str = "urn:ibm:params:oauth:grant-type:assume";

/// Commands on profiles.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List trusted profiles
    #[command(visible_alias = "tps")]
    TrustedProfiles(List),
    /// Show a trusted profile
    #[command(visible_alias = "tp")]
    TrustedProfile {
        #[arg(value_name = "NAME|ID")]
        profile: String,
        /// Print the id only
        #[arg(long)]
        id: bool,
    },
    /// Create a trusted profile
    TrustedProfileCreate {
        name: String,
        /// Text about it
        #[arg(short, long)]
        description: Option<String>,
        /// Contact address
        #[arg(short, long)]
        email: Option<String>,
    },
    /// Change a trusted profile; an empty text clears
    TrustedProfileUpdate(Update),
    /// Delete a trusted profile with its links, rules and policies
    TrustedProfileDelete {
        #[arg(value_name = "NAME|ID")]
        profile: String,
    },
    /// Act as a trusted profile; without a name, show as whom the session acts
    TrustedProfileAssume {
        #[arg(value_name = "NAME|ID")]
        profile: Option<String>,
    },
    /// Act as before again
    TrustedProfileLeave,
}

#[derive(Debug, Args)]
pub struct List {
    /// Only those that the session may act as
    #[arg(long)]
    can_assume: bool,
    /// Print ids only
    #[arg(long)]
    id: bool,
    /// Name contains
    #[arg(short, long, value_name = "TEXT")]
    name: Option<String>,
    /// Description contains
    #[arg(short, long, value_name = "TEXT")]
    description: Option<String>,
    /// Only those that trust this compute resource
    #[arg(long, value_name = "CRN", conflicts_with = "can_assume")]
    linked_to: Option<String>,
}

#[derive(Debug, Args)]
pub struct Update {
    #[arg(value_name = "NAME|ID")]
    profile: String,
    /// New name
    #[arg(short, long)]
    name: Option<String>,
    /// Text about it
    #[arg(short, long)]
    description: Option<String>,
    /// E-mail address to write to about the profile
    #[arg(short, long)]
    email: Option<String>,
}

/// Runs a command on profiles.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::TrustedProfiles(args) => list(s, args).await,
        Command::TrustedProfile { profile, id } => {
            let api = s.api().await?;
            s.out.progress(format!("Getting trusted profile {profile}"));
            let found = find(&api, &profile, Several::unless(s.force)).await?;
            if id && s.out.table() {
                return s.out.line(&cell(&found, "id"));
            }
            details(s, &found)
        }
        Command::TrustedProfileCreate { name, description, email } => {
            let api = s.api().await?;
            s.out.progress(format!("Creating trusted profile {name}"));
            let mut body = Map::new();
            body.insert("name".into(), json!(name));
            body.insert("account_id".into(), json!(api.account()?));
            put(&mut body, "description", description);
            put(&mut body, "email", email);
            let made = api.send(Call::post("/v1/profiles").json(body.into())).await?.body;
            details(s, &made)
        }
        Command::TrustedProfileUpdate(args) => update(s, args).await,
        Command::TrustedProfileDelete { profile } => {
            confirm(s.force, &format!("Really delete trusted profile '{profile}'?"))?;
            let api = s.api().await?;
            s.out.progress(format!("Deleting trusted profile {profile}"));
            let found = find(&api, &profile, Several::unless(s.force)).await?;
            api.send(Call::delete(path(&found))).await?;
            s.out.ok();
            Ok(())
        }
        Command::TrustedProfileAssume { profile: None } => current(s).await,
        Command::TrustedProfileAssume { profile: Some(profile) } => assume(s, &profile).await,
        Command::TrustedProfileLeave => leave(s),
    }
}

/// A profile by id, IAM id, CRN or name.
pub async fn find(api: &Api, wanted: &str, several: Several) -> Result<Value> {
    let id = select::id_of_crn(wanted);
    let id = id.strip_prefix("iam-").unwrap_or(id);
    if select::prefixed(id, "Profile-") {
        let found = api.send(Call::get(format!("/v1/profiles/{}", segment(id)))).await;
        return match found {
            Err(e) if e.status() == Some(404) => Err(select::not_found(api, "trusted profile", wanted)),
            other => Ok(other?.body),
        };
    }
    let all = api.list(profiles(api)?.query("name", wanted), "profiles").await?;
    select::one(api, "trusted profile", wanted, select::named(&all, "name", wanted, false), several)
}

/// Path of a profile.
pub fn path(profile: &Value) -> String {
    format!("/v1/profiles/{}", segment(&cell(profile, "id")))
}

fn profiles(api: &Api) -> Result<Call> {
    Ok(Call::get("/v1/profiles").query("account_id", api.account()?).query("pagesize", "100"))
}

async fn list(s: &mut Session, args: List) -> Result<()> {
    let api = s.api().await?;
    s.out.progress("Listing trusted profiles");
    if let Some(crn) = &args.linked_to {
        let answer = api.send(Call::get("/avouch/v1/trust").query("crn", crn.as_str())).await?.body;
        return trusting(s, &answer);
    }
    let all = if args.can_assume {
        let token = s.state.config.tokens.access.trim_start_matches("Bearer ").to_owned();
        let answer = api.form("/identity/profiles", &[("access_token", token)]).await?;
        answer["profiles"].as_array().cloned().unwrap_or_default()
    } else {
        api.list(profiles(&api)?, "profiles").await?
    };
    let holds = |v: &Value, key: &str, part: &Option<String>| {
        part.as_ref().is_none_or(|p| v[key].as_str().unwrap_or_default().contains(p.as_str()))
    };
    let all: Vec<Value> = all
        .into_iter()
        .filter(|p| holds(p, "name", &args.name) && holds(p, "description", &args.description))
        .collect();
    if args.id && s.out.table() {
        return all.iter().try_for_each(|p| s.out.line(&cell(p, "id")));
    }
    s.out.list(&all, "No trusted profiles found.", &["ID", "Name", "Description"], |p| {
        ["id", "name", "description"].map(|k| cell(p, k)).to_vec()
    })
}

/// Profiles that a compute resource may become, and by what.
fn trusting(s: &Session, answer: &Value) -> Result<()> {
    let all = answer["trust"].as_array().cloned().unwrap_or_default();
    let columns = ["ID", "Name", "By", "Trusts"];
    s.out.list(&all, "No trusted profile trusts this compute resource.", &columns, |t| {
        let name = ["name", "id"].iter().map(|k| cell(t, k)).find(|v| !v.is_empty()).unwrap_or_default();
        let by = format!("{} {name}", cell(t, "kind").replace('_', " "));
        vec![cell(t, "profile_id"), cell(t, "profile_name"), by, cell(t, "trusts")]
    })
}

async fn update(s: &mut Session, args: Update) -> Result<()> {
    if args.name.is_none() && args.description.is_none() && args.email.is_none() {
        return Err(usage("Nothing to change: give --name, --description or --email."));
    }
    let api = s.api().await?;
    s.out.progress(format!("Updating trusted profile {}", args.profile));
    let found = find(&api, &args.profile, Several::unless(s.force)).await?;
    let mut body = Map::new();
    put(&mut body, "name", args.name);
    put(&mut body, "description", args.description);
    put(&mut body, "email", args.email);
    let changed =
        api.send(Call::put(path(&found)).if_match(&cell(&found, "entity_tag")).json(body.into())).await?.body;
    details(s, &changed)
}

fn details(s: &Session, p: &Value) -> Result<()> {
    let rows = [
        ("ID", cell(p, "id")),
        ("Name", cell(p, "name")),
        ("IAM ID", cell(p, "iam_id")),
        ("CRN", cell(p, "crn")),
        ("Description", cell(p, "description")),
        ("Email", cell(p, "email")),
        ("Account", cell(p, "account_id")),
        ("Version", cell(p, "entity_tag")),
        ("Created", cell(p, "created_at")),
        ("Last updated", cell(p, "modified_at")),
    ];
    s.out.object(p, &rows)
}

async fn current(s: &mut Session) -> Result<()> {
    let api = s.api().await?;
    let claims = api.claims;
    let shown =
        json!({"iam_id": claims.iam_id, "account": claims.account, "trusted_profile": claims.profile});
    if !s.out.table() {
        return s.out.data(&shown);
    }
    if !claims.profile {
        s.out.note("The session does not act as a trusted profile.");
        return Ok(());
    }
    s.out.object(
        &shown,
        &[("Trusted profile", claims.user), ("IAM ID", claims.iam_id), ("Behind it", claims.behind)],
    )
}

async fn assume(s: &mut Session, profile: &str) -> Result<()> {
    let api = s.api().await?;
    s.out.progress(format!("Assuming trusted profile {profile}"));
    let _turn = s.state.turn()?;
    s.state.read_again()?;
    if s.state.config.original.is_some() {
        return Err(failed(
            "The session acts as a trusted profile already. Use 'iam trusted-profile-leave' first.",
        ));
    }
    let token = s.state.config.tokens.access.trim_start_matches("Bearer ").to_owned();
    let field = crate::core::login::profile_field(profile);
    let mut form =
        vec![("grant_type", ASSUME.to_owned()), ("access_token", token), (field, profile.to_owned())];
    if field == "profile_name" {
        form.push(("account", api.account()?.to_owned()));
    }
    let tokens = tokens_of(&api.token(&form).await?)?;
    let before = std::mem::replace(&mut s.state.config.tokens, tokens);
    s.state.config.original = Some(before);
    s.state.save_in_turn()?;
    s.out.user = s.claims().user;
    s.out.ok();
    crate::core::target::show(s)
}

fn leave(s: &mut Session) -> Result<()> {
    let _turn = s.state.turn()?;
    s.state.read_again()?;
    let before = s.state.config.original.take();
    s.state.config.tokens = before.ok_or_else(|| failed("The session does not act as a trusted profile."))?;
    s.state.save_in_turn()?;
    s.out.user = s.claims().user;
    s.out.ok();
    crate::core::target::show(s)
}
