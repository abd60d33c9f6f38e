//! The list of secrets: metadata only, of groups that the caller may list.

use avouch_gate::{Ctx, Error, Request, Response, Result};
use serde_json::Value;

use super::{Counted, count, render, sql};
use crate::access::scope;
use crate::paging::page;

const SORTS: &[&str] =
    &["id", "created_at", "updated_at", "retrieved_at", "expiration_date", "secret_type", "name"];

pub async fn list(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    ctx.note(&scope.target(None).named("*"));
    let csv = |name: &'static str| -> Result<Option<Vec<String>>> {
        let list = request.query(name)?;
        Ok(list.map(|t| t.split(',').map(|v| v.trim().to_owned()).filter(|v| !v.is_empty()).collect()))
    };
    let groups = csv("groups")?;
    let types = csv("secret_types")?;
    let labels = csv("match_all_labels")?;
    let search = request.query("search")?.map(|s| s.to_lowercase());
    let (sort, descending) = match request.query("sort")? {
        None => ("created_at".to_owned(), false),
        Some(s) => match s.strip_prefix('-') {
            Some(field) => (field.to_owned(), true),
            None => (s, false),
        },
    };
    if !SORTS.contains(&sort.as_str()) {
        return Err(Error::invalid("sort", "The list cannot be sorted by that field."));
    }
    let instance = scope.id().to_owned();
    let rights = scope.clone();
    let rows: Vec<Counted> = ctx
        .read(move |tx| {
            let mut out = Vec::new();
            for secret in sql::list(tx, &instance)? {
                let asked = groups.as_ref().is_none_or(|g| g.contains(&secret.group))
                    && types.as_ref().is_none_or(|t| t.iter().any(|t| t == secret.kind.as_str()))
                    && labels.as_ref().is_none_or(|l| l.iter().all(|l| secret.body.labels.contains(l)));
                let found = search.as_ref().is_none_or(|s| {
                    let has = |text: &str| text.to_lowercase().contains(s.as_str());
                    has(&secret.id)
                        || has(&secret.name)
                        || has(secret.kind.as_str())
                        || secret.body.description.as_deref().is_some_and(has)
                        || secret.body.labels.iter().any(|l| has(l))
                });
                if asked && found && rights.permits("secrets-manager.secrets.list", &secret.group) {
                    out.push(count(tx, &instance, secret)?);
                }
            }
            Ok(out)
        })
        .await?;
    let now = ctx.now();
    // Shown times have seconds only, so the order by creation comes from the store.
    let mut keyed: Vec<(String, usize, Value)> = rows
        .iter()
        .enumerate()
        .map(|(n, c)| {
            let shown = render(&scope, c, now);
            let key = match sort.as_str() {
                "created_at" => format!("{:020}", c.secret.created_at.millis()),
                "updated_at" => format!("{:020}", c.secret.updated_at.millis()),
                field => shown.get(field).and_then(Value::as_str).unwrap_or_default().to_owned(),
            };
            (key, n, Value::Object(shown))
        })
        .collect();
    keyed.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    if descending {
        keyed.reverse();
    }
    let rows = keyed.into_iter().map(|(_, _, row)| row).collect();
    Response::json(200, &page(&request, "secrets", rows, (200, 1000))?)
}
