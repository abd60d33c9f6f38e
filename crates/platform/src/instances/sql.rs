//! The only SQL of `resource_instances`.

use avouch_gate::{Error, Result};
use avouch_store::{Row, Tx, Value, params};
use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;

use super::Instance;

const COLUMNS: &str = "guid, account_id, name, service, plan_id, region, resource_group_id, state, locked, parameters, \
                       body, created_at, updated_at";

/// Writes a new instance.
///
/// # Errors
/// Those of the store.
pub fn insert(tx: &mut Tx<'_>, i: &Instance) -> Result<()> {
    tx.execute(
        "insert into resource_instances (guid, account_id, name, service, plan_id, region, resource_group_id, state, \
         locked, parameters, body, created_at, updated_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        &params![
            &i.guid,
            i.account.as_str(),
            &i.name,
            &i.service,
            &i.plan_id,
            &i.region,
            &i.resource_group,
            &i.state,
            i.locked,
            i.parameters.to_string(),
            serde_json::to_string(&i.body).map_err(Error::internal)?,
            i.created_at.millis(),
            i.updated_at.millis()
        ],
    )?;
    tx.changed(i.account.as_str(), "instance", &i.guid)?;
    Ok(())
}

/// Writes a changed instance.
///
/// # Errors
/// Those of the store.
pub fn update(tx: &mut Tx<'_>, i: &Instance) -> Result<()> {
    tx.execute(
        "update resource_instances set name = $2, plan_id = $3, state = $4, locked = $5, parameters = $6, body = $7, \
         updated_at = $8 where guid = $1",
        &params![
            &i.guid,
            &i.name,
            &i.plan_id,
            &i.state,
            i.locked,
            i.parameters.to_string(),
            serde_json::to_string(&i.body).map_err(Error::internal)?,
            i.updated_at.millis()
        ],
    )?;
    tx.changed(i.account.as_str(), "instance", &i.guid)?;
    Ok(())
}

/// The instance, whatever its state.
///
/// # Errors
/// Those of the store.
pub fn get(tx: &mut Tx<'_>, guid: &str) -> Result<Option<Instance>> {
    let sql = format!("select {COLUMNS} from resource_instances where guid = $1");
    tx.query_opt(&sql, &params![guid])?.as_ref().map(read).transpose()
}

/// Filters of a list; absent ones do not constrain.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// `(column, value)`; columns are chosen by code.
    pub equal: Vec<(&'static str, String)>,
    /// States; empty: active ones.
    pub states: Vec<String>,
    /// Updated at or after, epoch milliseconds.
    pub updated_from: Option<i64>,
    /// Updated at or before, epoch milliseconds.
    pub updated_to: Option<i64>,
}

/// Instances of an account after the cursor `(created_at, guid)`, oldest first.
///
/// # Errors
/// Those of the store.
pub fn list(
    tx: &mut Tx<'_>,
    account: &AccountId,
    filter: &Filter,
    after: Option<&(i64, String)>,
    limit: i64,
) -> Result<Vec<Instance>> {
    let mut values: Vec<Value> = vec![Value::Text(account.as_str().to_owned())];
    let mut sql = format!("select {COLUMNS} from resource_instances where account_id = $1");
    for (column, value) in &filter.equal {
        values.push(Value::Text(value.clone()));
        sql.push_str(&format!(" and {column} = ${}", values.len()));
    }
    if !filter.states.is_empty() {
        let first = values.len() + 1;
        values.extend(filter.states.iter().map(|s| Value::Text(s.clone())));
        let list: Vec<String> = (first..=values.len()).map(|n| format!("${n}")).collect();
        sql.push_str(&format!(" and state in ({})", list.join(", ")));
    }
    for (bound, op) in [(filter.updated_from, ">="), (filter.updated_to, "<=")] {
        if let Some(at) = bound {
            values.push(Value::Int(at));
            sql.push_str(&format!(" and updated_at {op} ${}", values.len()));
        }
    }
    if let Some((at, guid)) = after {
        values.push(Value::Int(*at));
        let t = values.len();
        values.push(Value::Text(guid.clone()));
        sql.push_str(&format!(
            " and (created_at > ${t} or (created_at = ${t} and guid > ${}))",
            values.len()
        ));
    }
    values.push(Value::Int(limit));
    sql.push_str(&format!(" order by created_at, guid limit ${}", values.len()));
    tx.query(&sql, &values)?.iter().map(read).collect()
}

/// Whether any instance, removed ones aside, is in the group.
///
/// # Errors
/// Those of the store.
pub fn any_in_group(tx: &mut Tx<'_>, account: &AccountId, group: &str) -> Result<bool> {
    let row = tx.query_opt(
        "select guid from resource_instances where account_id = $1 and resource_group_id = $2 and state <> 'removed' limit 1",
        &params![account.as_str(), group],
    )?;
    Ok(row.is_some())
}

fn read(row: &Row) -> Result<Instance> {
    Ok(Instance {
        guid: row.get(0)?,
        account: AccountId::parse(&row.get::<String>(1)?).map_err(Error::internal)?,
        name: row.get(2)?,
        service: row.get(3)?,
        plan_id: row.get(4)?,
        region: row.get(5)?,
        resource_group: row.get(6)?,
        state: row.get(7)?,
        locked: row.get(8)?,
        parameters: serde_json::from_str(&row.get::<String>(9)?).map_err(Error::internal)?,
        body: serde_json::from_str(&row.get::<String>(10)?).map_err(Error::internal)?,
        created_at: Timestamp::from_millis(row.get(11)?),
        updated_at: Timestamp::from_millis(row.get(12)?),
    })
}
