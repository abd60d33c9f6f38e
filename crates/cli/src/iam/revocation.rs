//! `iam tokens-revoke`: after a leak, tokens of an identity end before their hour is over.

use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;

use super::{profiles, service_ids};
use crate::api::Call;
use crate::core::account;
use crate::failure::Result;
use crate::input::confirm;
use crate::output::cell;
use crate::select::Several;
use crate::session::Session;

/// Commands that end tokens.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// End all tokens and sessions of an identity at once; its API keys stay
    TokensRevoke(Args),
}

#[derive(Debug, ClapArgs)]
#[command(group(clap::ArgGroup::new("whose").required(true).args(["user", "service_id", "trusted_profile", "iam_id"])))]
pub struct Args {
    /// User: e-mail address or IAM id
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Service ID: name or id
    #[arg(long, value_name = "NAME|ID")]
    service_id: Option<String>,
    /// Trusted profile: name or id
    #[arg(long, value_name = "NAME|ID")]
    trusted_profile: Option<String>,
    /// Any identity, also one that is deleted
    #[arg(long, value_name = "IAM_ID")]
    iam_id: Option<String>,
}

/// Ends the tokens.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    let Command::TokensRevoke(args) = command;
    let api = s.api().await?;
    let several = Several::unless(s.force);
    let iam_id = match (&args.user, &args.service_id, &args.trusted_profile) {
        (Some(user), _, _) => account::user_iam_id(&api, user).await?,
        (_, Some(name), _) => cell(&service_ids::find(&api, name, several).await?, "iam_id"),
        (_, _, Some(name)) => cell(&profiles::find(&api, name, several).await?, "iam_id"),
        _ => args.iam_id.unwrap_or_default(),
    };
    confirm(s.force, &format!("Really end all tokens and sessions of '{iam_id}'?"))?;
    s.out.progress(format!("Revoking the tokens of {iam_id}"));
    let done = api.send(Call::post("/avouch/v1/revocations").json(json!({"iam_id": iam_id}))).await?.body;
    let rows = [("IAM ID", cell(&done, "iam_id")), ("Issued before", cell(&done, "issued_before"))];
    s.out.object(&done, &rows)?;
    s.out.note(
        "API keys were not touched: whoever has one takes new tokens. Disable or delete a key that leaked.",
    );
    Ok(())
}
