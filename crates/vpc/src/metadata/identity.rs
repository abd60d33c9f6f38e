//! Instance identity tokens: signed here, verified here, good on the channel that they were given to and in the life of the
//! instance in which they were given.

use std::sync::Arc;

use avouch_crypto::jwks::VerifyingKey;
use avouch_crypto::jws::{Alg, SigningKey, TokenLimits, UnverifiedToken, compact};
use avouch_crypto::{base64url, digest, rng};
use avouch_gate::{App, Error, Kind, Response, Result};
use avouch_wire::time::Timestamp;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::admission::{Admission, Told};
use crate::errors::in_header;
use crate::interfaces::{Interface, addresses, logic};
use crate::objects::{Object, sql};
use crate::subnets::Subnet;
use crate::vpcs::Vpc;

/// Seconds that a token lives: least, most, and when nobody says.
const SECONDS: [i64; 3] = [5, 3600, 300];
/// Longest nonce.
const NONCE: usize = 256;
/// Milliseconds after which there is a new key. The one before stays: its tokens live for an hour.
const KEY_AGE: i64 = 30 * 86_400_000;
/// Keys that are kept.
const KEPT: usize = 2;
/// Where they are kept, and what they are bound to.
const NAME: &str = "vpc_identity_keys";

/// A key as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    kid: String,
    /// Epoch milliseconds.
    made: i64,
    /// In base64url.
    sealed: String,
}

struct Key {
    kid: String,
    made: i64,
    signing: SigningKey,
    verifying: VerifyingKey,
}

/// The keys of the issuer of this region, the newest first.
#[derive(Default)]
pub struct Keys {
    known: RwLock<Arc<Vec<Key>>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

/// The issuer.
pub fn issuer(region: &str) -> String {
    format!("VSI-CR_{region}")
}

fn read(app: &App, bytes: Option<Vec<u8>>) -> Result<Vec<Key>> {
    let Some(bytes) = bytes else { return Ok(Vec::new()) };
    let stored: Vec<Stored> = serde_json::from_slice(&bytes).map_err(Error::internal)?;
    let open = |s: &Stored| {
        let sealed = base64url::decode(&s.sealed).map_err(Error::internal)?;
        let der = app.keyring.open(bound(&s.kid).as_bytes(), &sealed).map_err(Error::internal)?;
        let signing = SigningKey::from_pkcs8(der.expose(), Alg::ES256).map_err(Error::internal)?;
        let verifying = signing.verifying_key().map_err(Error::internal)?;
        Ok(Key { kid: s.kid.clone(), made: s.made, signing, verifying })
    };
    stored.iter().map(open).collect()
}

fn bound(kid: &str) -> String {
    format!("{NAME}:{kid}")
}

impl Keys {
    async fn load(&self, app: &Arc<App>) -> Result<Arc<Vec<Key>>> {
        let bytes = app.store.read::<_, Error, _>(|tx| Ok(tx.system_value(NAME)?)).await?;
        let keys = Arc::new(read(app, bytes)?);
        *self.known.write() = keys.clone();
        Ok(keys)
    }

    /// The keys, the first of which signs.
    async fn current(&self, app: &Arc<App>) -> Result<Arc<Vec<Key>>> {
        let fresh = |keys: &[Key]| keys.first().is_some_and(|k| k.made > app.clock.now().millis() - KEY_AGE);
        let known = self.known.read().clone();
        if fresh(&known) {
            return Ok(known);
        }
        let loaded = self.load(app).await?;
        if fresh(&loaded) {
            return Ok(loaded);
        }
        let kid = format!("{}_{}", issuer(&app.config.region), rng::hex(app.rng.as_ref(), 8));
        let signing = SigningKey::generate(Alg::ES256).map_err(Error::internal)?;
        let sealed = app.keyring.seal(bound(&kid).as_bytes(), signing.to_pkcs8().expose());
        let made = app.clock.now().millis();
        let new = Stored { kid, made, sealed: base64url::encode(sealed) };
        app.store
            .write::<_, Error, _>(move |tx| {
                let mut all: Vec<Stored> = match tx.system_value(NAME)? {
                    Some(bytes) => serde_json::from_slice(&bytes).map_err(Error::internal)?,
                    None => Vec::new(),
                };
                // Another replica may have been faster.
                if all.first().is_none_or(|k| k.made <= made - KEY_AGE) {
                    all.insert(0, new.clone());
                    all.truncate(KEPT);
                    tx.set_system_value(NAME, &serde_json::to_vec(&all).map_err(Error::internal)?)?;
                }
                Ok(())
            })
            .await?;
        self.load(app).await
    }

