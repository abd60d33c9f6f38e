//! Where the engines differ in text. SQLite would take `$1` for a name and bind in order of appearance, so it gets `?1`.

use std::collections::HashMap;

use parking_lot::RwLock;

/// Rewritten statements, by their first text.
#[derive(Default)]
pub(crate) struct Rewritten(RwLock<HashMap<String, String>>);

/// Statement texts are constants of the program and few shapes of searches; the cache stays small all the same.
const MOST: usize = 4096;

impl Rewritten {
    /// Calls `f` with the SQLite form of `sql`.
    pub(crate) fn with<T>(&self, sql: &str, f: impl FnOnce(&str) -> T) -> T {
        if let Some(text) = self.0.read().get(sql) {
            return f(text);
        }
        let text = to_sqlite(sql);
        let mut cache = self.0.write();
        if cache.len() >= MOST {
            cache.clear();
        }
        cache.insert(sql.to_owned(), text.clone());
        drop(cache);
        f(&text)
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
    use super::to_sqlite;

    #[test]
    fn placeholders_are_rewritten_outside_of_quotes_only() {
        assert_eq!(to_sqlite("select '$1', a from t where b = $12 and c=$2"), "select '$1', a from t where b = ?12 and c=?2");
    }
}
