//! The only SQL of `access_groups`, `access_group_members`, `access_group_rules` and `access_group_settings`.

use avouch_gate::{Error, Result};
use avouch_store::{Row, Tx, params};
use avouch_wire::ids::{AccessGroupId, AccountId};
use avouch_wire::text::key;
use avouch_wire::time::Timestamp;

use super::{Group, Member, MemberKind, Rule, Settings};

const GROUP: &str =
    "id, account_id, name, description, etag, created_at, created_by, modified_at, modified_by";
const MEMBER: &str = "group_id, iam_id, kind, created_at, created_by";
const RULE: &str = "id, account_id, group_id, name, realm_name, expiration, conditions, etag, created_at, created_by, \
                    modified_at, modified_by";

fn taken(e: avouch_store::Error) -> Error {
    match e {
        avouch_store::Error::Unique { .. } => {
            Error::conflict("An access group of that name exists already.").code("group_name_conflict")
        }
        other => other.into(),
    }
}

/// Writes a new group.
///
/// # Errors
/// `Conflict` when the name is taken.
pub fn insert(tx: &mut Tx<'_>, g: &Group) -> Result<()> {
    tx.execute(
        "insert into access_groups (id, account_id, name, name_key, description, etag, created_at, created_by, \
         modified_at, modified_by) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        &params![
            g.id.as_str(),
            g.account.as_str(),
            &g.name,
            key(&g.name),
            &g.description,
            &g.etag,
            g.created_at.millis(),
            &g.created_by,
            g.modified_at.millis(),
            &g.modified_by
        ],
    )
    .map_err(taken)?;
    Ok(())
}

/// Writes a changed group.
///
/// # Errors
/// `Conflict` when the name is taken.
pub fn update(tx: &mut Tx<'_>, g: &Group) -> Result<()> {
    tx.execute(
        "update access_groups set name = $3, name_key = $4, description = $5, etag = $6, modified_at = $7, \
         modified_by = $8 where account_id = $2 and id = $1",
        &params![
            g.id.as_str(),
            g.account.as_str(),
            &g.name,
            key(&g.name),
            &g.description,
            &g.etag,
            g.modified_at.millis(),
            &g.modified_by
        ],
    )
    .map_err(taken)?;
    Ok(())
}

/// Removes a group with its memberships and rules; returns who was a member.
///
/// # Errors
/// Those of the store.
pub fn delete(tx: &mut Tx<'_>, g: &Group) -> Result<Vec<String>> {
    let rows = tx.query(
        "delete from access_group_members where group_id = $1 returning iam_id",
        &params![g.id.as_str()],
    )?;
    tx.execute("delete from access_group_rules where group_id = $1", &params![g.id.as_str()])?;
    tx.execute(
        "delete from access_groups where account_id = $1 and id = $2",
        &params![g.account.as_str(), g.id.as_str()],
    )?;
    rows.iter().map(|r| Ok(r.get(0)?)).collect()
}

/// The group with this id, of whatever account. The public group has no row.
///
/// # Errors
/// Those of the store.
pub fn get(tx: &mut Tx<'_>, id: &AccessGroupId) -> Result<Option<Group>> {
    let sql = format!("select {GROUP} from access_groups where id = $1");
    tx.query_opt(&sql, &params![id.as_str()])?.as_ref().map(read_group).transpose()
}

/// The group of an account with this name, in whatever case.
///
/// # Errors
/// Those of the store.
pub fn by_name(tx: &mut Tx<'_>, account: &AccountId, name: &str) -> Result<Option<Group>> {
    let sql = format!("select {GROUP} from access_groups where account_id = $1 and name_key = $2");
    tx.query_opt(&sql, &params![account.as_str(), key(name)])?.as_ref().map(read_group).transpose()
}

/// All groups of an account but the public one, by name.
///
/// # Errors
/// Those of the store.
pub fn all(tx: &mut Tx<'_>, account: &AccountId) -> Result<Vec<Group>> {
    let sql = format!("select {GROUP} from access_groups where account_id = $1 order by name_key, id");
    tx.query(&sql, &params![account.as_str()])?.iter().map(read_group).collect()
}

/// How many groups an account has.
///
/// # Errors
/// Those of the store.
pub fn count(tx: &mut Tx<'_>, account: &AccountId) -> Result<i64> {
    let row =
        tx.query_one("select count(*) from access_groups where account_id = $1", &params![account.as_str()])?;
    Ok(row.get(0)?)
}

/// Adds a member; one that is there stays as he is. Says whether he is new.
///
/// # Errors
/// Those of the store.
pub fn join(tx: &mut Tx<'_>, account: &AccountId, m: &Member) -> Result<bool> {
    let added = tx.execute(
        "insert into access_group_members (account_id, group_id, iam_id, kind, created_at, created_by) \
         values ($1, $2, $3, $4, $5, $6) on conflict (group_id, iam_id) do nothing",
        &params![
            account.as_str(),
            m.group.as_str(),
            &m.iam_id,
            m.kind.as_str(),
            m.created_at.millis(),
            &m.created_by
        ],
    )?;
    if added > 0 {
        tx.changed(account.as_str(), "member", &m.iam_id)?;
    }
    Ok(added > 0)
}

