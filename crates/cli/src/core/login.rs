//! `login` and `logout`. A login is kept only when everything that was asked for worked: token, account, resource
//! group, region.

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use crate::api::{Api, Call, loopback};
use crate::failure::{Result, failed, usage};
use crate::input;
use crate::output::cell;
use crate::resource::groups;
use crate::select;
use crate::session::{Session, env, tokens_of};
use crate::state::{Config, Named, Tokens};

use super::{account, target};

const API_KEY: &str = "urn:ibm:params:oauth:grant-type:apikey";
/// The metadata service, as a virtual server sees it.
const METADATA: &str = "http://169.254.169.254";
const METADATA_VERSION: &str = "2022-06-30";
const CR_TOKEN: &str = "urn:ibm:params:oauth:grant-type:cr-token";

/// Arguments of `login`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Address of the server
    #[arg(short = 'a', value_name = "ENDPOINT")]
    endpoint: Option<String>,
    /// Log in with the browser (not in this version)
    #[arg(long)]
    sso: bool,
    /// User name (not in this version)
    #[arg(short = 'u', value_name = "USER")]
    user: Option<String>,
    /// Password (not in this version)
    #[arg(short = 'p', value_name = "PASSWORD")]
    password: Option<String>,
    /// API key or @file; also IBMCLOUD_API_KEY
    #[arg(long, value_name = "KEY|@FILE", allow_hyphen_values = true, conflicts_with_all = ["cr_token", "vpc_cri", "profile"])]
    apikey: Option<String>,
    /// Compute resource token or @file; also IBMCLOUD_CR_TOKEN
    #[arg(long, value_name = "TOKEN|@FILE", conflicts_with = "vpc_cri")]
    cr_token: Option<String>,
    /// Log in as this virtual server, by its metadata service (or the one at IBMCLOUD_CR_VPC_URL)
    #[arg(long)]
    vpc_cri: bool,
    /// Trusted profile to log in as: id, name or CRN; also IBMCLOUD_CR_PROFILE
    #[arg(long, value_name = "ID|NAME|CRN")]
    profile: Option<String>,
    /// Account
    #[arg(short = 'c', value_name = "ACCOUNT", conflicts_with = "no_account")]
    account: Option<String>,
    /// Target no account
    #[arg(long)]
    no_account: bool,
    /// Accept an invitation (nothing to accept here)
    #[arg(long)]
    accept: bool,
    /// Resource group
    #[arg(short = 'g', value_name = "GROUP")]
    group: Option<String>,
    /// Region
    #[arg(short = 'r', value_name = "REGION", conflicts_with = "no_region")]
    region: Option<String>,
    /// Target no region
    #[arg(long)]
    no_region: bool,
    /// Private endpoint (the same here)
    #[arg(long)]
    vpc: bool,
    /// Do not check the server's certificate
    #[arg(long)]
    skip_ssl_validation: bool,
}

/// Runs `login`.
pub async fn run(s: &mut Session, args: Args) -> Result<()> {
    if args.sso {
        return Err(failed("Login with the browser comes in a later version. Use --apikey or --cr-token."));
    }
    if args.user.is_some() || args.password.is_some() {
        return Err(failed(
            "Login with user name and password is not available. Use --apikey or --cr-token.",
        ));
    }
    let credential = Credential::choose(&args)?;
    let endpoint = match args.endpoint.clone().or_else(|| env("AVOUCH_URL")) {
        Some(endpoint) => super::settings::address(&endpoint)?,
        None => s.endpoint(),
    };
    super::settings::warn_of_another(s, &endpoint);
    // A session that cannot be kept is not begun.
    drop(s.state.turn()?);
    if args.skip_ssl_validation {
        s.state.config.skip_tls = true;
    } else if s.state.config.endpoint != endpoint {
        s.state.config.skip_tls = false;
    }
    if s.state.config.skip_tls && !loopback(&endpoint) {
        s.out.note("WARNING: the server's certificate is not checked.");
    }
    if endpoint.starts_with("http:") && !loopback(&endpoint) {
        s.out.note("WARNING: the server is reached without TLS; whoever is in between reads the credential.");
    }
    if s.out.table() && !s.out.quiet {
        s.out.note(format!("API endpoint: {endpoint}"));
    }
    s.out.user.clear();
    s.out.progress("Authenticating");
    let anonymous = s.anonymous(&endpoint)?;
    let answer = credential.exchange(&anonymous, s).await?;
    let tokens = tokens_of(&answer)?;
    let api = anonymous.with_token(&tokens.access);
    s.out.user.clone_from(&api.claims.user);

    let refresh = tokens.refresh.clone();
    if let Err(e) = keep(s, &api, args, tokens).await {
        // Nobody has it, so nobody could end it later.
        let _ = end(&anonymous, refresh).await;
        return Err(e);
    }
    s.out.ok();
    target::show(s)
}

