//! The only SQL of `audit_events`.

use avouch_store::{Row, Tx, Value, params};

use super::Event;
use crate::error::Result;

/// An event as the values of its row: made by who has the event, so that the one thread that writes only writes.
#[derive(Debug)]
pub struct Prepared(Vec<Value>);

/// The row of `event`.
///
/// # Errors
/// Those of [`Event::body`].
pub fn prepare(event: &Event) -> Result<Prepared> {
    Ok(Prepared(
        params![
            event.id.clone(),
            event.account.clone(),
            event.time.millis(),
            event.service().to_owned(),
            event.action.clone(),
            event.outcome().to_owned(),
            event.severity().as_str().to_owned(),
            event.initiator.id.clone(),
            event.initiator.authn_id.clone().unwrap_or_default(),
            event.target.id.clone(),
            event.correlation_id.clone(),
            event.body()?
        ]
        .into(),
    ))
}

/// Writes one event.
///
/// # Errors
/// Those of the store.
pub fn insert(tx: &mut Tx<'_>, event: &Event) -> Result<()> {
    put(tx, &prepare(event)?)
}

/// Writes a prepared event; one that is there already stays, so a commit of unknown outcome can be tried again.
///
/// # Errors
/// Those of the store.
pub fn put(tx: &mut Tx<'_>, Prepared(row): &Prepared) -> Result<()> {
    tx.execute(
        "insert into audit_events (id, account_id, time, service, action, outcome, severity, initiator_id, authn_id, \
         target_id, correlation_id, body) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
         on conflict (id) do nothing",
        row,
    )?;
    Ok(())
}

/// Equality filters of a search; empty fields do not constrain.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// `(column, value)` pairs; columns are chosen by code, never by the caller.
    pub equal: Vec<(&'static str, String)>,
    /// Earliest time, epoch milliseconds.
    pub from: Option<i64>,
    /// Latest time, epoch milliseconds.
    pub to: Option<i64>,
}

/// A stored event: its id, time and body.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Event id, UUID version 7.
    pub id: String,
    /// Epoch milliseconds.
    pub time: i64,
    /// JSON body.
    pub body: String,
}

/// Events of one account, newest first, after the cursor `(time, id)`.
///
/// # Errors
/// Those of the store.
pub fn list(
    tx: &mut Tx<'_>,
    account: &str,
    filter: &Filter,
    after: Option<&(i64, String)>,
    limit: i64,
) -> Result<Vec<Stored>> {
    let mut sql = String::from("select id, time, body from audit_events where account_id = $1");
    let mut values: Vec<Value> = vec![Value::Text(account.to_owned())];
    for (column, value) in &filter.equal {
        values.push(Value::Text(value.clone()));
        sql.push_str(&format!(" and {column} = ${}", values.len()));
    }
    if let Some(from) = filter.from {
        values.push(Value::Int(from));
        sql.push_str(&format!(" and time >= ${}", values.len()));
    }
    if let Some(to) = filter.to {
        values.push(Value::Int(to));
        sql.push_str(&format!(" and time <= ${}", values.len()));
    }
    if let Some((time, id)) = after {
        values.push(Value::Int(*time));
        let t = values.len();
        values.push(Value::Text(id.clone()));
        let i = values.len();
        sql.push_str(&format!(" and (time < ${t} or (time = ${t} and id < ${i}))"));
    }
    values.push(Value::Int(limit));
    sql.push_str(&format!(" order by time desc, id desc limit ${}", values.len()));
    let rows = tx.query(&sql, &values)?;
    rows.iter().map(stored).collect()
}

/// One event of an account by id.
///
/// # Errors
/// Those of the store.
pub fn get(tx: &mut Tx<'_>, account: &str, id: &str) -> Result<Option<Stored>> {
    let row = tx.query_opt(
        "select id, time, body from audit_events where account_id = $1 and id = $2",
        &params![account.to_owned(), id.to_owned()],
    )?;
    row.as_ref().map(stored).transpose()
}

fn stored(row: &Row) -> Result<Stored> {
    Ok(Stored { id: row.get(0)?, time: row.get(1)?, body: row.get(2)? })
}
