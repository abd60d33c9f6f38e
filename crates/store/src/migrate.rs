//! Forward-only migrations, embedded, recorded with the checksum of their text.
//!
//! Refuses a database that holds a migration which this program does not know, or knows with another text.

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
            return Err(Error::Schema(format!(
                "the store holds migration {name}, which this program does not know"
            )));
        }
    }
    for (name, text) in MIGRATIONS {
        let checksum: String =
            digest(&SHA256, text.as_bytes()).as_ref().iter().map(|b| format!("{b:02x}")).collect();
        if let Some((_, applied)) = known.iter().find(|(n, _)| n == name) {
            if *applied != checksum {
                return Err(Error::Schema(format!("migration {name} is not the one that was applied")));
            }
            continue;
        }
        for statement in statements(text) {
            tx.execute(&statement, &[])?;
        }
        tx.execute(
            "insert into schema_migrations (name, checksum) values ($1, $2)",
            &params![*name, checksum],
        )?;
    }
    Ok(())
}

/// Splits a migration at `;`; migrations hold no text literals with one, nor with `--`. Comments are dropped.
fn statements(text: &str) -> Vec<String> {
    let bare: String =
        text.lines().map(|l| l.split_once("--").map_or(l, |(code, _)| code)).collect::<Vec<_>>().join("\n");
    bare.split(';').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::{MIGRATIONS, statements};

    #[test]
    fn every_migration_has_a_number_of_its_own() {
        let numbers: Vec<&str> = MIGRATIONS.iter().map(|(name, _)| name.split_once('_').unwrap().0).collect();
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(numbers, sorted, "in order, none twice");
        assert!(numbers.iter().all(|n| n.len() == 4 && n.bytes().all(|b| b.is_ascii_digit())), "{numbers:?}");
    }

    /// The rules under which one text means the same on both engines.
    #[test]
    fn migrations_use_what_both_engines_know() {
        for (name, text) in MIGRATIONS {
            for statement in statements(text) {
                // An odd one: a literal was cut in two at its `;` or `--`.
                assert_eq!(statement.matches('\'').count() % 2, 0, "{name}: {statement}");
                let lower = statement.to_lowercase();
                if let Some(table) = lower.strip_prefix("create table ") {
                    let (_, columns) = table.split_once('(').unwrap();
                    for column in top_level(columns.rsplit_once(')').unwrap().0) {
                        column_is_of_a_common_type(name, &column);
                    }
                } else if lower.starts_with("alter table ")
                    && let Some((_, column)) = lower.split_once(" add column ")
                {
                    column_is_of_a_common_type(name, column);
                }
            }
        }
    }

    fn column_is_of_a_common_type(migration: &str, column: &str) {
        let mut words = column.split(|c: char| c.is_whitespace() || c == '(').filter(|w| !w.is_empty());
        let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if !["primary", "unique", "foreign", "check", "constraint"].contains(&first) {
            assert!(["text", "bigint", "bytea"].contains(&second), "{migration}: {column}");
        }
    }

    /// Splits at commas outside of brackets.
    fn top_level(text: &str) -> Vec<String> {
        let (mut out, mut depth) = (vec![String::new()], 0);
        for c in text.chars() {
            depth += i32::from(c == '(') - i32::from(c == ')');
            if c == ',' && depth == 0 {
                out.push(String::new());
            } else {
                out.last_mut().unwrap().push(c);
            }
        }
        out
    }

    #[test]
    fn comments_and_blank_statements_are_dropped() {
        let text = "-- a; b\ncreate table t (a text); -- c\n;\ncreate index i on t (a);\n";
        assert_eq!(statements(text), ["create table t (a text)", "create index i on t (a)"]);
    }
}
