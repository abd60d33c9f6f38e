//! Grammar of the command line. The tree of commands is declared beside the commands; here are the root, the options of
//! every level, what clap does not do by itself (`--flag=false`, `--flag true`), and how a wrong line is answered.

use std::ffi::OsString;
use std::fmt::Write as _;

use avouch_wire::text::edit_distance;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Args, Command, CommandFactory, Parser, Subcommand};

use crate::output::Format;
use crate::{audit, completion, core, iam, is, ks, resource, sm};

/// Flags that may be followed by their value as a word of its own.
const BOOL_VALUE: &[&str] =
    &["--force-delete", "--iam-credentials-reuse-apikey", "--private-cert-exclude-cn-from-sans", "--watch"];

/// Command families of other versions.
const ABSENT: &[&str] = &["ce", "code-engine", "kp", "key-protect"];

/// Published commands that are not built, and what does the job here.
const KEYS_INSTEAD: &str =
    "Here services are called with IAM API keys: see 'avouch iam service-api-key-create --help'.";
const ABSENT_COMMANDS: &[(&str, &str, &str)] = &[
    ("avouch resource", "service-keys", KEYS_INSTEAD),
    ("avouch resource", "service-key", KEYS_INSTEAD),
    ("avouch resource", "service-key-create", KEYS_INSTEAD),
    ("avouch resource", "service-key-update", KEYS_INSTEAD),
    ("avouch resource", "service-key-delete", KEYS_INSTEAD),
    ("avouch account", "user-invite", "Nobody is invited here: 'avouch account user-add EMAIL' adds a user."),
];

/// The whole line.
#[derive(Debug, Parser)]
#[command(
    name = "avouch",
    about = "Trusted profiles, access policies and secrets: the command line",
    after_help = "Server commands: avouch server | dev | demo | recover | agent (each with --help)",
    version,
    subcommand_required = true,
    infer_long_args = false
)]
pub struct Root {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Family,
}

/// Options of every level.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Form of the data on stdout
    #[arg(long, global = true, value_enum, ignore_case = true, value_name = "FORMAT")]
    pub output: Option<Format>,
    /// No progress lines
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// `-f` of a family's commands.
#[derive(Debug, Clone, Args)]
pub struct Force {
    /// Do not ask; fail where a name fits several objects
    #[arg(short, long, global = true)]
    pub force: bool,
}

/// First word.
#[derive(Debug, Subcommand)]
pub enum Family {
    #[command(flatten)]
    Core(core::Command),
    /// Accounts and users
    Account {
        #[command(subcommand)]
        command: core::account::Command,
    },
    /// Trusted profiles, service IDs, API keys, access groups, policies, roles
    Iam {
        #[command(flatten)]
        force: Force,
        #[command(subcommand)]
        command: iam::Command,
    },
    /// Resource groups and service instances
    Resource {
        #[command(flatten)]
        force: Force,
        #[command(subcommand)]
        command: resource::Command,
    },
    /// Kubernetes clusters whose service accounts are trusted
    #[command(visible_alias = "kubernetes-service")]
    Ks {
        #[command(flatten)]
        force: Force,
        #[command(subcommand)]
        command: ks::Command,
    },
    /// VPC infrastructure: networks, keys, images, addresses
    #[command(visible_alias = "infrastructure-service")]
    Is {
        #[command(flatten)]
        force: Force,
        #[command(subcommand)]
        command: is::Command,
    },
    /// Secrets, their groups, versions and locks
    #[command(visible_alias = "sm")]
    SecretsManager(sm::Family),
    /// The audit trail of the account
    Audit(audit::Family),
    /// Print completions for a shell
    Completion(completion::Args),
}

/// A line that is answered by the grammar alone.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Text.
    pub text: String,
    /// 0 for help that was asked for, else 2.
    pub code: u8,
}

/// The tree of commands.
pub fn command() -> Command {
    Root::command()
}

/// Reads a line; the first word is the program.
pub fn parse(line: Vec<OsString>) -> Result<Root, Answer> {
    let line = switches(line);
    Root::try_parse_from(&line).map_err(|e| answer(&e, &line))
}