    async fn with(&self, app: &Arc<App>, kid: &str) -> Result<Option<VerifyingKey>> {
        let find = |keys: &[Key]| keys.iter().find(|k| k.kid == kid).map(|k| k.verifying.clone());
        let known = self.known.read().clone();
        match find(&known) {
            Some(key) => Ok(Some(key)),
            // Of another replica, perhaps.
            None => Ok(find(&self.load(app).await?)),
        }
    }
}

/// What the networks of an instance say of it.
pub struct Networks {
    pub vpc: Value,
    pub subnets: Vec<Value>,
    pub addresses: Vec<String>,
}

/// Looks the networks up.
///
/// # Errors
/// Those of the store.
pub async fn networks(a: &Admission) -> Result<Networks> {
    let (view, instance) = (a.view.clone(), a.instance.clone());
    a.ctx
        .read(move |tx| {
            let vpc: Object<Vpc> = sql::need(tx, &view.account, &instance.parent)?;
            let vpc = json!({"crn": vpc.crn(&view), "id": vpc.id, "name": vpc.name});
            let (mut subnets, mut floating, mut own) = (Vec::new(), Vec::new(), Vec::new());
            for nic in &instance.body.nics {
                let interface: Object<Interface> = sql::need(tx, &view.account, &nic.interface)?;
                let subnet: Object<Subnet> = sql::need(tx, &view.account, &interface.body.subnet)?;
                let shown = json!({"crn": subnet.crn(&view), "id": subnet.id, "name": subnet.name});
                if !subnets.contains(&shown) {
                    subnets.push(shown);
                }
                floating
                    .extend(logic::floating(tx, &view, &interface.id)?.into_iter().map(|ip| ip.body.address));
                own.extend(addresses(tx, &view, &interface)?.into_iter().take(1).map(|ip| ip.body.address));
            }
            floating.extend(own);
            Ok(Networks { vpc, subnets, addresses: floating })
        })
        .await
}

fn printable(text: &str) -> bool {
    !text.is_empty() && text.len() <= NONCE && text.bytes().all(|b| (0x20..0x7f).contains(&b))
}

/// `PUT …/token`.
///
/// # Errors
/// `Invalid`, `Missing`.
pub async fn create(a: Arc<Admission>) -> Result<Told> {
    a.only(&[])?;
    match a.request.header("metadata-flavor") {
        Some("ibm") => {}
        None => {
            let missing = Error::new(Kind::Missing, "The header 'Metadata-Flavor' is required.");
            return Err(in_header(missing.field("Metadata-Flavor")).code("missing_value"));
        }
        Some(_) => {
            return Err(in_header(Error::invalid(
                "Metadata-Flavor",
                "The header 'Metadata-Flavor' must be 'ibm'.",
            )));
        }
    }
    let mut body = a.body()?;
    let seconds = match body.remove("expires_in") {
        None | Some(Value::Null) => SECONDS[2],
        Some(value) => {
            let [least, most, _] = SECONDS;
            value.as_i64().filter(|n| (least..=most).contains(n)).ok_or_else(|| {
                let text = format!("The property 'expires_in' must be a number from {least} to {most}.");
                let shown = if value.is_number() { value.to_string() } else { String::new() };
                Error::invalid("expires_in", text).data(json!({"target": "field", "value": shown}))
            })?
        }
    };
    let nonce = match body.remove("nonce") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if printable(&text) => Some(text),
        Some(_) => {
            return Err(Error::invalid(
                "nonce",
                format!("The property 'nonce' must have 1 to {NONCE} printable characters."),
            ));
        }
    };
    nothing_else(&body)?;

