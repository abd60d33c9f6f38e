//! `iam why`: the reasons of a decision, as a tree. Asks only; nothing is issued and nothing is changed.

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::profiles;
use crate::api::Call;
use crate::failure::{Result, usage};
use crate::input::word;
use crate::output::{cell, details, print, show};
use crate::select::Several;
use crate::session::Session;

/// Arguments of `iam why`.
#[derive(Debug, ClapArgs)]
#[command(group(clap::ArgGroup::new("question").required(true).args(["id", "transaction", "profile", "iam_id"])))]
pub struct Args {
    /// Transaction id of an answer
    #[arg(value_name = "TRANSACTION_ID")]
    id: Option<String>,
    /// The same
    #[arg(long, value_name = "ID")]
    transaction: Option<String>,
    /// Would this trusted profile be given to the compute resource with --cr-token?
    #[arg(long, value_name = "NAME|ID", requires = "cr_token")]
    profile: Option<String>,
    /// Compute resource token or @file
    #[arg(long, value_name = "TOKEN|@FILE", requires = "profile")]
    cr_token: Option<String>,
    /// May this subject do --action on --resource?
    #[arg(long, value_name = "IAM_ID", requires = "action", requires = "resource")]
    iam_id: Option<String>,
    /// Action, such as secrets-manager.secret.read
    #[arg(long, requires = "iam_id")]
    action: Option<String>,
    /// CRN of the resource
    #[arg(long, value_name = "CRN", requires = "iam_id")]
    resource: Option<String>,
    /// Account that the subject logs in to, if it is another one
    #[arg(long, value_name = "ACCOUNT_ID", requires = "iam_id")]
    home_account: Option<String>,
    /// Clock for expiry and time conditions (RFC 3339)
    #[arg(long, value_name = "TIME", conflicts_with_all = ["id", "transaction"])]
    at: Option<String>,
}

/// Runs `iam why`.
pub async fn run(s: &mut Session, args: Args) -> Result<()> {
    let api = s.api().await?;
    s.out.progress("Explaining");
    let (kind, mut question) = match (args.id.or(args.transaction), args.profile, args.iam_id) {
        (Some(id), _, _) => ("transaction_id", json!(id)),
        (_, Some(profile), _) => {
            let found = profiles::find(&api, &profile, Several::unless(s.force)).await?;
            let token = word(args.cr_token.as_deref().unwrap_or_default())?;
            ("trust", json!({"profile_id": found["id"], "cr_token": token}))
        }
        (_, _, Some(iam_id)) => {
            let mut asked =
                json!({"iam_id": iam_id, "action": args.action, "resource": {"crn": args.resource}});
            if let Some(home) = args.home_account {
                asked["account_id"] = json!(home);
            }
            ("access", asked)
        }
        _ => {
            return Err(usage(
                "Give a transaction id, --profile with --cr-token, or --iam-id with --action and --resource.",
            ));
        }
    };
    if let (Some(at), Some(fields)) = (args.at, question.as_object_mut()) {
        fields.insert("at".into(), json!(at));
    }
    let answer = api.send(Call::post("/avouch/v1/explain").json(json!({kind: question}))).await?.body;
    if !s.out.table() {
        return s.out.data(&answer);
    }
    s.out.ok();
    let now_differs = if answer["now_differs"] == true {
        "yes: rules or policies have changed since".into()
    } else {
        String::new()
    };
    let rows = [
        ("Decision", cell(&answer, "decision")),
        ("Stage", cell(&answer, "stage")),
        ("Summary", cell(&answer, "summary")),
        ("At", cell(&answer, "at")),
        ("Different now", now_differs),
    ];
    let mut text = details(&rows);
    text.push_str(&format!("\n{LEGEND}\n{}", tree(&answer["tree"])));
    print(&text)
}

/// How a tree of reasons is read.
pub const LEGEND: &str = "Reasons (+ held, - did not hold; what stands below a line decided it):";

/// A tree of reasons, a line each: `+` held, `-` did not hold.
pub fn tree(root: &Value) -> String {
    let mut text = String::new();
    node(root, 0, &mut text);
    text
}

fn node(node: &Value, depth: usize, out: &mut String) {
    if !node.is_object() || depth > 32 {
        return;
    }
    let mark = if node["result"] == true { '+' } else { '-' };
    let kind = cell(node, "kind");
    let mut line = format!("{}{mark} {kind}", "  ".repeat(depth));
    let told = |v: &String| !v.is_empty() && *v != kind;
    let names: Vec<String> = ["name", "id"].iter().map(|k| cell(node, k)).filter(told).collect();
    match names.as_slice() {
        [name, id] => line.push_str(&format!(" '{name}' ({id})")),
        [one] => line.push_str(&format!(" '{one}'")),
        _ => {}
    }
    let claim = cell(node, "claim");
    if !claim.is_empty() {
        line.push_str(&format!(": {claim}"));
        let operator = cell(node, "operator");
        let wanted = show(&node["wanted"]);
        for part in [&operator, &wanted].into_iter().filter(|p| !p.is_empty()) {
            line.push_str(&format!(" {part}"));
        }
        let found = if node["found"].is_null() { "nothing".to_owned() } else { show(&node["found"]) };
        line.push_str(&format!(", found {found}"));
    }
    let detail = cell(node, "detail");
    if !detail.is_empty() {
        line.push_str(&format!(": {detail}"));
    }
    out.push_str(&crate::output::printable(&line));
    out.push('\n');
    for child in node["children"].as_array().into_iter().flatten() {
        self::node(child, depth + 1, out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_tree_shows_what_was_wanted_and_found() {
        let node = json!({"kind": "profile", "name": "shop", "id": "Profile-1", "result": false, "children": [
            {"kind": "link", "id": "Link-1", "result": false, "children": [
                {"kind": "condition", "claim": "namespace", "operator": "EQUALS", "wanted": "shop", "found": "other",
                    "result": false}]},
            {"kind": "signature", "name": "signature", "result": true},
            {"kind": "rule", "name": "all", "result": false, "children": [
                {"kind": "condition", "claim": "pod", "operator": "CONTAINS", "wanted": "x", "result": false,
                    "detail": "the claim is missing"}]}]});
        insta::assert_snapshot!(tree(&node), @r"
        - profile 'shop' (Profile-1)
          - link 'Link-1'
            - condition: namespace EQUALS shop, found other
          + signature
          - rule 'all'
            - condition: pod CONTAINS x, found nothing: the claim is missing
        ");
    }
}
