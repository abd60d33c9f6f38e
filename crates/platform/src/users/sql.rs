//! The only SQL of `users`.

use avouch_gate::{Error, Result};
use avouch_store::{Row, Tx, params};
use avouch_wire::ids::{AccountId, IamId};
use avouch_wire::time::Timestamp;

use super::User;

const COLUMNS: &str = "account_id, iam_id, email, first_name, last_name, state, made_here, created_at";

/// Writes a new user.
///
/// # Errors
/// `Conflict` when the IAM id or e-mail is taken in the account.
pub fn insert(tx: &mut Tx<'_>, user: &User) -> Result<()> {
    tx.execute(
        "insert into users (account_id, iam_id, email, first_name, last_name, state, made_here, created_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        &params![
            user.account.as_str(),
            user.iam_id.as_str(),
            &user.email,
            &user.first_name,
            &user.last_name,
            &user.state,
            i64::from(user.made_here),
            user.created_at.millis()
        ],
    )?;
    tx.changed(user.account.as_str(), "identity", user.iam_id.as_str())?;
    Ok(())
}

/// Writes names, e-mail and state of a user.
///
/// # Errors
/// `Conflict` when the e-mail is taken in the account.
pub fn update(tx: &mut Tx<'_>, user: &User) -> Result<()> {
    tx.execute(
        "update users set email = $3, first_name = $4, last_name = $5, state = $6 \
         where account_id = $1 and iam_id = $2",
        &params![
            user.account.as_str(),
            user.iam_id.as_str(),
            &user.email,
            &user.first_name,
            &user.last_name,
            &user.state
        ],
    )?;
    tx.changed(user.account.as_str(), "identity", user.iam_id.as_str())?;
    Ok(())
}

/// Takes the user out of the account.
///
/// # Errors
/// Those of the store.
pub fn delete(tx: &mut Tx<'_>, account: &AccountId, iam_id: &IamId) -> Result<()> {
    tx.execute(
        "delete from users where account_id = $1 and iam_id = $2",
        &params![account.as_str(), iam_id.as_str()],
    )?;
    tx.changed(account.as_str(), "identity", iam_id.as_str())?;
    Ok(())
}

/// The user, if he is in the account.
///
/// # Errors
/// Those of the store.
pub fn get(tx: &mut Tx<'_>, account: &AccountId, iam_id: &IamId) -> Result<Option<User>> {
    let sql = format!("select {COLUMNS} from users where account_id = $1 and iam_id = $2");
    tx.query_opt(&sql, &params![account.as_str(), iam_id.as_str()])?.as_ref().map(read).transpose()
}

/// The users of an account after `start`, by IAM id.
///
/// # Errors
/// Those of the store.
pub fn list(tx: &mut Tx<'_>, account: &AccountId, start: &str, limit: i64) -> Result<Vec<User>> {
    let sql =
        format!("select {COLUMNS} from users where account_id = $1 and iam_id > $2 order by iam_id limit $3");
    tx.query(&sql, &params![account.as_str(), start, limit])?.iter().map(read).collect()
}

/// Whether the IAM id is somebody's in any account.
///
/// # Errors
/// Those of the store.
pub fn known(tx: &mut Tx<'_>, iam_id: &IamId) -> Result<bool> {
    let sql = "select 1 from users where iam_id = $1 limit 1";
    Ok(tx.query_opt(sql, &params![iam_id.as_str()])?.is_some())
}

/// Whether the IAM id is somebody's in another account than this one.
///
/// # Errors
/// Those of the store.
pub fn elsewhere(tx: &mut Tx<'_>, account: &AccountId, iam_id: &IamId) -> Result<bool> {
    let sql = "select 1 from users where iam_id = $1 and account_id <> $2 limit 1";
    Ok(tx.query_opt(sql, &params![iam_id.as_str(), account.as_str()])?.is_some())
}

/// How many users an account has.
///
/// # Errors
/// Those of the store.
pub fn count(tx: &mut Tx<'_>, account: &AccountId) -> Result<i64> {
    let sql = "select count(*) from users where account_id = $1";
    Ok(tx.query_one(sql, &params![account.as_str()])?.get(0)?)
}

fn read(row: &Row) -> Result<User> {
    Ok(User {
        account: AccountId::parse(&row.get::<String>(0)?).map_err(Error::internal)?,
        iam_id: IamId::parse(&row.get::<String>(1)?).map_err(Error::internal)?,
        email: row.get(2)?,
        first_name: row.get(3)?,
        last_name: row.get(4)?,
        state: row.get(5)?,
        made_here: row.get::<i64>(6)? != 0,
        created_at: Timestamp::from_millis(row.get(7)?),
    })
}
