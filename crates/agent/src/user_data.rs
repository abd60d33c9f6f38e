//! Reads user data the way cloud-init does, as far as it goes: a script, or `#cloud-config`. For the caller of the
//! helper, which never sees user data itself: it gets the steps.

use crate::error::{Code, Error, Result};
use crate::protocol::{BootFile, BootStep};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_norway::Value;

/// The published limit.
pub const MOST_BYTES: usize = 64 * 1024;

/// What user data asks for, and what of it is not done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub steps: Vec<BootStep>,
    pub notes: Vec<String>,
}

/// Reads user data. Text of an unknown kind gives no step and a note; only what is too long or broken is an error.
pub fn read(text: &str) -> Result<Plan> {
    if text.len() > MOST_BYTES {
        return Err(refused("user_data: more than 64 KiB"));
    }
    let mut plan = Plan::default();
    if text.starts_with("#!") {
        plan.steps.push(BootStep::Script(text.to_owned()));
    } else if text.lines().next().is_some_and(|line| line.trim_end() == "#cloud-config") {
        cloud_config(text, &mut plan)?;
    } else if !text.trim().is_empty() {
        plan.notes
            .push("user_data: neither a script nor #cloud-config; it is served as metadata only".to_owned());
    }
    Ok(plan)
}

fn cloud_config(text: &str, plan: &mut Plan) -> Result<()> {
    let config: Value = serde_norway::from_str(text).map_err(|_| refused("user_data: is not YAML"))?;
    if config.is_null() {
        return Ok(());
    }
    let keys = config.as_mapping().ok_or_else(|| refused("user_data: #cloud-config wants a mapping"))?;
    if let Some(name) = config.get("hostname").or_else(|| config.get("fqdn")).and_then(Value::as_str) {
        crate::check_name("hostname", name)?;
        plan.steps.push(BootStep::Hostname(name.to_owned()));
    }
    // The order of cloud-init: early commands, files, then commands.
    commands(config.get("bootcmd"), "bootcmd", plan)?;
    for entry in list(config.get("write_files"), "write_files")? {
        plan.steps.push(BootStep::File(file(entry)?));
    }
    commands(config.get("runcmd"), "runcmd", plan)?;
    for key in keys.keys().filter_map(Value::as_str) {
        if !["hostname", "fqdn", "bootcmd", "write_files", "runcmd"].contains(&key) {
            plan.notes.push(format!("user_data: `{key}` is not carried out"));
        }
    }
    Ok(())
}

fn commands(value: Option<&Value>, field: &str, plan: &mut Plan) -> Result<()> {
    for entry in list(value, field)? {
        plan.steps.push(match entry {
            Value::String(line) => BootStep::Shell(line.clone()),
            Value::Sequence(words) => {
                let words: Option<Vec<String>> = words.iter().map(word).collect();
                BootStep::Command(words.ok_or_else(|| refused(&format!("user_data: {field}: wants words")))?)
            }
            _ => return Err(refused(&format!("user_data: {field}: wants lines or lists of words"))),
        });
    }
    Ok(())
}

fn file(entry: &Value) -> Result<BootFile> {
    let path = entry.get("path").and_then(Value::as_str).filter(|path| path.starts_with('/'));
    let path = path.ok_or_else(|| refused("user_data: write_files: wants an absolute path"))?;
    let content = entry.get("content").map_or(Some(""), Value::as_str);
    let content = content.ok_or_else(|| refused("user_data: write_files: content is a text"))?;
    let content = match entry.get("encoding").and_then(Value::as_str) {
        None | Some("text/plain") => BASE64_STANDARD.encode(content),
        Some("b64" | "base64") => {
            let content: String = content.split_whitespace().collect();
            BASE64_STANDARD
                .decode(&content)
                .map_err(|_| refused("user_data: write_files: content is not base64"))?;
            content
        }
        Some(_) => return Err(refused("user_data: write_files: encoding is text/plain or base64")),
    };
    let mode = match entry.get("permissions") {
        None => 0o644,
        Some(value) => {
            let text = word(value).unwrap_or_default();
            u32::from_str_radix(text.trim_start_matches("0o"), 8)
                .map_err(|_| refused("user_data: write_files: permissions are octal digits"))?
        }
    };
    let append = entry.get("append").and_then(Value::as_bool).unwrap_or_default();
    Ok(BootFile { path: path.into(), content, mode, append })
}

fn list<'a>(value: Option<&'a Value>, field: &str) -> Result<&'a [Value]> {
    match value {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Sequence(list)) => Ok(list),
        Some(_) => Err(refused(&format!("user_data: {field}: wants a list"))),
    }
}

fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn refused(message: &str) -> Error {
    Error::refused(Code::BadRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_one_step() {
        let plan = read("#!/bin/sh\necho hi\n").unwrap();
        assert_eq!(plan.steps, [BootStep::Script("#!/bin/sh\necho hi\n".to_owned())]);
        assert!(plan.notes.is_empty());
    }

    #[test]
    fn cloud_config_becomes_steps_in_the_order_of_cloud_init() {
        let text = "#cloud-config\nruncmd:\n- echo a\n- [touch, /run/x, 7]\nwrite_files:\n- path: /etc/x\n  content: hi\n  \
                    permissions: '0600'\nbootcmd: [early]\nhostname: web\npackages: [nginx]\n";
        let plan = read(text).unwrap();
        let file = BootFile { path: "/etc/x".into(), content: "aGk=".to_owned(), mode: 0o600, append: false };
        assert_eq!(
            plan.steps,
            [
                BootStep::Hostname("web".to_owned()),
                BootStep::Shell("early".to_owned()),
                BootStep::File(file),
                BootStep::Shell("echo a".to_owned()),
                BootStep::Command(vec!["touch".to_owned(), "/run/x".to_owned(), "7".to_owned()]),
            ]
        );
        assert_eq!(plan.notes, ["user_data: `packages` is not carried out"]);
    }

    #[test]
    fn an_unknown_kind_of_text_is_served_but_does_nothing() {
        let plan = read("hello").unwrap();
        assert!(plan.steps.is_empty());
        assert_eq!(plan.notes.len(), 1);
        assert_eq!(read("").unwrap(), Plan::default());
    }

    #[test]
    fn broken_user_data_names_the_field_and_no_value() {
        for (text, field) in [
            ("#cloud-config\nruncmd: s3cret\n", "runcmd"),
            ("#cloud-config\nwrite_files: [{path: s3cret}]\n", "path"),
            ("#cloud-config\nwrite_files: [{path: /a, content: s3cret, encoding: b64}]\n", "content"),
            ("#cloud-config\nwrite_files: [{path: /a, permissions: s3cret}]\n", "permissions"),
            ("#cloud-config\n- s3cret\n", "mapping"),
            ("#cloud-config\n{s3cret", "YAML"),
            ("#cloud-config\nhostname: 's3cret x'\n", "hostname"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(field), "{text}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        assert!(read(&format!("#!{}", "x".repeat(MOST_BYTES))).is_err());
    }
}
