//! Forward-only migrations, embedded, recorded with the checksum of their text.

use aws_lc_rs::digest::{SHA256, digest};

use crate::tx::Tx;
use crate::{Error, Result, params};

include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// Brings the schema up to date inside the given transaction.
pub(crate) fn run(tx: &mut Tx<'_>) -> Result<()> {
    tx.execute(
        "create table if not exists schema_migrations (name text not null primary key, checksum text not null)",
        &[],
    )?;
    let rows = tx.query("select name, checksum from schema_migrations order by name", &[])?;
    let mut known = Vec::with_capacity(rows.len());
    for row in &rows {
        known.push((row.get::<String>(0)?, row.get::<String>(1)?));
    }
    for (name, _) in &known {
        if !MIGRATIONS.iter().any(|(n, _)| n == name) {
            return Err(Error::Schema(format!("the store holds migration {name}, which this program does not know")));
        }
    }
    for (name, text) in MIGRATIONS {
        let checksum: String = digest(&SHA256, text.as_bytes()).as_ref().iter().map(|b| format!("{b:02x}")).collect();
        if let Some((_, applied)) = known.iter().find(|(n, _)| n == name) {
            if *applied != checksum {
                return Err(Error::Schema(format!("migration {name} is not the one that was applied")));
            }
            continue;
        }
        for statement in statements(text) {
            tx.execute(&statement, &[])?;
        }
        tx.execute("insert into schema_migrations (name, checksum) values ($1, $2)", &params![*name, checksum])?;
    }
    Ok(())
}

/// Splits a migration at `;`; migrations hold no text literals with one. Comment lines are dropped.
fn statements(text: &str) -> Vec<String> {
    let bare: String = text
        .lines()
        .map(|l| l.split_once("--").map_or(l, |(code, _)| code))
        .collect::<Vec<_>>()
        .join("\n");
    bare.split(';').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()
}
