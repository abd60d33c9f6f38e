//! The only SQL of `registrations`, `registration_issuers` and `registration_keys`.

use avouch_gate::{Error, Result};
use avouch_policy::rules::CrType;
use avouch_store::{Row, Tx, params};
use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;

use super::{Kind, Registration};
use crate::keys::merge::{Key, KeyState};

const COLUMNS: &str = "id, account_id, kind, name, cr_type, region, resource_group_id, state, settings, etag, version, \
                       last_refresh, last_error, next_refresh, created_at, modified_at";

/// Writes a new registration with its issuers.
///
/// # Errors
/// `Conflict` when the name is taken.
pub fn insert(tx: &mut Tx<'_>, r: &Registration) -> Result<()> {
    tx.execute(
        &format!(
            "insert into registrations ({COLUMNS}, remote) values \
             ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)"
        ),
        &params![
            &r.id,
            r.account.as_str(),
            r.kind.as_str(),
            &r.name,
            r.cr_type.as_str(),
            &r.region,
            &r.resource_group,
            state(r.active),
            serde_json::to_string(&r.settings).map_err(Error::internal)?,
            &r.etag,
            r.version,
            r.last_refresh.map(Timestamp::millis),
            r.last_error.clone(),
            r.next_refresh.map(Timestamp::millis),
            r.created_at.millis(),
            r.modified_at.millis(),
            r.settings.remote()
        ],
    )
    .map_err(|e| taken(e, r.kind))?;
    put_issuers(tx, r)?;
    changed(tx, r)
}

/// Writes a changed registration.
///
/// # Errors
/// `Conflict` when the name is taken.
pub fn update(tx: &mut Tx<'_>, r: &Registration) -> Result<()> {
    tx.execute(
        "update registrations set name = $2, cr_type = $3, region = $4, resource_group_id = $5, state = $6, \
         settings = $7, etag = $8, version = $9, last_refresh = $10, last_error = $11, next_refresh = $12, \
         modified_at = $13, remote = $14 where id = $1",
        &params![
            &r.id,
            &r.name,
            r.cr_type.as_str(),
            &r.region,
            &r.resource_group,
            state(r.active),
            serde_json::to_string(&r.settings).map_err(Error::internal)?,
            &r.etag,
            r.version,
            r.last_refresh.map(Timestamp::millis),
            r.last_error.clone(),
            r.next_refresh.map(Timestamp::millis),
            r.modified_at.millis(),
            r.settings.remote()
        ],
    )
    .map_err(|e| taken(e, r.kind))?;
    tx.execute("delete from registration_issuers where registration_id = $1", &params![&r.id])?;
    put_issuers(tx, r)?;
    changed(tx, r)
}

/// Notes how a fetch went; nothing that counts for verification.
///
/// # Errors
/// Those of the store.
pub fn note_refresh(
    tx: &mut Tx<'_>,
    id: &str,
    last_refresh: Option<Timestamp>,
    last_error: Option<&str>,
    next_refresh: Option<Timestamp>,
) -> Result<()> {
    tx.execute(
        "update registrations set last_refresh = coalesce($2, last_refresh), last_error = $3, next_refresh = $4 \
         where id = $1",
        &params![id, last_refresh.map(Timestamp::millis), last_error, next_refresh.map(Timestamp::millis)],
    )?;
    Ok(())
}

/// Raises what replicas compare: another set of keys counts.
///
/// # Errors
/// Those of the store.
pub fn raise(tx: &mut Tx<'_>, r: &Registration) -> Result<()> {
    tx.execute("update registrations set version = version + 1 where id = $1", &params![&r.id])?;
    changed(tx, r)
}

/// Removes a registration with its keys.
///
/// # Errors
/// Those of the store.
pub fn delete(tx: &mut Tx<'_>, r: &Registration) -> Result<()> {
    tx.execute("delete from registration_keys where registration_id = $1", &params![&r.id])?;
    tx.execute("delete from registration_issuers where registration_id = $1", &params![&r.id])?;
    tx.execute("delete from registrations where id = $1", &params![&r.id])?;
    changed(tx, r)
}

/// The registration of this account, by id.
///
/// # Errors
/// Those of the store.
pub fn get(tx: &mut Tx<'_>, account: &AccountId, kind: Kind, id: &str) -> Result<Option<Registration>> {
    let sql = format!("select {COLUMNS} from registrations where id = $1 and account_id = $2 and kind = $3");
    tx.query_opt(&sql, &params![id, account.as_str(), kind.as_str()])?.as_ref().map(read).transpose()
}

/// The registration of this account, by name.
///
/// # Errors
/// Those of the store.
pub fn by_name(tx: &mut Tx<'_>, account: &AccountId, kind: Kind, name: &str) -> Result<Option<Registration>> {
    let sql =
        format!("select {COLUMNS} from registrations where account_id = $1 and kind = $2 and name = $3");
    tx.query_opt(&sql, &params![account.as_str(), kind.as_str(), name])?.as_ref().map(read).transpose()
}

