//! The only SQL of the service's tables.

use avouch_gate::{Error, Kind as ErrorKind, Result};
use avouch_store::{Row, Tx, params};
use avouch_wire::ids::AccountId;
use avouch_wire::time::Timestamp;

use super::{Body, Kind, Object};
use crate::errors::{name_taken, not_found};

const COLUMNS: &str = "id, name, scope, parent, resource_group, revision, created_at, body";

fn read<T: Body>(row: &Row) -> Result<Object<T>> {
    let body: String = row.get(7)?;
    Ok(Object {
        id: row.get(0)?,
        name: row.get(1)?,
        scope: row.get(2)?,
        parent: row.get(3)?,
        group: row.get(4)?,
        revision: row.get(5)?,
        created_at: Timestamp::from_millis(row.get(6)?),
        body: serde_json::from_str(&body).map_err(Error::internal)?,
    })
}

fn text<T: Body>(object: &Object<T>) -> Result<String> {
    serde_json::to_string(&object.body).map_err(Error::internal)
}

fn unique(e: avouch_store::Error) -> Error {
    match e {
        avouch_store::Error::Unique { .. } => name_taken(),
        other => other.into(),
    }
}

/// Whether any object is in the resource group.
///
/// # Errors
/// Those of the store.
pub fn any_in_group(tx: &mut Tx<'_>, account: &AccountId, group: &str) -> Result<bool> {
    let sql = "select 1 from vpc_objects where account_id = $1 and resource_group = $2 limit 1";
    Ok(tx.query_opt(sql, &params![account.as_str(), group])?.is_some())
}

/// Writes a new object.
///
/// # Errors
/// `Invalid` when the name is taken in its scope.
pub fn insert<T: Body>(tx: &mut Tx<'_>, account: &AccountId, o: &Object<T>) -> Result<()> {
    let sql = format!(
        "insert into vpc_objects (account_id, kind, {COLUMNS}) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
    );
    let values = params![
        account.as_str(),
        T::KIND.word,
        &o.id,
        &o.name,
        &o.scope,
        &o.parent,
        &o.group,
        o.revision,
        o.created_at.millis(),
        text(o)?
    ];
    tx.execute(&sql, &values).map_err(unique)?;
    Ok(())
}

/// Writes a changed object and raises its revision.
///
/// # Errors
/// `Invalid` when the name is taken in its scope; `Precondition` when it was changed meanwhile.
pub fn update<T: Body>(tx: &mut Tx<'_>, account: &AccountId, o: &mut Object<T>) -> Result<()> {
    let values = params![account.as_str(), T::KIND.word, &o.id, o.revision, &o.name, text(o)?];
    let changed = tx
        .execute(
            "update vpc_objects set name = $5, body = $6, revision = revision + 1 \
             where account_id = $1 and kind = $2 and id = $3 and revision = $4",
            &values,
        )
        .map_err(unique)?;
    if changed == 0 {
        return Err(Error::new(ErrorKind::Precondition, "The resource was changed at the same time."));
    }
    o.revision += 1;
    Ok(())
}

/// The object, if the account has it.
///
/// # Errors
/// Those of the store.
pub fn get<T: Body>(tx: &mut Tx<'_>, account: &AccountId, id: &str) -> Result<Option<Object<T>>> {
    let sql = format!("select {COLUMNS} from vpc_objects where account_id = $1 and kind = $2 and id = $3");
    tx.query_opt(&sql, &params![account.as_str(), T::KIND.word, id])?.as_ref().map(read).transpose()
}

/// The object that another one refers to.
///
/// # Errors
/// `Internal` when it is gone: what is used cannot be deleted.
pub fn need<T: Body>(tx: &mut Tx<'_>, account: &AccountId, id: &str) -> Result<Object<T>> {
    get(tx, account, id)?.ok_or_else(|| Error::internal(format!("no {} that is referred to", T::KIND.word)))
}

/// The object that a request found before its change began.
///
/// # Errors
/// `Conflict` when it was deleted meanwhile.
pub fn still<T: Body>(tx: &mut Tx<'_>, account: &AccountId, id: &str) -> Result<Object<T>> {
    get(tx, account, id)?
        .ok_or_else(|| Error::conflict(format!("The {} was deleted at the same time.", T::KIND.display)))
}