/// Takes a member out; says whether he was one.
///
/// # Errors
/// Those of the store.
pub fn leave(tx: &mut Tx<'_>, account: &AccountId, group: &str, iam_id: &str) -> Result<bool> {
    let gone = tx.execute(
        "delete from access_group_members where account_id = $1 and group_id = $2 and iam_id = $3",
        &params![account.as_str(), group, iam_id],
    )?;
    if gone > 0 {
        tx.changed(account.as_str(), "member", iam_id)?;
    }
    Ok(gone > 0)
}

/// Takes an identity out of all groups of an account; the caller notes the change.
///
/// # Errors
/// Those of the store.
pub fn leave_all(tx: &mut Tx<'_>, account: &AccountId, iam_id: &str) -> Result<u64> {
    Ok(tx.execute(
        "delete from access_group_members where account_id = $1 and iam_id = $2",
        &params![account.as_str(), iam_id],
    )?)
}

/// One membership.
///
/// # Errors
/// Those of the store.
pub fn member(tx: &mut Tx<'_>, group: &AccessGroupId, iam_id: &str) -> Result<Option<Member>> {
    let sql = format!("select {MEMBER} from access_group_members where group_id = $1 and iam_id = $2");
    tx.query_opt(&sql, &params![group.as_str(), iam_id])?.as_ref().map(read_member).transpose()
}

/// The members of a group, oldest first.
///
/// # Errors
/// Those of the store.
pub fn members(tx: &mut Tx<'_>, group: &AccessGroupId) -> Result<Vec<Member>> {
    let sql =
        format!("select {MEMBER} from access_group_members where group_id = $1 order by created_at, iam_id");
    tx.query(&sql, &params![group.as_str()])?.iter().map(read_member).collect()
}

/// The groups of an identity in an account.
///
/// # Errors
/// Those of the store.
pub fn groups_of(tx: &mut Tx<'_>, account: &AccountId, iam_id: &str) -> Result<Vec<String>> {
    let rows = tx.query(
        "select group_id from access_group_members where account_id = $1 and iam_id = $2 order by group_id",
        &params![account.as_str(), iam_id],
    )?;
    rows.iter().map(|r| Ok(r.get(0)?)).collect()
}

/// Whether an identity is in a group of any account.
///
/// # Errors
/// Those of the store.
pub fn member_anywhere(tx: &mut Tx<'_>, iam_id: &str) -> Result<bool> {
    let sql = "select 1 from access_group_members where iam_id = $1 limit 1";
    Ok(tx.query_opt(sql, &params![iam_id])?.is_some())
}

/// All memberships of an account: identity, group.
///
/// # Errors
/// Those of the store.
pub fn memberships(tx: &mut Tx<'_>, account: &AccountId) -> Result<Vec<(String, String)>> {
    let rows = tx.query(
        "select iam_id, group_id from access_group_members where account_id = $1 order by iam_id, group_id",
        &params![account.as_str()],
    )?;
    rows.iter().map(|r| Ok((r.get(0)?, r.get(1)?))).collect()
}

/// Writes a new rule.
///
/// # Errors
/// Those of the store.
pub fn insert_rule(tx: &mut Tx<'_>, r: &Rule) -> Result<()> {
    tx.execute(
        "insert into access_group_rules (id, account_id, group_id, name, realm_name, expiration, conditions, etag, \
         created_at, created_by, modified_at, modified_by) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        &params![
            &r.id,
            r.account.as_str(),
            r.group.as_str(),
            &r.name,
            &r.realm_name,
            r.expiration,
            r.conditions.to_string(),
            &r.etag,
            r.created_at.millis(),
            &r.created_by,
            r.modified_at.millis(),
            &r.modified_by
        ],
    )?;
    Ok(())
}

/// Writes a changed rule.
///
/// # Errors
/// Those of the store.
pub fn update_rule(tx: &mut Tx<'_>, r: &Rule) -> Result<()> {
    tx.execute(
        "update access_group_rules set name = $3, realm_name = $4, expiration = $5, conditions = $6, etag = $7, \
         modified_at = $8, modified_by = $9 where group_id = $2 and id = $1",
        &params![
            &r.id,
            r.group.as_str(),
            &r.name,
            &r.realm_name,
            r.expiration,
            r.conditions.to_string(),
            &r.etag,
            r.modified_at.millis(),
            &r.modified_by
        ],
    )?;
    Ok(())
}

