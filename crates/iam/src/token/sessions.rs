//! Logins that may be refreshed, and their refresh tokens: opaque, kept as hashes, each good for one use. The only SQL of
//! `sessions` and `refresh_tokens`.
//!
//! A refresh token that is presented a second time was copied: its whole session ends. It refuses to tell a token of
//! another kind from an unknown one.

use avouch_crypto::digest::{hex, sha256_parts};
use avouch_gate::{Error, Result};
use avouch_store::{Row, Tx, params};
use avouch_wire::ids::{AccountId, IamId};
use avouch_wire::time::Timestamp;

use super::limits::LoginLimits;

/// Keeps these hashes apart from those of API keys and other opaque values.
const KIND: &[u8] = b"refresh-token:";

/// A login that may be refreshed.
#[derive(Debug, Clone)]
pub struct Session {
    /// Id.
    pub id: String,
    /// Account of the login.
    pub account: AccountId,
    /// Who is logged in.
    pub iam_id: IamId,
    /// The client sees a session (users); otherwise only the refresh token is kept here (service IDs).
    pub visible: bool,
    /// Client that it is bound to.
    pub client_id: String,
    /// API key that it began with; empty: none.
    pub api_key_id: String,
    /// Scope of its tokens.
    pub scope: String,
    /// Start.
    pub created_at: Timestamp,
    /// Last refresh.
    pub last_used_at: Timestamp,
    /// Hard end.
    pub expires_at: Timestamp,
    /// Ended before its time.
    pub ended_at: Option<Timestamp>,
}

impl Session {
    /// Whether it rested for longer than this account lets it.
    pub fn idle(&self, limits: &LoginLimits, now: Timestamp) -> bool {
        limits.idle_secs.is_some_and(|s| now >= self.last_used_at.plus_secs(s))
    }
}

/// A stored refresh token.
#[derive(Debug, Clone)]
pub struct RefreshToken {
    /// Session.
    pub session: String,
    /// End of its life.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
}

/// What is stored of a refresh token.
pub fn hash_of(value: &str) -> String {
    hex(&sha256_parts(&[KIND, value.as_bytes()]))
}

const COLUMNS: &str = "id, account_id, iam_id, kind, client_id, api_key_id, scope, created_at, last_used_at, expires_at, ended_at";

/// Writes a new session; beyond `max` open ones of the identity the oldest end.
///
/// # Errors
/// Those of the store.
pub fn open(tx: &mut Tx<'_>, session: &Session, max: Option<i64>) -> Result<()> {
    if let (true, Some(max)) = (session.visible, max) {
        let open = list(tx, &session.account, &session.iam_id, session.created_at)?;
        let keep = usize::try_from(max.max(1) - 1).unwrap_or(usize::MAX);
        for old in open.iter().skip(keep) {
            end(tx, &old.id, session.created_at)?;
        }
    }
    tx.execute(
        &format!("insert into sessions ({COLUMNS}) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, null)"),
        &params![
            &session.id,
            session.account.as_str(),
            session.iam_id.as_str(),
            if session.visible { "session" } else { "refresh" },
            &session.client_id,
            &session.api_key_id,
            &session.scope,
            session.created_at.millis(),
            session.last_used_at.millis(),
            session.expires_at.millis()
        ],
    )?;
    Ok(())
}

/// The session, if there is one of that id.
///
/// # Errors
/// Those of the store.
pub fn get(tx: &mut Tx<'_>, id: &str) -> Result<Option<Session>> {
    let sql = format!("select {COLUMNS} from sessions where id = $1");
    tx.query_opt(&sql, &params![id])?.as_ref().map(read).transpose()
}

/// Open sessions of an identity that clients see, newest first.
///
/// # Errors
/// Those of the store.
pub fn list(tx: &mut Tx<'_>, account: &AccountId, iam_id: &IamId, now: Timestamp) -> Result<Vec<Session>> {
    let sql = format!(
        "select {COLUMNS} from sessions where account_id = $1 and iam_id = $2 and kind = 'session' \
         and ended_at is null and expires_at > $3 order by created_at desc, id desc"
    );
    tx.query(&sql, &params![account.as_str(), iam_id.as_str(), now.millis()])?.iter().map(read).collect()
}