/// The object that a request shows.
///
/// # Errors
/// `NotFound` when it was deleted meanwhile.
pub fn shown<T: Body>(tx: &mut Tx<'_>, account: &AccountId, id: &str) -> Result<Object<T>> {
    get(tx, account, id)?.ok_or_else(|| not_found(T::KIND.display))
}

/// All objects of a kind, newest first.
///
/// # Errors
/// Those of the store.
pub fn all<T: Body>(tx: &mut Tx<'_>, account: &AccountId) -> Result<Vec<Object<T>>> {
    let sql = format!(
        "select {COLUMNS} from vpc_objects where account_id = $1 and kind = $2 order by created_at desc, id desc"
    );
    tx.query(&sql, &params![account.as_str(), T::KIND.word])?.iter().map(read).collect()
}

/// All objects of a kind with their accounts, oldest first; those of one id, if one is given.
///
/// # Errors
/// Those of the store.
pub fn everywhere<T: Body>(tx: &mut Tx<'_>, id: Option<&str>) -> Result<Vec<(AccountId, Object<T>)>> {
    // As text: an index of this kind alone is used only so.
    let kind = T::KIND.word;
    let sql = format!(
        "select {COLUMNS}, account_id from vpc_objects where kind = '{kind}' and ($1 = '' or id = $1) \
         order by created_at, id"
    );
    let with_account = |row: &Row| {
        let account: String = row.get(8)?;
        Ok((AccountId::parse(&account).map_err(Error::internal)?, read(row)?))
    };
    tx.query(&sql, &params![id.unwrap_or_default()])?.iter().map(with_account).collect()
}

/// The objects of a kind that belong to `parent`, newest first.
///
/// # Errors
/// Those of the store.
pub fn children<T: Body>(tx: &mut Tx<'_>, account: &AccountId, parent: &str) -> Result<Vec<Object<T>>> {
    let sql = format!(
        "select {COLUMNS} from vpc_objects where account_id = $1 and kind = $2 and parent = $3 \
         order by created_at desc, id desc"
    );
    tx.query(&sql, &params![account.as_str(), T::KIND.word, parent])?.iter().map(read).collect()
}

/// How many objects of a kind there are, of one parent or of all.
///
/// # Errors
/// Those of the store.
pub fn count(tx: &mut Tx<'_>, account: &AccountId, kind: &Kind, parent: Option<&str>) -> Result<usize> {
    let sql = "select count(*) from vpc_objects where account_id = $1 and kind = $2";
    let row = match parent {
        None => tx.query_one(sql, &params![account.as_str(), kind.word])?,
        Some(parent) => {
            tx.query_one(&format!("{sql} and parent = $3"), &params![account.as_str(), kind.word, parent])?
        }
    };
    Ok(usize::try_from(row.get::<i64>(0)?).unwrap_or(0))
}

/// Whether the name is taken in the scope.
///
/// # Errors
/// Those of the store.
pub fn named(tx: &mut Tx<'_>, account: &AccountId, kind: &Kind, (scope, name): (&str, &str)) -> Result<bool> {
    let found = tx.query_opt(
        "select id from vpc_objects where account_id = $1 and kind = $2 and scope = $3 and name = $4",
        &params![account.as_str(), kind.word, scope, name],
    )?;
    Ok(found.is_some())
}

/// Removes an object with what it uses and holds.
///
/// # Errors
/// Those of the store.
pub fn remove(tx: &mut Tx<'_>, account: &AccountId, kind: &Kind, id: &str) -> Result<()> {
    let account = account.as_str();
    tx.execute(
        "delete from vpc_objects where account_id = $1 and kind = $2 and id = $3",
        &params![account, kind.word, id],
    )?;
    tx.execute("delete from vpc_uses where account_id = $1 and user_id = $2", &params![account, id])?;
    tx.execute("delete from vpc_taken where account_id = $1 and holder = $2", &params![account, id])?;
    Ok(())
}

