//! The only SQL of `accounts`.

use avouch_gate::Result;
use avouch_store::{Row, Tx, params};
use avouch_wire::ids::{AccountId, IamId};
use avouch_wire::time::Timestamp;

use super::Account;

/// Writes a new account.
///
/// # Errors
/// `Conflict` when the id is taken.
pub fn insert(tx: &mut Tx<'_>, account: &Account) -> Result<()> {
    tx.execute(
        "insert into accounts (id, name, owner_iam_id, state, created_at) values ($1, $2, $3, $4, $5)",
        &params![
            account.id.as_str(),
            &account.name,
            account.owner.as_str(),
            &account.state,
            account.created_at.millis()
        ],
    )?;
    Ok(())
}

/// The account, if it exists.
///
/// # Errors
/// Those of the store.
pub fn get(tx: &mut Tx<'_>, id: &AccountId) -> Result<Option<Account>> {
    let row = tx.query_opt(
        "select id, name, owner_iam_id, state, created_at from accounts where id = $1",
        &params![id.as_str()],
    )?;
    row.as_ref().map(read).transpose()
}

/// All accounts, oldest first.
///
/// # Errors
/// Those of the store.
pub fn all(tx: &mut Tx<'_>) -> Result<Vec<Account>> {
    let rows = tx.query(
        "select id, name, owner_iam_id, state, created_at from accounts order by created_at, id",
        &[],
    )?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Account> {
    let parse = |e: avouch_wire::ids::IdError| avouch_gate::Error::internal(e);
    Ok(Account {
        id: AccountId::parse(&row.get::<String>(0)?).map_err(parse)?,
        name: row.get(1)?,
        owner: IamId::parse(&row.get::<String>(2)?).map_err(parse)?,
        state: row.get(3)?,
        created_at: Timestamp::from_millis(row.get(4)?),
    })
}
