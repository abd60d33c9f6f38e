//! Where the engines differ in text. SQLite would take `$1` for a name and bind in order of appearance, so it gets `?1`.

use std::collections::HashMap;

/// Rewritten statements by their first text; one per connection, so that nobody waits for a lock.
#[derive(Default)]
pub(crate) struct Rewritten(HashMap<Box<str>, Box<str>>);

/// Statement texts are constants of the program and few shapes of searches; the cache stays small all the same.
const MOST: usize = 2048;

impl Rewritten {
    /// The SQLite form of `sql`.
    pub(crate) fn get(&mut self, sql: &str) -> &str {
        if !self.0.contains_key(sql) {
            if self.0.len() >= MOST {
                self.0.clear();
            }
            self.0.insert(sql.into(), to_sqlite(sql).into());
        }
        self.0.get(sql).map_or("", |text| text)
    }
}

/// `$n` outside of quoted text becomes `?n`.
fn to_sqlite(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut quoted = false;
    let mut chars = sql.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\'' {
            quoted = !quoted;
        }
        if c == '$' && !quoted && chars.peek().is_some_and(char::is_ascii_digit) {
            out.push('?');
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Rewritten, to_sqlite};

    #[test]
    fn placeholders_are_rewritten_outside_of_quotes_only() {
        assert_eq!(
            to_sqlite("select '$1', a from t where b = $12 and c=$2"),
            "select '$1', a from t where b = ?12 and c=?2"
        );
        assert_eq!(to_sqlite("select 'it''s $1', $2"), "select 'it''s $1', ?2");
    }

    #[test]
    fn a_statement_is_the_same_the_second_time() {
        let mut cache = Rewritten::default();
        assert_eq!(cache.get("select $1"), "select ?1");
        assert_eq!(cache.get("select $1"), "select ?1");
    }
}