/// Removes a rule.
///
/// # Errors
/// Those of the store.
pub fn delete_rule(tx: &mut Tx<'_>, group: &AccessGroupId, id: &str) -> Result<bool> {
    let gone = tx.execute(
        "delete from access_group_rules where group_id = $1 and id = $2",
        &params![group.as_str(), id],
    )?;
    Ok(gone > 0)
}

/// One rule of a group.
///
/// # Errors
/// Those of the store.
pub fn rule(tx: &mut Tx<'_>, group: &AccessGroupId, id: &str) -> Result<Option<Rule>> {
    let sql = format!("select {RULE} from access_group_rules where group_id = $1 and id = $2");
    tx.query_opt(&sql, &params![group.as_str(), id])?.as_ref().map(read_rule).transpose()
}

/// The rules of a group, oldest first.
///
/// # Errors
/// Those of the store.
pub fn rules(tx: &mut Tx<'_>, group: &AccessGroupId) -> Result<Vec<Rule>> {
    let sql = format!("select {RULE} from access_group_rules where group_id = $1 order by created_at, id");
    tx.query(&sql, &params![group.as_str()])?.iter().map(read_rule).collect()
}

/// Groups of an account that have rules.
///
/// # Errors
/// Those of the store.
pub fn with_rules(tx: &mut Tx<'_>, account: &AccountId) -> Result<Vec<String>> {
    let rows = tx.query(
        "select distinct group_id from access_group_rules where account_id = $1",
        &params![account.as_str()],
    )?;
    rows.iter().map(|r| Ok(r.get(0)?)).collect()
}

/// The settings of an account, if they were ever changed.
///
/// # Errors
/// Those of the store.
pub fn settings(tx: &mut Tx<'_>, account: &AccountId) -> Result<Option<Settings>> {
    let row = tx.query_opt(
        "select public_access_enabled, etag, modified_at, modified_by from access_group_settings where account_id = $1",
        &params![account.as_str()],
    )?;
    row.map(|r| {
        Ok(Settings {
            public_access_enabled: r.get(0)?,
            etag: r.get(1)?,
            modified_at: Timestamp::from_millis(r.get(2)?),
            modified_by: r.get(3)?,
        })
    })
    .transpose()
}

/// Writes the settings of an account.
///
/// # Errors
/// Those of the store.
pub fn set_settings(tx: &mut Tx<'_>, account: &AccountId, s: &Settings) -> Result<()> {
    tx.execute(
        "insert into access_group_settings (account_id, public_access_enabled, etag, modified_at, modified_by) \
         values ($1, $2, $3, $4, $5) on conflict (account_id) do update set public_access_enabled = $2, etag = $3, \
         modified_at = $4, modified_by = $5",
        &params![account.as_str(), s.public_access_enabled, &s.etag, s.modified_at.millis(), &s.modified_by],
    )?;
    tx.changed(account.as_str(), "group-settings", "")?;
    Ok(())
}

/// Whether the public group counts in an account.
///
/// # Errors
/// Those of the store.
pub fn public_access(tx: &mut Tx<'_>, account: &AccountId) -> Result<bool> {
    Ok(settings(tx, account)?.is_none_or(|s| s.public_access_enabled))
}

fn read_group(row: &Row) -> Result<Group> {
    Ok(Group {
        id: AccessGroupId::parse(&row.get::<String>(0)?).map_err(Error::internal)?,
        account: AccountId::parse(&row.get::<String>(1)?).map_err(Error::internal)?,
        name: row.get(2)?,
        description: row.get(3)?,
        etag: row.get(4)?,
        created_at: Timestamp::from_millis(row.get(5)?),
        created_by: row.get(6)?,
        modified_at: Timestamp::from_millis(row.get(7)?),
        modified_by: row.get(8)?,
    })
}

fn read_member(row: &Row) -> Result<Member> {
    Ok(Member {
        group: AccessGroupId::parse(&row.get::<String>(0)?).map_err(Error::internal)?,
        iam_id: row.get(1)?,
        kind: MemberKind::parse(&row.get::<String>(2)?).ok_or_else(|| Error::internal("kind of a member"))?,
        created_at: Timestamp::from_millis(row.get(3)?),
        created_by: row.get(4)?,
    })
}

fn read_rule(row: &Row) -> Result<Rule> {
    Ok(Rule {
        id: row.get(0)?,
        account: AccountId::parse(&row.get::<String>(1)?).map_err(Error::internal)?,
        group: AccessGroupId::parse(&row.get::<String>(2)?).map_err(Error::internal)?,
        name: row.get(3)?,
        realm_name: row.get(4)?,
        expiration: row.get(5)?,
        conditions: serde_json::from_str(&row.get::<String>(6)?).map_err(Error::internal)?,
        etag: row.get(7)?,
        created_at: Timestamp::from_millis(row.get(8)?),
        created_by: row.get(9)?,
        modified_at: Timestamp::from_millis(row.get(10)?),
        modified_by: row.get(11)?,
    })
}
