//! `iam oauth-tokens`, `iam bearer-token`: the session's token, renewed if it is old. It is what was asked for, so it
//! goes to stdout.

use clap::Subcommand;
use serde_json::json;

use crate::failure::Result;
use crate::session::Session;

/// Commands that print the session's token.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the token with its label
    OauthTokens,
    /// Print the bare token
    BearerToken,
}

/// Prints the token.
pub async fn run(s: &mut Session, command: &Command) -> Result<()> {
    s.api().await?;
    let bearer = s.state.config.tokens.access.clone();
    if !s.out.table() {
        return s.out.data(&json!({"iam_token": bearer}));
    }
    match command {
        Command::OauthTokens => s.out.line(&format!("IAM token:  {bearer}")),
        Command::BearerToken => s.out.line(bearer.trim_start_matches("Bearer ")),
    }
}
