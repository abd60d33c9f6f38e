//! Values of options: `@file`, JSON inline or from a file, questions to whoever sits at the terminal.
//! Without a terminal no question is asked: the command fails at once and changes nothing.

use std::io::{BufRead as _, IsTerminal as _};

use serde_json::Value;

use crate::failure::{Failure, Result, failed, usage};
use crate::output::{printable, say};

/// The text, or the file's content for `@file`, exactly as it is. `@@text` is a text that begins with `@`.
pub fn raw(value: &str) -> Result<String> {
    if value.starts_with("@@") {
        return Ok(value.chars().skip(1).collect());
    }
    let Some(path) = value.strip_prefix('@') else {
        if names_a_file(value) {
            say(
                "WARNING: the value of an option is the name of a file. For what is in the file, write @ before it.\n",
            );
        }
        return Ok(value.to_owned());
    };
    file(path)
}

/// Somebody who writes the name of a file mostly means the file.
fn names_a_file(value: &str) -> bool {
    !value.is_empty() && std::path::Path::new(value).is_file()
}

/// As `raw`, without surrounding white space: keys and tokens.
pub fn word(value: &str) -> Result<String> {
    Ok(raw(value)?.trim().to_owned())
}

/// An API key: the text, `@file`, or a file as `--file` of the create commands writes it.
pub fn api_key(value: &str) -> Result<String> {
    let text = word(value)?;
    if !value.starts_with('@') || !text.starts_with('{') {
        return Ok(text);
    }
    let key: Value = serde_json::from_str(&text).map_err(|_| failed(format!("{value} is not JSON.")))?;
    key["apikey"].as_str().map(str::to_owned).ok_or_else(|| failed(format!("{value} has no field 'apikey'.")))
}

/// JSON, inline or `@file`. `option` names the option in the error; the value is never repeated.
pub fn json(option: &str, value: &str) -> Result<Value> {
    serde_json::from_str(&raw(value)?)
        .map_err(|e| usage(format!("{option}: not JSON (line {}, column {}).", e.line(), e.column())))
}

/// JSON of a `--file` option: a path, `@path`, or inline.
pub fn json_file(option: &str, value: &str) -> Result<Value> {
    let inline = value.trim_start().starts_with(['{', '[']) || value.starts_with('@');
    if inline { json(option, value) } else { json(option, &format!("@{value}")) }
}

/// Content of a file.
pub fn file(path: &str) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| failed(format!("Cannot read {path}: {e}.")))
}

/// `k=v` or `k:v`.
pub fn pair<'v>(option: &str, separator: char, value: &'v str) -> Result<(&'v str, &'v str)> {
    value
        .split_once(separator)
        .filter(|(k, _)| !k.is_empty())
        .ok_or_else(|| usage(format!("{option}: wanted NAME{separator}VALUE.")))
}

/// True when somebody can answer.
pub fn interactive() -> bool {
    std::io::stdin().is_terminal()
}

/// Asks before something is lost or locked. `force` is the answer yes.
pub fn confirm(force: bool, question: &str) -> Result<()> {
    if force {
        return Ok(());
    }
    if !interactive() {
        return Err(failed(format!(
            "{} There is no terminal to answer; use -f to go ahead.",
            printable(question)
        )));
    }
    let answer = ask(&format!("{} [y/N] >", printable(question)))?;
    if matches!(answer.to_lowercase().as_str(), "y" | "yes") { Ok(()) } else { Err(Failure::Cancelled) }
}

/// Asks for a line on the terminal.
pub fn ask(prompt: &str) -> Result<String> {
    say(&format!("{prompt} "));
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|e| failed(format!("Cannot read the answer: {e}.")))?;
    Ok(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn files_are_read_whole_and_words_are_trimmed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, " a b \n").unwrap();
        let at = format!("@{}", path.display());
        assert!(names_a_file(&path.display().to_string()));
        assert!(
            ![at.as_str(), "", "plain", &"x".repeat(100_000), "a\0b"].iter().any(|text| names_a_file(text))
        );
        assert_eq!(raw(&at).unwrap(), " a b \n");
        assert_eq!(word(&at).unwrap(), "a b");
        assert_eq!(word("plain").unwrap(), "plain");
        assert!(raw("@/no/such/file").unwrap_err().text().contains("/no/such/file"));
    }

    #[test]
    fn key_files_of_the_create_commands_are_understood() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.json");
        std::fs::write(&path, r#"{"name":"n","apikey":"K"}"#).unwrap();
        assert_eq!(api_key(&format!("@{}", path.display())).unwrap(), "K");
        assert_eq!(api_key("{inline}").unwrap(), "{inline}");
    }

    #[test]
    fn bad_json_names_the_option_and_not_the_value() {
        let e = json("--kv-data", "{\"a\": SECRET}").unwrap_err();
        assert!(matches!(e, Failure::Usage(_)));
        assert!(e.text().contains("--kv-data") && !e.text().contains("SECRET"));
    }

    #[test]
    fn without_a_terminal_nothing_is_confirmed() {
        if !interactive() {
            assert!(matches!(confirm(false, "Really?"), Err(Failure::Failed(_))));
        }
        assert!(confirm(true, "Really?").is_ok());
    }
}
