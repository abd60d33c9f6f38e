//! `iam access-policies`, `iam account-policies`: all policies of the account.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::policies;
use crate::api::Call;
use crate::failure::Result;
use crate::output::cell;
use crate::session::Session;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum SubjectType {
    User,
    ServiceId,
    AccessGroup,
    TrustedProfile,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PolicyType {
    Access,
    Auth,
}

/// Commands on all policies.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the access policies of the account
    AccessPolicies(Access),
    /// List all policies of the account
    AccountPolicies {
        /// Only policies of this kind
        #[arg(short = 't', long = "type", value_enum, ignore_case = true)]
        kind: Option<PolicyType>,
    },
}

#[derive(Debug, Args)]
pub struct Access {
    /// Only those of this kind of subject
    #[arg(short = 't', long = "type", value_enum, ignore_case = true)]
    kind: Option<SubjectType>,
    /// Field to sort by, '-' in front for descending
    #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
    sort_by: Option<String>,
}

/// Runs a command on all policies.
pub async fn run(s: &mut Session, command: Command) -> Result<()> {
    let api = s.api().await?;
    s.out.progress("Listing policies of the account");
    let call = Call::get("/v2/policies").query("account_id", api.account()?).query("format", "display");
    let (call, kind) = match command {
        Command::AccessPolicies(args) => {
            (call.query("type", "access").query_opt("sort", args.sort_by), args.kind)
        }
        Command::AccountPolicies { kind } => {
            let kind = kind.map(|k| if k == PolicyType::Access { "access" } else { "authorization" });
            (call.query_opt("type", kind), None)
        }
    };
    let all: Vec<Value> =
        api.list(call, "policies").await?.into_iter().filter(|p| kind.is_none_or(|k| is_of(p, k))).collect();
    s.out.list(&all, "No policies found.", &["Policy ID", "Type", "Subject", "Roles", "Resources"], |p| {
        vec![
            cell(p, "id"),
            cell(p, "type"),
            policies::subject_text(p),
            policies::roles(p),
            policies::target(p),
        ]
    })
}

fn is_of(policy: &Value, kind: SubjectType) -> bool {
    let subject = policies::subject_text(policy);
    let is = |prefix: &str| subject.starts_with(prefix);
    match kind {
        SubjectType::AccessGroup => is("access_group_id="),
        SubjectType::TrustedProfile => is("iam_id=iam-Profile-"),
        SubjectType::ServiceId => is("iam_id=iam-ServiceId-"),
        SubjectType::User => is("iam_id=") && !is("iam_id=iam-Profile-") && !is("iam_id=iam-ServiceId-"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn subjects_are_told_apart() {
        let of = |id: &str| json!({"subject": {"attributes": [{"key": "iam_id", "value": id}]}});
        assert!(is_of(&of("iam-Profile-1"), SubjectType::TrustedProfile));
        assert!(
            is_of(&of("IBMid-1"), SubjectType::User) && !is_of(&of("iam-ServiceId-1"), SubjectType::User)
        );
        let group =
            json!({"subject": {"attributes": [{"key": "access_group_id", "value": "AccessGroupId-1"}]}});
        assert!(is_of(&group, SubjectType::AccessGroup) && !is_of(&group, SubjectType::User));
    }
}