/// Every switch also takes `=true` and `=false`, some take the value as the next word.
fn switches(line: Vec<OsString>) -> Vec<OsString> {
    let levels = levels(&line, "");
    let is_switch = |word: &str| {
        word.strip_prefix("--").is_some_and(|long| {
            let all = levels.iter().flat_map(|(_, level)| level.get_arguments());
            all.filter(|a| a.get_long() == Some(long)).any(|a| matches!(a.get_action(), ArgAction::SetTrue))
        })
    };
    let mut plain: Vec<OsString> = Vec::with_capacity(line.len());
    for word in line {
        let text = word.to_str().unwrap_or_default();
        let value =
            |t: &str| ["true", "false"].iter().find(|v| t.eq_ignore_ascii_case(v)).map(|v| *v == "true");
        let attached = text.split_once('=').filter(|(flag, _)| is_switch(flag));
        let before = plain.last().and_then(|w| w.to_str()).filter(|w| BOOL_VALUE.contains(w));
        match (attached.and_then(|(flag, v)| Some((flag, value(v)?))), before.and_then(|_| value(text))) {
            (Some((flag, true)), _) => plain.push(flag.into()),
            (Some((_, false)), _) | (None, Some(true)) => {}
            (None, Some(false)) => {
                plain.pop();
            }
            (None, None) => plain.push(word),
        }
    }
    plain
}

fn answer(error: &clap::Error, line: &[OsString]) -> Answer {
    let bare = line.len() <= 1;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Answer { text: error.to_string(), code: 0 },
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand if bare => {
            Answer { text: command().render_help().to_string(), code: 0 }
        }
        ErrorKind::InvalidSubcommand => Answer { text: unknown_command(error, line), code: 2 },
        _ => {
            let text = error.to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
            Answer { text: format!("Incorrect Usage\n{text}\n"), code: 2 }
        }
    }
}

/// What the binary does before a line comes here: names for completion and for those who mistype them.
pub const SERVER: &[(&str, &str)] = &[
    ("server", "Start the server"),
    ("dev", "Start a throw-away server with a ready-made world"),
    ("demo", "Play the main job on a throw-away store"),
    ("recover", "Make a new API key for an owner who has none left"),
    ("agent", "Run the helper that makes the namespaces of instances and starts what runs in them"),
];

fn unknown_command(error: &clap::Error, line: &[OsString]) -> String {
    let word = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(word)) => word.clone(),
        _ => String::new(),
    };
    let Some((path, level)) = levels(line, &word).pop() else { return String::new() };
    let mut text = format!("Incorrect Usage\n'{path} {word}' is not a command.\n");
    if path == "avouch" && ABSENT.contains(&word.as_str()) {
        text.push_str("This command family is not part of this version.\n");
        return text;
    }
    if let Some((_, _, instead)) = ABSENT_COMMANDS.iter().find(|(at, name, _)| *at == path && *name == word) {
        let _ = writeln!(text, "This command is not part of this version. {instead}");
        return text;
    }
    let names = level.get_subcommands().filter(|c| !c.is_hide_set()).map(Command::get_name);
    let more = SERVER.iter().map(|(name, _)| *name).filter(|_| path == "avouch");
    let near = nearest(&word, names.chain(more));
    if !near.is_empty() {
        text.push_str("Did you mean:\n");
        for name in near {
            let _ = writeln!(text, "  {path} {name}");
        }
    }
    let _ = writeln!(text, "See '{path} --help'.");
    text
}

/// The levels that the line goes through, with their paths, up to the word `until`.
fn levels(line: &[OsString], until: &str) -> Vec<(String, Command)> {
    let root = command();
    let mut levels = vec![(root.get_name().to_owned(), root)];
    for word in line.iter().skip(1).filter_map(|w| w.to_str()) {
        if word == until {
            break;
        }
        let next = levels.last().and_then(|(path, level)| {
            let next = level.find_subcommand(word)?;
            Some((format!("{path} {}", next.get_name()), next.clone()))
        });
        levels.extend(next);
    }
    levels
}

/// Up to five names by edit distance, those that begin alike first.
fn nearest<'n>(word: &str, names: impl Iterator<Item = &'n str>) -> Vec<String> {
    let limit = (word.len() / 3).max(2);
    let mut scored: Vec<(usize, &str)> = names
        .filter_map(|name| {
            let distance = edit_distance(word, name);
            let begins = word.len() >= 3 && (name.starts_with(word) || word.starts_with(name));
            (begins || distance <= limit).then_some((if begins { 0 } else { distance }, name))
        })
        .collect();
    scored.sort_unstable();
    scored.into_iter().take(5).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
