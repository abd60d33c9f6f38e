//! `audit`: who did what in the account, newest first, refusals included.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use crate::api::{Api, Call, segment};
use crate::failure::Result;
use crate::output::cell;
use crate::session::Session;

/// The server gives at most so many at once.
const PAGE: usize = 1000;
const EVENTS: &str = "/avouch/v1/audit/events";
/// The transaction is what `iam why` takes.
const COLUMNS: &[&str] =
    &["Time", "Outcome", "Severity", "Action", "Initiator", "Target", "Address", "Transaction"];

/// `audit`, alone the same as `audit list`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Family {
    #[command(flatten)]
    list: List,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Commands of `audit`.
#[derive(Debug, Subcommand)]
enum Command {
    /// List events, newest first
    List(List),
    /// Show the events of a transaction, or one event, whole
    Show {
        /// Transaction id as the list shows it, or an event's own id
        #[arg(value_name = "TRANSACTION_ID|EVENT_ID")]
        id: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Outcome {
    /// What was asked for was done
    Success,
    /// It was refused, or did not work
    Failure,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
        }
    }
}

#[derive(Debug, Args)]
struct List {
    /// At most so many events
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Search expression
    #[arg(long, value_name = "QUERY")]
    q: Option<String>,
    /// Not before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Only this action
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Only success or failure
    #[arg(long, value_enum, ignore_case = true, value_name = "OUTCOME")]
    outcome: Option<Outcome>,
    /// Only events of this IAM id
    #[arg(long, value_name = "IAM_ID")]
    initiator: Option<String>,
    /// Only events on this CRN
    #[arg(long, value_name = "CRN")]
    target: Option<String>,
    /// Only events of this transaction
    #[arg(long, value_name = "ID")]
    transaction: Option<String>,
}

/// Runs `audit`.
pub async fn run(s: &mut Session, family: Family) -> Result<()> {
    match family.command {
        None => list(s, family.list).await,
        Some(Command::List(args)) => list(s, args).await,
        Some(Command::Show { id }) => {
            let api = s.api().await?;
            s.out.data(&show(&api, &id).await?)
        }
    }
}

/// The event with this id; else what the transaction with this id left, as a list if that is several events.
async fn show(api: &Api, id: &str) -> Result<Value> {
    let event = api.send(Call::get(format!("{EVENTS}/{}", segment(id)))).await;
    let unknown = match event {
        Err(e) if e.status() == Some(404) => e,
        other => return Ok(other?.body),
    };
    let call = Call::get(EVENTS).query("correlation_id", id).query("limit", PAGE.to_string());
    let mut events = api.send(call).await?.body["events"].as_array().cloned().unwrap_or_default();
    match events.len() {
        0 => Err(unknown),
        1 => Ok(events.remove(0)),
        _ => Ok(events.into()),
    }
}

async fn list(s: &mut Session, args: List) -> Result<()> {
    let api = s.api().await?;
    s.out.progress("Listing audit events");
    let events = fetch(&api, args).await?;
    s.out.list(&events, "No events found.", COLUMNS, row)
}

async fn fetch(api: &Api, args: List) -> Result<Vec<Value>> {
    let mut events = Vec::new();
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let call = Call::get(EVENTS)
        .query_opt("q", args.q)
        .query_opt("from", args.from)
        .query_opt("to", args.to)
        .query_opt("action", args.action)
        .query_opt("outcome", args.outcome.map(Outcome::as_str))
        .query_opt("initiator_id", args.initiator)
        .query_opt("target_id", args.target)
        .query_opt("correlation_id", args.transaction);
    let mut cursor = None;
    while events.len() < limit {
        let left = (limit - events.len()).min(PAGE);
        let page = api
            .send(call.clone().query("limit", left.to_string()).query_opt("cursor", cursor.as_deref()))
            .await?
            .body;
        events.extend(page["events"].as_array().cloned().unwrap_or_default());
        cursor = Some(cell(&page, "next")).filter(|c| !c.is_empty());
        if cursor.is_none() {
            break;
        }
    }
    events.truncate(limit);
    Ok(events)
}

fn row(event: &Value) -> Vec<String> {
    let first =
        |paths: &[&str]| paths.iter().map(|p| cell(event, p)).find(|v| !v.is_empty()).unwrap_or_default();
    let behind = first(&["initiator.authnName", "initiator.authnId"]);
    let by = first(&["initiator.name", "initiator.id"]);
    let by = if behind.is_empty() || behind == by { by } else { format!("{by} ({behind})") };
    vec![
        cell(event, "eventTime"),
        cell(event, "outcome"),
        cell(event, "severity"),
        cell(event, "action"),
        by,
        first(&["target.name", "target.id"]),
        cell(event, "initiator.host.address"),
        cell(event, "correlationId"),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::output::columns_of;
    use serde_json::json;

    #[test]
    fn an_event_is_one_line() {
        let event = json!({"eventTime": "2026-01-01T00:00:00.00+0000", "outcome": "failure", "severity": "warning",
            "action": "secrets-manager.secret.read",
            "initiator": {"name": "shop", "authnName": "prod:shop:api:api-1", "host": {"address": "10.0.0.1"}},
            "target": {"id": "crn:x", "name": "db"}, "correlationId": "T1"});
        insta::assert_snapshot!(columns_of(COLUMNS, &[row(&event)]), @r"
        Time                         Outcome  Severity  Action                       Initiator                   Target  Address   Transaction
        2026-01-01T00:00:00.00+0000  failure  warning   secrets-manager.secret.read  shop (prod:shop:api:api-1)  db      10.0.0.1  T1
        ");
    }
}
