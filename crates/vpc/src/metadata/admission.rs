//! What every call on a metadata service must be, whom it is about, and the event of it.

use std::sync::Arc;

use avouch_gate::audit::Initiator;
use avouch_gate::{Ctx, Details, Error, Kind, Permit, Request, Response, Result};
use avouch_wire::crn::Crn;
use avouch_wire::ids::IamId;
use avouch_wire::time::Timestamp;
use serde_json::{Map, Value, json};

use super::Who;
use crate::call::View;
use crate::errors::{in_header, in_parameter};
use crate::instances::{Instance, Status, life};
use crate::objects::Object;

/// The first version of the service, and the first without the older paths.
const FIRST: &str = "2022-03-01";
const WITHOUT_OLD_PATHS: &str = "2025-08-26";
/// Milliseconds of a day.
const DAY: i64 = 86_400_000;
/// What proxies add.
const FORWARDED: [&str; 5] = ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];

/// A request of an instance that may be served.
pub struct Admission {
    /// The request.
    pub ctx: Ctx,
    /// Its parts.
    pub request: Request,
    /// How its objects are shown.
    pub view: View,
    /// The instance as it is now.
    pub instance: Object<Instance>,
    /// Its resource name.
    pub crn: Crn,
}

/// An answer, with what its event says.
pub struct Told {
    pub response: Response,
    /// Told before the answer, not soon after.
    pub durable: bool,
    pub initiator: Option<Initiator>,
    pub details: Map<String, Value>,
}

impl Told {
    /// A read that reveals nothing secret.
    pub fn read(response: Response) -> Self {
        Self { response, durable: false, initiator: None, details: Map::new() }
    }
}

impl Admission {
    /// Checks what every call must be, before anything else of it is read.
    ///
    /// # Errors
    /// `Invalid`, `Missing`, `NotFound`, `Forbidden`.
    pub async fn of(who: Arc<Who>, ctx: &Ctx, request: Request) -> Result<Self> {
        forwarded(&request)?;
        host(&who, &request)?;
        let view = View::of(ctx.app(), &who.account);
        let instance = life::now(ctx.app(), &who.account, &who.id).await?.ok_or_else(off)?;
        version(ctx, &request)?;
        let live = matches!(instance.body.status, Status::Starting | Status::Running | Status::Restarting);
        if !instance.body.metadata_service.enabled {
            return Err(off());
        }
        if !live {
            return Err(Error::new(Kind::Forbidden, "The instance is not running.").reason("not_running"));
        }
        let crn = Crn::parse(&instance.crn(&view)).map_err(Error::internal)?;
        Ok(Self { ctx: ctx.clone(), request, view, instance, crn })
    }

    /// Refuses query parameters that the call does not have.
    ///
    /// # Errors
    /// `Invalid` naming the parameter.
    pub fn only(&self, known: &[&str]) -> Result<()> {
        let strange =
            self.request.query_pairs().find(|(name, _)| name != "version" && !known.contains(&name.as_ref()));
        match strange {
            None => Ok(()),
            Some((name, _)) => {
                let plain = name.len() <= 64
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
                let shown = if plain { name.into_owned() } else { "query".to_owned() };
                let text = format!("The query parameter '{shown}' is not known here.");
                Err(in_parameter(Error::invalid(shown, text)).code("unknown_field"))
            }
        }
    }

    /// The body as an object; nothing is an empty one. Whatever the content type: clients send what they like.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn body(&self) -> Result<Map<String, Value>> {
        if self.request.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Map::new());
        }
        match self.request.json_value().map_err(|e| e.code("invalid_request"))? {
            Value::Object(map) => Ok(map),
            _ => {
                Err(Error::invalid("body", "The request body must be a JSON object.").code("invalid_request"))
            }
        }
    }

    /// The instance itself as an initiator.
    pub fn initiator(&self) -> Initiator {
        Initiator {
            id: IamId::crn(&self.crn).as_str().to_owned(),
            name: self.instance.name.clone(),
            type_uri: "service/security/clientid".into(),
            credential: "compute-resource".into(),
            ..self.ctx.initiator()
        }
    }

    /// Writes the event of the call.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn tell(
        &self,
        action: &'static str,
        outcome: std::result::Result<&Told, &Error>,
    ) -> Result<()> {
        let mut target = self.view.target(&self.instance);
        let part =
            action.strip_prefix("is.metadata.").and_then(|rest| rest.split('.').next()).unwrap_or_default();
        target.type_uri = format!("is.metadata/{part}");
        let mut details = Details { action: Some(action.to_owned()), ..Details::default() };
        let mut initiator = self.initiator();
        let durable = match outcome {
            Ok(told) => {
                details.status = told.response.status;
                details.request.extend(told.details.clone());
                if let Some(other) = &told.initiator {
                    initiator = other.clone();
                }
                told.durable
            }
            Err(e) => {
                details.status = e.status_override().unwrap_or_else(|| e.kind().status());
                details.failure = Some(e.message().to_owned());
                true
            }
        };
        details.decision.insert("permitted".into(), json!(outcome.is_ok()));
        let permit = Permit::admitted(action, target, initiator);
        if durable {
            self.ctx.record(&permit, details).await
        } else {
            self.ctx.record_soon(&permit, details).await
        }
    }
}

fn off() -> Error {
    Error::new(Kind::Forbidden, "The metadata service is not enabled for the instance.")
        .reason("metadata_off")
}

/// A proxy that forwards somebody else's request is not the instance.
fn forwarded(request: &Request) -> Result<()> {
    match FORWARDED.iter().find(|name| request.header(name).is_some()) {
        None => Ok(()),
        Some(name) => Err(in_header(Error::invalid(*name, format!("The header '{name}' is refused here.")))),
    }
}

/// A page in a browser that was led here by another name asks for that name.
fn host(who: &Who, request: &Request) -> Result<()> {
    let named = request.header("host").unwrap_or_default();
    let bare = named
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(named, |(h, _)| h);
    if who.hosts.iter().any(|h| h.eq_ignore_ascii_case(bare)) {
        return Ok(());
    }
    Err(in_header(Error::invalid("Host", "The header 'Host' does not name the metadata service.")))
}

fn version(ctx: &Ctx, request: &Request) -> Result<()> {
    let Some(version) = request.query("version").map_err(in_parameter)? else {
        let missing = Error::new(Kind::Missing, "The query parameter 'version' is required.");
        return Err(in_parameter(missing.field("version")).code("missing_value"));
    };
    let range = |text: &str| {
        let e = Error::invalid("version", text.to_owned()).code("invalid_version_range");
        e.data(json!({"target": "parameter", "value": version}))
    };
    let day = Timestamp::parse_rfc3339(&format!("{version}T00:00:00Z"));
    let Some(day) = day.ok().filter(|_| version.len() == 10) else {
        return Err(in_parameter(Error::invalid(
            "version",
            "The query parameter 'version' must be a day as YYYY-MM-DD.",
        )));
    };
    if version.as_str() < FIRST {
        return Err(range("The `version` value cannot be before `2022-03-01`."));
    }
    // Somewhere it is tomorrow already.
    if day.millis() > ctx.now().millis() + DAY {
        return Err(range("The `version` value cannot be in the future."));
    }
    if request.path.starts_with("/instance_identity/") && version.as_str() >= WITHOUT_OLD_PATHS {
        return Err(
            Error::new(Kind::NotFound, "This method does not exist in this version.").reason("old_path")
        );
    }
    Ok(())
}