/// Registrations of the account after `start`, by id.
///
/// # Errors
/// Those of the store.
pub fn list(
    tx: &mut Tx<'_>,
    account: &AccountId,
    kind: Kind,
    start: &str,
    limit: i64,
) -> Result<Vec<Registration>> {
    let sql = format!(
        "select {COLUMNS} from registrations where account_id = $1 and kind = $2 and id > $3 order by id limit $4"
    );
    tx.query(&sql, &params![account.as_str(), kind.as_str(), start, limit])?.iter().map(read).collect()
}

/// Registrations of all accounts that answer for an issuer.
///
/// # Errors
/// Those of the store.
pub fn of_issuer(tx: &mut Tx<'_>, issuer: &str) -> Result<Vec<Registration>> {
    let columns: Vec<String> = COLUMNS.split(", ").map(|c| format!("r.{}", c.trim())).collect();
    let sql = format!(
        "select {} from registrations r join registration_issuers i on i.registration_id = r.id where i.issuer = $1 \
         order by r.id",
        columns.join(", ")
    );
    tx.query(&sql, &params![issuer])?.iter().map(read).collect()
}

/// Registrations whose keys are to be fetched by now, the longest waiting first. A time after `latest` was written before
/// the clock was set back: it is not waited for.
///
/// # Errors
/// Those of the store.
pub fn due(tx: &mut Tx<'_>, now: Timestamp, latest: Timestamp, limit: i64) -> Result<Vec<Registration>> {
    let sql = format!(
        "select {COLUMNS} from registrations where remote = 1 and (next_refresh <= $1 or next_refresh > $2) \
         order by next_refresh limit $3"
    );
    tx.query(&sql, &params![now.millis(), latest.millis(), limit])?.iter().map(read).collect()
}

/// The keys of a registration, oldest first.
///
/// # Errors
/// Those of the store.
pub fn keys(tx: &mut Tx<'_>, id: &str) -> Result<Vec<Key>> {
    let rows = tx.query(
        "select issuer, kid, thumbprint, alg, jwk, state, first_seen, last_seen, missed, retires_at \
         from registration_keys where registration_id = $1 order by first_seen, issuer, kid, thumbprint",
        &params![id],
    )?;
    rows.iter()
        .map(|row| {
            Ok(Key {
                issuer: row.get(0)?,
                kid: row.get(1)?,
                thumbprint: row.get(2)?,
                alg: row.get(3)?,
                jwk: row.get(4)?,
                state: KeyState::parse(&row.get::<String>(5)?),
                first_seen: Timestamp::from_millis(row.get(6)?),
                last_seen: Timestamp::from_millis(row.get(7)?),
                missed: row.get(8)?,
                retires_at: row.get::<Option<i64>>(9)?.map(Timestamp::from_millis),
            })
        })
        .collect()
}

/// Replaces the keys of one issuer of a registration.
///
/// # Errors
/// `Conflict` when another registration of the issuer has one of them.
pub fn put_keys(tx: &mut Tx<'_>, id: &str, issuer: &str, keys: &[Key]) -> Result<()> {
    forget_keys(tx, id, issuer)?;
    for key in keys {
        if !holders(tx, id, issuer, key)?.is_empty() {
            return Err(collision());
        }
        insert_key(tx, id, issuer, key)?;
    }
    Ok(())
}

/// Replaces the keys of one issuer of an established registration by what was fetched for it. Somebody who registered one
/// of them meanwhile must not stop its rotation: what the issuer says itself outranks what a later registration claims.
/// Returns the labels of keys that another registration keeps.
///
/// # Errors
/// Those of the store.
pub fn settle_keys(tx: &mut Tx<'_>, r: &Registration, issuer: &str, keys: &[Key]) -> Result<Vec<String>> {
    let itself =
        |r: &Registration| r.settings.issuers.iter().any(|i| i.issuer == issuer && i.speaks_for_itself());
    forget_keys(tx, &r.id, issuer)?;
    let mut left_out = Vec::new();
    for key in keys {
        let mut others = Vec::new();
        for id in holders(tx, &r.id, issuer, key)? {
            others.extend(any(tx, &id)?);
        }
        let outranked = |other: &Registration| itself(r) && !itself(other) && r.created_at < other.created_at;
        if !others.iter().all(outranked) {
            left_out.push(key.label());
            continue;
        }
        for other in &others {
            tx.execute(
                "delete from registration_keys where registration_id = $1 and issuer = $2 and \
                 (thumbprint = $3 or (kid = $4 and kid <> ''))",
                &params![&other.id, issuer, &key.thumbprint, &key.kid],
            )?;
            raise(tx, other)?;
            note_refresh(tx, &other.id, None, Some(collision().message()), other.next_refresh)?;
        }
        insert_key(tx, &r.id, issuer, key)?;
    }
    Ok(left_out)
}

/// The registration with this id, of whatever account.
fn any(tx: &mut Tx<'_>, id: &str) -> Result<Option<Registration>> {
    let sql = format!("select {COLUMNS} from registrations where id = $1");
    tx.query_opt(&sql, &params![id])?.as_ref().map(read).transpose()
}