/// Ends a session; its refresh tokens are worth nothing from now on.
///
/// # Errors
/// Those of the store.
pub fn end(tx: &mut Tx<'_>, id: &str, now: Timestamp) -> Result<()> {
    tx.execute(
        "update sessions set ended_at = $2 where id = $1 and ended_at is null",
        &params![id, now.millis()],
    )?;
    Ok(())
}

/// Ends every session of an identity (its profile, service ID or user is deleted or its tokens are revoked).
///
/// # Errors
/// Those of the store.
pub fn end_all(tx: &mut Tx<'_>, account: &AccountId, iam_id: &IamId, now: Timestamp) -> Result<()> {
    tx.execute(
        "update sessions set ended_at = $3 where account_id = $1 and iam_id = $2 and ended_at is null",
        &params![account.as_str(), iam_id.as_str(), now.millis()],
    )?;
    Ok(())
}

/// Notes a use of the session and how long it lives now.
///
/// # Errors
/// Those of the store.
pub fn touch(tx: &mut Tx<'_>, id: &str, now: Timestamp, expires_at: Timestamp) -> Result<()> {
    tx.execute(
        "update sessions set last_used_at = $2, expires_at = $3 where id = $1",
        &params![id, now.millis(), expires_at.millis()],
    )?;
    Ok(())
}

/// Writes a new refresh token.
///
/// # Errors
/// Those of the store.
pub fn add_token(
    tx: &mut Tx<'_>,
    hash: &str,
    session: &str,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<()> {
    tx.execute(
        "insert into refresh_tokens (hash, session_id, issued_at, expires_at, used_at) values ($1, $2, $3, $4, null)",
        &params![hash, session, now.millis(), expires_at.millis()],
    )?;
    Ok(())
}

/// The refresh token of that hash.
///
/// # Errors
/// Those of the store.
pub fn token(tx: &mut Tx<'_>, hash: &str) -> Result<Option<RefreshToken>> {
    let row = tx.query_opt(
        "select session_id, expires_at, used_at from refresh_tokens where hash = $1",
        &params![hash],
    )?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(RefreshToken {
        session: row.get(0)?,
        expires_at: Timestamp::from_millis(row.get(1)?),
        used_at: row.get::<Option<i64>>(2)?.map(Timestamp::from_millis),
    }))
}

/// Uses a refresh token up; false when somebody else did meanwhile.
///
/// # Errors
/// Those of the store.
pub fn use_up(tx: &mut Tx<'_>, hash: &str, now: Timestamp) -> Result<bool> {
    let touched = tx.execute(
        "update refresh_tokens set used_at = $2 where hash = $1 and used_at is null",
        &params![hash, now.millis()],
    )?;
    Ok(touched == 1)
}

/// Forgets sessions that ended long ago, with their tokens.
///
/// # Errors
/// Those of the store.
pub fn purge(tx: &mut Tx<'_>, before: Timestamp) -> Result<()> {
    let at = before.millis();
    tx.execute(
        "delete from refresh_tokens where session_id in (select id from sessions where expires_at < $1)",
        &params![at],
    )?;
    tx.execute("delete from sessions where expires_at < $1", &params![at])?;
    Ok(())
}

fn read(row: &Row) -> Result<Session> {
    let at = |i| -> Result<Timestamp> { Ok(Timestamp::from_millis(row.get(i)?)) };
    Ok(Session {
        id: row.get(0)?,
        account: AccountId::parse(&row.get::<String>(1)?).map_err(Error::internal)?,
        iam_id: IamId::parse(&row.get::<String>(2)?).map_err(Error::internal)?,
        visible: row.get::<String>(3)? == "session",
        client_id: row.get(4)?,
        api_key_id: row.get(5)?,
        scope: row.get(6)?,
        created_at: at(7)?,
        last_used_at: at(8)?,
        expires_at: at(9)?,
        ended_at: row.get::<Option<i64>>(10)?.map(Timestamp::from_millis),
    })
}
