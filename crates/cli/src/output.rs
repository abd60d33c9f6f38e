//! How answers are shown: tables with two spaces between columns and no borders, label and value rows, JSON, YAML.
//! Data goes to stdout; everything that is said about it goes to stderr. Control characters of the server never
//! reach the terminal.

use std::io::Write as _;

use clap::ValueEnum;
use serde_json::Value;

use crate::failure::{Failure, Result, failed};

/// Form of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The API objects as they came
    Json,
    /// The same as YAML (secrets-manager, ks)
    Yaml,
    /// Columns
    Table,
}

/// Where a command's words and data go.
#[derive(Debug, Clone)]
pub struct Out {
    /// Wanted form.
    pub format: Format,
    /// No progress lines.
    pub quiet: bool,
    /// Who is logged in, for the progress line.
    pub user: String,
}

impl Out {
    /// True when people read the data.
    pub fn table(&self) -> bool {
        self.format == Format::Table
    }

    /// `Verbing NOUN as USER...`
    pub fn progress(&self, what: impl AsRef<str>) {
        if !self.quiet && self.table() {
            let who = if self.user.is_empty() { String::new() } else { format!(" as {}", self.user) };
            say(&format!("{}{who}...\n", printable(what.as_ref())));
        }
    }

    /// `OK` and a blank line.
    pub fn ok(&self) {
        if !self.quiet && self.table() {
            say("OK\n\n");
        }
    }

    /// A remark beside the data.
    pub fn note(&self, text: impl AsRef<str>) {
        say(&(printable_lines(text.as_ref()) + "\n"));
    }

    /// `OK`, then one object: `rows` for people, the object as it came for programs.
    pub fn object(&self, value: &Value, rows: &[(&str, String)]) -> Result<()> {
        self.ok();
        if self.table() { print(&details(rows)) } else { self.data(value) }
    }

    /// `OK`, then a list: columns for people, a bare array for programs.
    pub fn list(
        &self,
        values: &[Value],
        empty: &str,
        columns: &[&str],
        row: impl Fn(&Value) -> Vec<String>,
    ) -> Result<()> {
        self.ok();
        if !self.table() {
            return self.data(&Value::Array(values.to_vec()));
        }
        if values.is_empty() {
            say(&format!("{empty}\n"));
            return Ok(());
        }
        print(&columns_of(columns, &values.iter().map(row).collect::<Vec<_>>()))
    }

    /// The value alone, as JSON or YAML.
    pub fn data(&self, value: &Value) -> Result<()> {
        print(&self.text(value)?)
    }

    fn text(&self, value: &Value) -> Result<String> {
        match self.format {
            Format::Yaml => {
                serde_norway::to_string(value).map_err(|_| failed("The answer cannot be shown as YAML."))
            }
            _ => serde_json::to_string_pretty(value)
                .map(|text| text + "\n")
                .map_err(|_| failed("The answer cannot be shown as JSON.")),
        }
    }

    /// One line of data.
    pub fn line(&self, text: &str) -> Result<()> {
        print(&(printable(text) + "\n"))
    }

    /// As [`Out::object`], for what is shown this once: a reader that has gone away is an error.
    pub fn once(&self, value: &Value, rows: &[(&str, String)]) -> Result<()> {
        self.ok();
        let text = if self.table() { details(rows) } else { self.text(value)? };
        write(&text).map_err(|e| failed(format!("Cannot write the output: {e}.")))
    }
}

/// Words for people, on stderr. Whoever closed it wants none: that is no reason to end before the data is written.
pub fn say(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// Writes data to stdout. A reader that has gone away is no error.
pub fn print(text: &str) -> Result<(), Failure> {
    match write(text) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(failed(format!("Cannot write the output: {e}.")))
        }
        _ => Ok(()),
    }
}

fn write(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

/// Columns padded to their widest cell.
pub fn columns_of(headers: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|r| r.iter().map(|c| printable(c)).collect()).collect();
    let widths: Vec<usize> = headers
        .iter()
        .enumerate()
        .map(|(i, h)| {
            rows.iter()
                .filter_map(|r| r.get(i))
                .map(|c| c.chars().count())
                .chain([h.chars().count()])
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (cell, width) in cells.zip(&widths) {
            text.push_str(cell);
            text.push_str(&" ".repeat(width.saturating_sub(cell.chars().count()) + 2));
        }
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(&mut headers.iter().copied());
    for row in &rows {
        line(&mut row.iter().map(String::as_str));
    }
    out
}

/// `Label:   value` rows; rows without a value are left out, lines of a value stay under each other.
pub fn details(rows: &[(&str, String)]) -> String {
    let shown: Vec<_> = rows.iter().filter(|(_, v)| !v.is_empty()).collect();
    let width = shown.iter().map(|(l, _)| l.chars().count() + 1).max().unwrap_or(0);
    let mut out = String::new();
    for (label, value) in shown {
        let mut label = format!("{label}:");
        for line in value.lines() {
            out.push_str(format!("{label:<width$}  {}", printable(line)).trim_end());
            out.push('\n');
            label.clear();
        }
    }
    out
}

/// The field at a dotted path: text as it is, missing and null as nothing, the rest as JSON.
pub fn cell(value: &Value, path: &str) -> String {
    let found = path.split('.').try_fold(value, |v, key| match v {
        Value::Array(items) => key.parse::<usize>().ok().and_then(|i| items.get(i)),
        _ => v.get(key),
    });
    show(found.unwrap_or(&Value::Null))
}

/// A value for a cell.
pub fn show(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Object(fields) if fields.is_empty() => String::new(),
        Value::String(s) => s.clone(),
        Value::Array(items) if items.iter().all(|i| !i.is_object() && !i.is_array()) => {
            items.iter().map(show).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// The text without control characters: names come from the server, and a terminal obeys them.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || turns(c) { '\u{fffd}' } else { c }).collect()
}

/// Characters that turn the direction of the text around them, so that it reads as something else.
fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The same, line by line.
pub fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn table_has_two_spaces_and_no_trailing_blanks() {
        let rows = vec![
            vec!["Profile-1".into(), "shop".into(), String::new()],
            vec!["P".into(), "a b".into(), "x".into()],
        ];
        insta::assert_snapshot!(columns_of(&["ID", "Name", "Description"], &rows), @r"
        ID         Name  Description
        Profile-1  shop
        P          a b   x
        ");
    }

    #[test]
    fn details_leave_out_what_is_not_there() {
        let rows =
            [("ID", "1".to_owned()), ("Description", String::new()), ("Created", "now\nand then".to_owned())];
        insta::assert_snapshot!(details(&rows), @r"
        ID:       1
        Created:  now
                  and then
        ");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let table = columns_of(&["Name"], &[vec!["a\u{1b}[2Jb\nc".into()]]);
        assert_eq!(table.lines().count(), 2);
        assert!(!table.contains('\u{1b}'));
    }

    #[test]
    fn cells_follow_dotted_paths() {
        let v =
            json!({"link": {"crn": "c"}, "n": 3, "labels": ["a", "b"], "o": [{"x": 1}], "b": true, "e": {}});
        assert_eq!(cell(&v, "link.crn"), "c");
        assert_eq!(cell(&v, "n"), "3");
        assert_eq!(cell(&v, "labels"), "a, b");
        assert_eq!(cell(&v, "o.0.x"), "1");
        assert_eq!(cell(&v, "missing.deep"), "");
        assert_eq!(cell(&v, "b"), "true");
        assert_eq!(cell(&v, "e"), "");
    }
}