fn forget_keys(tx: &mut Tx<'_>, id: &str, issuer: &str) -> Result<()> {
    let sql = "delete from registration_keys where registration_id = $1 and issuer = $2";
    tx.execute(sql, &params![id, issuer])?;
    Ok(())
}

/// Ids of other registrations of the issuer that have this key, or one of its id.
fn holders(tx: &mut Tx<'_>, id: &str, issuer: &str, key: &Key) -> Result<Vec<String>> {
    let rows = tx.query(
        "select distinct registration_id from registration_keys where issuer = $1 and registration_id <> $4 \
         and (thumbprint = $2 or (kid = $3 and kid <> ''))",
        &params![issuer, &key.thumbprint, &key.kid, id],
    )?;
    rows.iter().map(|row| Ok(row.get(0)?)).collect()
}

fn insert_key(tx: &mut Tx<'_>, id: &str, issuer: &str, key: &Key) -> Result<()> {
    tx.execute(
        "insert into registration_keys (registration_id, issuer, kid, thumbprint, alg, jwk, state, first_seen, \
         last_seen, missed, retires_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        &params![
            id,
            issuer,
            &key.kid,
            &key.thumbprint,
            &key.alg,
            &key.jwk,
            key.state.as_str(),
            key.first_seen.millis(),
            key.last_seen.millis(),
            key.missed,
            key.retires_at.map(Timestamp::millis)
        ],
    )?;
    Ok(())
}

/// Forgets the keys of issuers that a registration no longer has.
///
/// # Errors
/// Those of the store.
pub fn forget_other_issuers(tx: &mut Tx<'_>, id: &str, issuers: &[String]) -> Result<()> {
    let rows =
        tx.query("select distinct issuer from registration_keys where registration_id = $1", &params![id])?;
    for row in &rows {
        let issuer: String = row.get(0)?;
        if !issuers.contains(&issuer) {
            tx.execute(
                "delete from registration_keys where registration_id = $1 and issuer = $2",
                &params![id, issuer],
            )?;
        }
    }
    Ok(())
}

/// Another registration has a key of this issuer already; whose it is stays untold.
pub fn collision() -> Error {
    Error::conflict(
        "A key of this issuer is registered already: the same issuer and key id, or the same key.",
    )
    .code("key_collision")
    .field("issuer")
}

fn put_issuers(tx: &mut Tx<'_>, r: &Registration) -> Result<()> {
    for issuer in &r.settings.issuers {
        tx.execute(
            "insert into registration_issuers (issuer, registration_id) values ($1, $2)",
            &params![&issuer.issuer, &r.id],
        )?;
    }
    Ok(())
}

/// Issuers are looked up over all accounts, so the operator's revision is raised with the account's own.
fn changed(tx: &mut Tx<'_>, r: &Registration) -> Result<()> {
    tx.changed(r.account.as_str(), "cluster", &r.id)?;
    tx.changed(AccountId::operator().as_str(), "cluster", &r.id)?;
    Ok(())
}

fn taken(e: avouch_store::Error, kind: Kind) -> Error {
    match e {
        avouch_store::Error::Unique { .. } => {
            Error::conflict(format!("{} of that name exists already.", a(kind))).field("name")
        }
        other => other.into(),
    }
}

fn a(kind: Kind) -> &'static str {
    match kind {
        Kind::Cluster => "A cluster",
        Kind::Issuer => "An issuer",
    }
}

/// Whether any registration is in the resource group.
///
/// # Errors
/// Those of the store.
pub fn any_in_group(tx: &mut Tx<'_>, account: &AccountId, group: &str) -> Result<bool> {
    let sql = "select 1 from registrations where account_id = $1 and resource_group_id = $2 limit 1";
    Ok(tx.query_opt(sql, &params![account.as_str(), group])?.is_some())
}

fn state(active: bool) -> &'static str {
    if active { "active" } else { "disabled" }
}

fn read(row: &Row) -> Result<Registration> {
    let at = |i| -> Result<Timestamp> { Ok(Timestamp::from_millis(row.get(i)?)) };
    let maybe =
        |i| -> Result<Option<Timestamp>> { Ok(row.get::<Option<i64>>(i)?.map(Timestamp::from_millis)) };
    Ok(Registration {
        id: row.get(0)?,
        account: AccountId::parse(&row.get::<String>(1)?).map_err(Error::internal)?,
        kind: Kind::parse(&row.get::<String>(2)?).ok_or_else(|| Error::internal("unknown kind"))?,
        name: row.get(3)?,
        cr_type: CrType::parse(&row.get::<String>(4)?).ok_or_else(|| Error::internal("unknown cr_type"))?,
        region: row.get(5)?,
        resource_group: row.get(6)?,
        active: row.get::<String>(7)? == "active",
        settings: serde_json::from_str(&row.get::<String>(8)?).map_err(Error::internal)?,
        etag: row.get(9)?,
        version: row.get(10)?,
        last_refresh: maybe(11)?,
        last_error: row.get(12)?,
        next_refresh: maybe(13)?,
        created_at: at(14)?,
        modified_at: at(15)?,
    })
}
