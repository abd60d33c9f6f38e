//! `secrets-manager config`: the address of the instance that is meant when nothing else says.

use clap::{Subcommand, ValueEnum};
use serde_json::Value;

use crate::failure::{Result, failed};
use crate::session::Session;

const PLUGIN: &str = "secrets-manager";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Setting {
    ServiceUrl,
}

impl Setting {
    fn as_str(self) -> &'static str {
        "service-url"
    }
}

/// Commands on settings.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set a setting
    Set {
        #[arg(value_enum)]
        setting: Setting,
        value: String,
    },
    /// Show a setting
    Get {
        #[arg(value_enum)]
        setting: Setting,
    },
    /// Forget a setting
    Unset {
        #[arg(value_enum)]
        setting: Setting,
    },
    /// Show all settings
    List,
}

/// The address that was set.
pub fn service_url(s: &Session) -> Result<Option<String>> {
    let url = crate::output::cell(&Value::Object(s.state.plugin(PLUGIN)?), Setting::ServiceUrl.as_str());
    Ok(Some(url).filter(|u| !u.is_empty()))
}

/// Forgets the address that was set, for a login at another server; true if there was one.
pub fn forget_service_url(s: &Session) -> Result<bool> {
    let _turn = s.state.turn()?;
    let mut values = s.state.plugin(PLUGIN)?;
    let there = values.remove(Setting::ServiceUrl.as_str()).is_some();
    if there {
        s.state.save_plugin(PLUGIN, &values)?;
    }
    Ok(there)
}

/// Runs a command on settings.
pub fn run(s: &Session, command: Command) -> Result<()> {
    let _turn = match command {
        Command::Set { .. } | Command::Unset { .. } => Some(s.state.turn()?),
        Command::Get { .. } | Command::List => None,
    };
    let mut values = s.state.plugin(PLUGIN)?;
    match command {
        Command::Set { setting, value } => {
            values.insert(setting.as_str().into(), Value::String(super::service_base(&value)?));
            s.state.save_plugin(PLUGIN, &values)?;
        }
        Command::Unset { setting } => {
            values.remove(setting.as_str());
            s.state.save_plugin(PLUGIN, &values)?;
        }
        Command::Get { setting } => {
            let value = values.get(setting.as_str()).and_then(Value::as_str);
            let value = value.ok_or_else(|| failed(format!("'{}' is not set.", setting.as_str())))?;
            return s.out.line(value);
        }
        Command::List => {
            let all = Value::Object(values);
            return s.out.object(&all, &super::rows_of(&all));
        }
    }
    s.out.ok();
    Ok(())
}