/// Notes that `user` uses `used`.
///
/// # Errors
/// Those of the store.
pub fn use_it(tx: &mut Tx<'_>, account: &AccountId, user: (&Kind, &str), used: (&Kind, &str)) -> Result<()> {
    tx.execute(
        "insert into vpc_uses (account_id, user_kind, user_id, used_kind, used_id) values ($1, $2, $3, $4, $5) \
         on conflict (account_id, user_kind, user_id, used_kind, used_id) do nothing",
        &params![account.as_str(), user.0.word, user.1, used.0.word, used.1],
    )?;
    Ok(())
}

/// Takes the note away.
///
/// # Errors
/// Those of the store.
pub fn leave_it(
    tx: &mut Tx<'_>,
    account: &AccountId,
    user: (&Kind, &str),
    used: (&Kind, &str),
) -> Result<()> {
    tx.execute(
        "delete from vpc_uses where account_id = $1 and user_kind = $2 and user_id = $3 and used_kind = $4 \
         and used_id = $5",
        &params![account.as_str(), user.0.word, user.1, used.0.word, used.1],
    )?;
    Ok(())
}

/// Kind and id of all that uses an object.
///
/// # Errors
/// Those of the store.
pub fn users(tx: &mut Tx<'_>, account: &AccountId, used: (&Kind, &str)) -> Result<Vec<(String, String)>> {
    tx.query(
        "select user_kind, user_id from vpc_uses where account_id = $1 and used_kind = $2 and used_id = $3 \
         order by user_kind, user_id",
        &params![account.as_str(), used.0.word, used.1],
    )?
    .iter()
    .map(|row| Ok((row.get(0)?, row.get(1)?)))
    .collect()
}

/// Ids of a kind that an object uses.
///
/// # Errors
/// Those of the store.
pub fn used(tx: &mut Tx<'_>, account: &AccountId, user: (&Kind, &str), kind: &Kind) -> Result<Vec<String>> {
    tx.query(
        "select used_id from vpc_uses where account_id = $1 and user_kind = $2 and user_id = $3 and used_kind = $4 \
         order by used_id",
        &params![account.as_str(), user.0.word, user.1, kind.word],
    )?
    .iter()
    .map(|row| Ok(row.get(0)?))
    .collect()
}

/// Takes a value that only one object of the account may have; false when another one has it.
///
/// # Errors
/// Those of the store.
pub fn take(
    tx: &mut Tx<'_>,
    account: &AccountId,
    (space, value): (&str, &str),
    holder: &str,
) -> Result<bool> {
    let made = tx.execute(
        "insert into vpc_taken (account_id, space, value, holder) values ($1, $2, $3, $4) \
         on conflict (account_id, space, value) do nothing",
        &params![account.as_str(), space, value, holder],
    )?;
    Ok(made == 1)
}

/// The values of a space that are taken.
///
/// # Errors
/// Those of the store.
pub fn taken(tx: &mut Tx<'_>, account: &AccountId, space: &str) -> Result<Vec<String>> {
    tx.query(
        "select value from vpc_taken where account_id = $1 and space = $2",
        &params![account.as_str(), space],
    )?
    .iter()
    .map(|row| Ok(row.get(0)?))
    .collect()
}

/// Takes a floating address; false when any account has it.
///
/// # Errors
/// Those of the store.
pub fn take_floating(tx: &mut Tx<'_>, account: &AccountId, address: &str, holder: &str) -> Result<bool> {
    let made = tx.execute(
        "insert into vpc_floating_addresses (address, account_id, holder) values ($1, $2, $3) \
         on conflict (address) do nothing",
        &params![address, account.as_str(), holder],
    )?;
    Ok(made == 1)
}

/// Gives a floating address back.
///
/// # Errors
/// Those of the store.
pub fn give_floating(tx: &mut Tx<'_>, account: &AccountId, holder: &str) -> Result<()> {
    tx.execute(
        "delete from vpc_floating_addresses where account_id = $1 and holder = $2",
        &params![account.as_str(), holder],
    )?;
    Ok(())
}