/// Checks what was asked for beside the token, and replaces the kept session.
async fn keep(s: &mut Session, api: &Api, args: Args, tokens: Tokens) -> Result<()> {
    let endpoint = api.endpoint().to_owned();
    let mut new = Config { region: s.state.config.region.clone(), ..Config::default() };
    if !args.no_account {
        new.account = account::own(api).await;
        let own = &new.account;
        if let Some(wanted) = args.account.as_ref().filter(|w| **w != own.guid && **w != own.name) {
            return Err(failed(format!(
                "The credential belongs to account {}, not to '{wanted}'.",
                own.guid
            )));
        }
    }
    if let Some(region) = args.region {
        target::warn_of_region(&s.out, &region);
        new.region = region;
    }
    if args.no_region {
        new.region.clear();
    }
    if let Some(wanted) = &args.group {
        let group = groups::find(api, wanted).await?;
        new.resource_group =
            Named { guid: crate::output::cell(&group, "id"), name: crate::output::cell(&group, "name") };
    }
    super::settings::replace_server(s, &endpoint, |s| {
        let config = &mut s.state.config;
        config.tokens = tokens;
        config.account = new.account;
        config.resource_group = new.resource_group;
        config.region = new.region;
    })
}

/// Runs `logout`.
pub async fn logout(s: &mut Session) -> Result<()> {
    s.out.user.clear();
    s.out.progress("Logging out");
    let mut over = Vec::new();
    let endpoint = s.endpoint();
    let forgotten = forget(s, &mut over);
    // What cannot be forgotten here is ended at the server all the more; there it ends by itself if it cannot be reached.
    let anonymous = s.anonymous(&endpoint)?;
    for tokens in over {
        if let Err(e) = end(&anonymous, tokens.refresh).await {
            s.out.note(format!("The server could not be told, so the refresh token lives on: {}", e.text()));
        }
    }
    forgotten?;
    s.out.ok();
    Ok(())
}

/// Forgets the session, and hands out the tokens that it had; also those of before a trusted profile was assumed.
fn forget(s: &mut Session, over: &mut Vec<Tokens>) -> Result<()> {
    let turn = s.state.turn();
    if turn.is_ok() {
        s.state.read_again()?;
    }
    let config = &s.state.config;
    over.extend([Some(config.tokens.clone()), config.original.clone()].into_iter().flatten());
    let _turn = turn?;
    s.state.forget_session();
    s.state.save_in_turn()
}

/// Ends a refresh token at the server.
async fn end(anonymous: &Api, refresh: String) -> Result<()> {
    if refresh.is_empty() {
        return Ok(());
    }
    anonymous.form("/avouch/v1/logout", &[("refresh_token", refresh)]).await.map(drop)
}

/// The token that the metadata service of this virtual server gives.
async fn as_server(s: &Session, profile: Option<&str>) -> Result<Value> {
    let service = match env("IBMCLOUD_CR_VPC_URL") {
        Some(address) => super::settings::address(&address)?,
        None => METADATA.to_owned(),
    };
    let versioned = |call: Call| call.query("version", METADATA_VERSION);
    let api = s.elsewhere(&service)?;
    let put = Call::put("/instance_identity/v1/token").header("metadata-flavor", "ibm");
    let identity = api.send(versioned(put)).await?;
    let post = Call::post("/instance_identity/v1/iam_token");
    let post = match profile {
        Some(profile) => {
            let field = profile_field(profile).trim_start_matches("profile_");
            post.json(json!({"trusted_profile": {field: profile}}))
        }
        None => post,
    };
    let api = api.with_token(&cell(&identity.body, "access_token"));
    Ok(api.send(versioned(post)).await?.body)
}

