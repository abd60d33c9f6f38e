//! A transaction as closures see it.

use crate::value::{Row, Value};
use crate::{Error, Result, params};

/// What an engine does for a transaction.
pub(crate) trait Connection {
    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64>;
    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>>;
}

/// One object that changed at a revision of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Revision of the account at which it changed.
    pub rev: i64,
    /// Kind of the object.
    pub kind: String,
    /// Id of the object.
    pub object: String,
}

/// A running transaction.
pub struct Tx<'a> {
    connection: &'a mut dyn Connection,
    /// Revisions raised by the closure.
    pub(crate) raised: Vec<(String, i64)>,
    failure: Option<Error>,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(connection: &'a mut dyn Connection) -> Self {
        Self { connection, raised: Vec::new(), failure: None }
    }

    /// The first statement that failed.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.failure.as_ref()
    }

    pub(crate) fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    /// PostgreSQL runs nothing after a failed statement, so SQLite must not either: what works in tests on one engine
    /// works on the other.
    fn run<T>(&mut self, f: impl FnOnce(&mut dyn Connection) -> Result<T>) -> Result<T> {
        if let Some(earlier) = &self.failure {
            return Err(Error::Other(format!("an earlier statement of this closure failed: {earlier}")));
        }
        f(self.connection).inspect_err(|e| self.failure = Some(e.clone()))
    }

    /// Runs a statement; returns how many rows it touched.
    ///
    /// # Errors
    /// `Unique`, or what the engine says. Whatever the closure then answers, nothing of it is kept.
    pub fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64> {
        self.run(|connection| storable(values).and_then(|()| connection.execute(sql, values)))
    }

    /// Runs a query (or a statement with `returning`).
    ///
    /// # Errors
    /// What the engine says.
    pub fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>> {
        self.run(|connection| storable(values).and_then(|()| connection.query(sql, values)))
    }

    /// The first row, if any.
    ///
    /// # Errors
    /// What the engine says.
    pub fn query_opt(&mut self, sql: &str, values: &[Value]) -> Result<Option<Row>> {
        Ok(self.query(sql, values)?.into_iter().next())
    }

    /// The one row that must be there.
    ///
    /// # Errors
    /// `Other` when there is none.
    pub fn query_one(&mut self, sql: &str, values: &[Value]) -> Result<Row> {
        self.query_opt(sql, values)?.ok_or_else(|| Error::Other("no row".into()))
    }

    /// Notes that an object of an account changed: raises the account's revision, which is returned.
    ///
    /// # Errors
    /// What the engine says.
    pub fn changed(&mut self, account: &str, kind: &str, object: &str) -> Result<i64> {
        let row = self.query_one(
            "insert into account_revisions (account_id, rev) values ($1, 1) \
             on conflict (account_id) do update set rev = account_revisions.rev + 1 returning rev",
            &params![account],
        )?;
        let rev: i64 = row.get(0)?;
        self.execute(
            "insert into account_changes (account_id, rev, kind, object_id) values ($1, $2, $3, $4)",
            &params![account, rev, kind, object],
        )?;
        self.raised.push((account.to_owned(), rev));
        Ok(rev)
    }

    /// The revision of an account as this transaction sees it.
    ///
    /// # Errors
    /// What the engine says.
    pub fn revision(&mut self, account: &str) -> Result<i64> {
        let row =
            self.query_opt("select rev from account_revisions where account_id = $1", &params![account])?;
        row.map_or(Ok(0), |r| r.get(0))
    }

    /// What changed in an account after `rev`, oldest first.
    ///
    /// # Errors
    /// What the engine says.
    pub fn changes_since(&mut self, account: &str, rev: i64) -> Result<Vec<Change>> {
        let rows = self.query(
            "select rev, kind, object_id from account_changes where account_id = $1 and rev > $2 order by rev",
            &params![account, rev],
        )?;
        rows.iter().map(|r| Ok(Change { rev: r.get(0)?, kind: r.get(1)?, object: r.get(2)? })).collect()
    }

    /// Accounts with more than `spare` changes before their newest `kept` ones, with the revision up to which
    /// [`Tx::forget_changes`] may forget.
    ///
    /// # Errors
    /// What the engine says.
    pub fn forgettable_changes(&mut self, kept: i64, spare: i64, limit: i64) -> Result<Vec<(String, i64)>> {
        let rows = self.query(
            "select r.account_id, r.rev - $1 from account_revisions r where r.rev > $1 + $2 and exists \
             (select 1 from account_changes c where c.account_id = r.account_id and c.rev <= r.rev - $1 - $2) limit $3",
            &params![kept, spare, limit],
        )?;
        rows.iter().map(|r| Ok((r.get(0)?, r.get(1)?))).collect()
    }

    /// Forgets what changed in an account up to and with `rev`, the oldest `most` of it, and says how many that were.
    /// Whoever asks [`Tx::changes_since`] an earlier revision finds fewer changes than there are revisions.
    ///
    /// # Errors
    /// What the engine says.
    pub fn forget_changes(&mut self, account: &str, rev: i64, most: i64) -> Result<u64> {
        self.execute(
            "delete from account_changes where account_id = $1 and rev <= $2 and rev < $3 + \
             (select min(o.rev) from account_changes o where o.account_id = $1)",
            &params![account, rev, most],
        )
    }

    /// Takes or renews a lease until `now_ms + ttl_ms`; `None` while another holder has it. The epoch fences: it rises
    /// with every change of holder. One that runs much longer than any lease was taken by a clock that has been set back
    /// since, and counts as over.
    ///
    /// # Errors
    /// What the engine says.
    pub fn acquire_lease(
        &mut self,
        name: &str,
        holder: &str,
        now_ms: i64,
        ttl_ms: i64,
    ) -> Result<Option<i64>> {
        let row = self.query_opt(
            "insert into leases (name, holder, epoch, expires_at) values ($1, $2, 1, $4) \
             on conflict (name) do update set holder = $2, expires_at = $4, \
             epoch = leases.epoch + case when leases.holder = $2 then 0 else 1 end \
             where leases.holder = $2 or leases.expires_at <= $3 or leases.expires_at > $5 returning epoch",
            &params![
                name,
                holder,
                now_ms,
                now_ms.saturating_add(ttl_ms),
                now_ms.saturating_add(ttl_ms.saturating_mul(2))
            ],
        )?;
        row.map(|r| r.get(0)).transpose()
    }

    /// Whether `holder` still has the lease at `epoch`. Asked in the transaction that it guards, it keeps a holder that
    /// lost the lease from writing.
    ///
    /// # Errors
    /// What the engine says.
    pub fn holds_lease(&mut self, name: &str, holder: &str, epoch: i64) -> Result<bool> {
        let row = self.query_opt(
            "select epoch from leases where name = $1 and holder = $2 and epoch = $3",
            &params![name, holder, epoch],
        )?;
        Ok(row.is_some())
    }

    /// Lets another holder take the lease at once, if `holder` has it at `epoch`.
    ///
    /// # Errors
    /// What the engine says.
    pub fn release_lease(&mut self, name: &str, holder: &str, epoch: i64) -> Result<()> {
        self.execute(
            "update leases set expires_at = 0 where name = $1 and holder = $2 and epoch = $3",
            &params![name, holder, epoch],
        )?;
        Ok(())
    }

    /// A small setting of the system.
    ///
    /// # Errors
    /// What the engine says.
    pub fn system_value(&mut self, name: &str) -> Result<Option<Vec<u8>>> {
        let row = self.query_opt("select value from system_values where name = $1", &params![name])?;
        row.map(|r| r.get(0)).transpose()
    }

    /// Sets a small setting of the system.
    ///
    /// # Errors
    /// What the engine says.
    pub fn set_system_value(&mut self, name: &str, value: &[u8]) -> Result<()> {
        self.execute(
            "insert into system_values (name, value) values ($1, $2) on conflict (name) do update set value = $2",
            &params![name, value],
        )?;
        Ok(())
    }
}

impl std::fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tx")
    }
}

/// PostgreSQL has no text with a NUL, so neither engine takes one.
fn storable(values: &[Value]) -> Result<()> {
    let nul = values.iter().any(|v| matches!(v, Value::Text(text) if text.contains('\0')));
    if nul { Err(Error::Nul) } else { Ok(()) }
}
