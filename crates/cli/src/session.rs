//! What every command starts from: the state file, the wanted output, and a client with a live token. A session of an
//! API key is prolonged silently; other sessions end and say so.

use std::time::Duration;

use serde_json::Value;

use crate::api::{Api, Claims, Reach};
use crate::failure::{Result, failed};
use crate::output::{Out, cell};
use crate::state::{State, Tokens};
use crate::trace::Trace;

const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:2868";
const DEFAULT_TIMEOUT: u64 = 60;
/// A token that lives shorter than this is renewed first.
const MARGIN: i64 = 30;

/// Context of a command.
pub struct Session {
    /// Where words and data go.
    pub out: Out,
    /// The state file.
    pub state: State,
    /// `-f` was given.
    pub force: bool,
}

impl Session {
    /// The address that commands use.
    pub fn endpoint(&self) -> String {
        match self.state.config.endpoint.as_str() {
            "" => {
                let named = env("AVOUCH_URL").unwrap_or_else(|| DEFAULT_ENDPOINT.into());
                crate::core::settings::address(&named).unwrap_or(named)
            }
            endpoint => endpoint.to_owned(),
        }
    }

    /// A client without a token.
    pub fn anonymous(&self, endpoint: &str) -> Result<Api> {
        self.reach(endpoint, self.state.config.skip_tls)
    }

    /// The same for another server: its certificate is checked in any case.
    pub fn elsewhere(&self, endpoint: &str) -> Result<Api> {
        self.reach(endpoint, false)
    }

    fn reach(&self, endpoint: &str, skip_tls: bool) -> Result<Api> {
        let config = &self.state.config;
        let timeout = match env("IBMCLOUD_HTTP_TIMEOUT") {
            Some(text) => {
                text.parse().map_err(|_| failed("IBMCLOUD_HTTP_TIMEOUT is not a number of seconds."))?
            }
            None => config.http_timeout,
        };
        let timeout = if timeout == 0 { DEFAULT_TIMEOUT } else { timeout };
        Api::new(Reach {
            endpoint: endpoint.to_owned(),
            skip_tls,
            timeout: Duration::from_secs(timeout),
            trace: Trace::parse(&env("IBMCLOUD_TRACE").unwrap_or_else(|| config.trace.clone())),
        })
    }

    /// A client with the session's token, renewed if need be.
    pub async fn api(&mut self) -> Result<Api> {
        let mut api = self.kept()?;
        if old(&api) {
            let _turn = self.state.turn()?;
            self.state.read_again()?;
            api = self.kept()?;
            if old(&api) {
                api = self.refreshed(None).await?;
            }
        }
        self.out.user.clone_from(&api.claims.user);
        Ok(api)
    }

    /// The same for another account, whose session replaces the kept one.
    pub async fn switch(&mut self, account: &str) -> Result<Api> {
        let _turn = self.state.turn()?;
        let endpoint = self.endpoint();
        self.state.read_again()?;
        if self.endpoint() != endpoint {
            return Err(failed("Another command has changed the session meanwhile. Try again."));
        }
        self.refreshed(Some(account)).await
    }

    /// A client with the token that is kept, at the address that it is for.
    fn kept(&self) -> Result<Api> {
        let tokens = &self.state.config.tokens;
        if tokens.access.is_empty() {
            return Err(failed("Not logged in. Use 'login' first."));
        }
        Ok(self.anonymous(&self.endpoint())?.with_token(&tokens.access))
    }

    /// Takes a new token by the refresh token, for another account if one is given. A refresh token works once, and its
    /// second use ends the session: whoever calls this has the turn, so that the new one can be kept.
    async fn refreshed(&mut self, account: Option<&str>) -> Result<Api> {
        let refresh = self.state.config.tokens.refresh.clone();
        let over = match (account, &self.state.config.original) {
            (Some(_), _) if refresh.is_empty() => {
                return Err(failed("This session is bound to its account. Log in to the other one."));
            }
            (None, Some(_)) => {
                "The session of the assumed trusted profile is over. 'iam trusted-profile-leave' goes back to the \
                 session before it."
            }
            _ => "Session expired. Log in again.",
        };
        if refresh.is_empty() {
            return Err(failed(over));
        }
        let mut form = vec![("grant_type", "refresh_token".to_owned()), ("refresh_token", refresh)];
        if let Some(account) = account {
            form.push(("account", account.to_owned()));
        }
        let anonymous = self.anonymous(&self.endpoint())?;
        let answer = anonymous.token(&form).await.map_err(|e| match e.code() {
            "BXNIM0407E" | "BXNIM0408E" | "BXNIM0439E" => match account {
                Some(account) => failed(format!(
                    "The session cannot be switched to account {account}; it is over, or its owner is not a user there.\n{}",
                    e.text()
                )),
                None => failed(over),
            },
            _ => e,
        })?;
        self.state.config.tokens = tokens_of(&answer)?;
        self.state.save_in_turn()?;
        self.kept()
    }

    /// Claims of the kept token.
    pub fn claims(&self) -> Claims {
        Claims::read(&self.state.config.tokens.access)
    }
}

/// True when the token has to be renewed before it is used.
fn old(api: &Api) -> bool {
    api.claims.expires - now() <= MARGIN
}

/// The tokens in an answer of the token endpoint.
pub fn tokens_of(answer: &Value) -> Result<Tokens> {
    let access = cell(answer, "access_token");
    if access.is_empty() {
        return Err(failed("The server answered without a token."));
    }
    // COMPAT: this literal stands where a session has no refresh token.
    let refresh = Some(cell(answer, "refresh_token")).filter(|r| r != "not_supported").unwrap_or_default();
    Ok(Tokens { access: format!("Bearer {access}"), refresh })
}

/// A variable that is set and not empty.
pub fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

/// Epoch seconds.
#[allow(clippy::disallowed_methods)] // the command line has no server context; it only looks whether its token is old
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.ok().and_then(|d| i64::try_from(d.as_secs()).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn unsupported_refresh_tokens_are_none() {
        let t = tokens_of(&json!({"access_token": "a", "refresh_token": "not_supported"})).unwrap();
        assert_eq!((t.access.as_str(), t.refresh.as_str()), ("Bearer a", ""));
        assert!(tokens_of(&json!({})).is_err());
    }
}