/// What a session is made from. No `Debug`: it is secret.
enum Credential {
    ApiKey(String),
    ComputeResource {
        token: String,
        profile: String,
    },
    /// This virtual server, as the profile or as its default one.
    Server {
        profile: Option<String>,
    },
}

impl Credential {
    /// Options go before variables, and an explicit profile means a compute resource token.
    fn choose(args: &Args) -> Result<Credential> {
        if let Some(key) = &args.apikey {
            return Ok(Credential::ApiKey(input::api_key(key)?));
        }
        if args.vpc_cri {
            let profile = args.profile.clone().or_else(|| env("IBMCLOUD_CR_PROFILE"));
            return Ok(Credential::Server { profile });
        }
        let token = args.cr_token.clone();
        let from_variable = || env("IBMCLOUD_CR_TOKEN");
        let token = match (&token, &args.profile, env("IBMCLOUD_API_KEY")) {
            (Some(_), _, _) => token,
            (None, Some(_), _) => {
                Some(from_variable().ok_or_else(|| usage("--profile: needs --cr-token as well."))?)
            }
            (None, None, Some(key)) => return Ok(Credential::ApiKey(input::api_key(&key)?)),
            (None, None, None) => from_variable(),
        };
        let Some(token) = token else {
            return Err(failed(
                "Nothing to log in with. Use --apikey KEY or @FILE, or set IBMCLOUD_API_KEY.",
            ));
        };
        let profile = args.profile.clone().or_else(|| env("IBMCLOUD_CR_PROFILE"));
        let profile = profile.ok_or_else(|| usage("--cr-token: needs --profile as well."))?;
        Ok(Credential::ComputeResource { token: input::word(&token)?, profile })
    }

    async fn exchange(self, api: &Api, s: &Session) -> Result<Value> {
        let (token, profile) = match self {
            Credential::Server { profile } => return as_server(s, profile.as_deref()).await,
            Credential::ApiKey(key) => {
                let form = [
                    ("grant_type", API_KEY.to_owned()),
                    ("apikey", key),
                    ("response_type", "cloud_iam".to_owned()),
                ];
                return api.token(&form).await;
            }
            Credential::ComputeResource { token, profile } => (token, profile),
        };
        let form = |field, value: &str| {
            vec![("grant_type", CR_TOKEN.to_owned()), ("cr_token", token.clone()), (field, value.to_owned())]
        };
        let field = profile_field(&profile);
        let answer = api.token(&form(field, &profile)).await;
        match answer {
            // A server without this field: the id in the CRN says the same.
            Err(e) if field == "profile_crn" && e.code() == "BXNIM0109E" => {
                api.token(&form("profile_id", select::id_of_crn(&profile))).await
            }
            other => other,
        }
    }
}

/// The field of the token request that a profile is named in.
pub fn profile_field(profile: &str) -> &'static str {
    if profile.starts_with("crn:") {
        "profile_crn"
    } else if select::prefixed(profile, "Profile-") || select::prefixed(profile, "iam-Profile-") {
        "profile_id"
    } else {
        "profile_name"
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn profiles_go_into_the_field_of_their_form() {
        assert_eq!(profile_field("shop"), "profile_name");
        assert_eq!(profile_field("Profile-of-shop"), "profile_name");
        assert_eq!(profile_field("Profile-6e1f7ea6-0000-4000-8000-000000000001"), "profile_id");
        assert_eq!(profile_field("iam-Profile-6e1f7ea6-0000-4000-8000-000000000001"), "profile_id");
        assert_eq!(
            profile_field("crn:v1:bluemix:public:iam-identity::a/0::profile:Profile-1"),
            "profile_crn"
        );
    }
}