    let app = a.ctx.app();
    let networks = networks(&a).await?;
    let now = a.ctx.now();
    let exp = now.secs() + seconds;
    let o = &a.instance;
    let region = &a.view.region.name;
    let host = digest::hex(&digest::sha256(o.body.node.as_bytes())).chars().take(32).collect::<String>();
    let mut claims = json!({
        "iss": issuer(region),
        "aud": [issuer(region), host],
        "iat": now.secs(),
        "exp": exp,
        "iaas": {
            "crn": a.crn.to_string(),
            "accountID": a.view.account.as_str(),
            "instanceID": o.id,
            "zone": o.body.zone,
            "region": region,
            "profile_name": o.body.profile,
            "resource_group_id": o.group,
        },
        "ip_addresses": networks.addresses.iter().map(|ip| json!({"address": ip})).collect::<Vec<_>>(),
        "subnets": networks.subnets,
        "vpc": networks.vpc,
        "life": o.body.life,
    });
    if let (Some(nonce), Some(claims)) = (&nonce, claims.as_object_mut()) {
        claims.insert("nonce".into(), json!(nonce));
    }
    let keys = app.state::<Keys>()?.current(app).await?;
    let key = keys.first().ok_or_else(|| Error::internal("no key of the identity issuer"))?;
    let token = compact(&key.signing, &key.kid, &claims);
    let mut answer = json!({
        "access_token": token,
        // COMPAT: a published walk-through reads this name.
        "instance_identity_token": token,
        "created_at": Timestamp::from_secs(now.secs()).rfc3339_millis(),
        "expires_at": Timestamp::from_secs(exp).rfc3339_millis(),
        "expires_in": seconds,
    });
    if let (Some(nonce), Some(answer)) = (nonce, answer.as_object_mut()) {
        answer.insert("nonce".into(), json!(nonce));
    }
    let mut details = Map::new();
    details.insert("expires_in".into(), json!(seconds));
    let response = Response::json(200, &answer)?;
    Ok(Told { response, durable: true, initiator: None, details })
}

/// Refuses members that nobody asked for.
///
/// # Errors
/// `Invalid` naming the member, where its name is one.
pub fn nothing_else(body: &Map<String, Value>) -> Result<()> {
    let Some(name) = body.keys().next() else { return Ok(()) };
    let plain = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    let shown = if plain { name.clone() } else { "body".to_owned() };
    Err(Error::invalid(shown, "The request body has a property that is not known here.")
        .code("unknown_field"))
}

/// The bearer token of a call: an identity token of this instance, in this life of it.
///
/// # Errors
/// `Unauthenticated`, one text for all reasons.
pub async fn bearer(a: &Admission) -> Result<()> {
    let refused = |reason: &'static str| {
        Error::new(Kind::Unauthenticated, "The instance identity token is missing or not valid.")
            .reason(reason)
    };
    let header = a.request.header("authorization").ok_or_else(|| refused("no_token"))?;
    let token = header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let (_, token) = token.ok_or_else(|| refused("no_token"))?;
    let token = UnverifiedToken::parse(token.trim(), &TokenLimits::default()).map_err(|_| refused("form"))?;
    if token.unverified_issuer() != Some(&issuer(&a.view.region.name)) {
        return Err(refused("issuer"));
    }
    let kid = token.kid().ok_or_else(|| refused("kid"))?.to_owned();
    let app = a.ctx.app();
    let key = app.state::<Keys>()?.with(app, &kid).await?.ok_or_else(|| refused("kid"))?;
    let claims = token.verify(&key).map_err(|_| refused("signature"))?.claims;
    let now = a.ctx.now().secs();
    let number = |name: &str| claims.get(name).and_then(Value::as_i64).unwrap_or(0);
    if number("exp") <= now {
        return Err(refused("expired"));
    }
    // Whoever carried it elsewhere is not this instance; and what stopped is not what runs now.
    let crn = claims.get("iaas").and_then(|i| i.get("crn")).and_then(Value::as_str);
    if crn != Some(a.crn.to_string().as_str()) || number("life") != a.instance.body.life {
        return Err(refused("channel"));
    }
    Ok(())
}
