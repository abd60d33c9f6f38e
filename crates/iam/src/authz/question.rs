//! What is asked: a subject, an action, a resource.

use avouch_crypto::{base64url, strict_json};
use avouch_gate::access::{Asker, Home};
use avouch_gate::links::Life;
use avouch_gate::{Ctx, Error, Result};
use avouch_policy::access::{Key, ResourceAttrs};
use avouch_wire::crn::Crn;
use avouch_wire::ids::{AccountId, IamId, IamKind};
use avouch_wire::time::Timestamp;
use serde_json::{Map, Value};

/// Longest value of an attribute, characters.
const VALUE_MAX: usize = 1000;

/// Who is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// IAM id.
    pub id: IamId,
    /// Account of its tokens, if the question says so.
    pub home: Option<AccountId>,
    /// The token that it comes with; without one, a token of now.
    pub token: Option<Token>,
}

/// What is known of a token that a subject comes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    /// Nothing in it speaks against it.
    pub sound: bool,
    /// When it was issued, if it says so.
    pub issued: Option<Timestamp>,
}

/// What is asked about.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// Account that owns it.
    pub account: AccountId,
    /// Attributes that the decision looks at.
    pub attrs: ResourceAttrs,
    /// Attributes as they were asked with.
    pub shown: Map<String, Value>,
}

/// One question.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Echoed.
    pub request_id: Option<String>,
    /// Who.
    pub subject: Subject,
    /// What; empty where roles are asked for.
    pub action: String,
    /// On what.
    pub resource: Resource,
}

fn text<'v>(object: &'v Map<String, Value>, name: &str) -> Option<&'v str> {
    object.get(name).and_then(Value::as_str).filter(|t| !t.is_empty() && t.chars().count() <= VALUE_MAX)
}

impl Question {
    /// One element of a call.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn read(ctx: &Ctx, value: &Value, with_action: bool) -> Result<Self> {
        let object =
            value.as_object().ok_or_else(|| Error::invalid("body", "Each question must be an object."))?;
        let action = match object.get("action") {
            Some(_) if with_action => action(object)?,
            None if with_action => return Err(Error::missing("action")),
            Some(_) => return Err(Error::invalid("action", "A question about roles has no 'action'.")),
            None => String::new(),
        };
        Ok(Self {
            request_id: text(object, "requestId").map(str::to_owned),
            subject: Subject::read(ctx, object.get("subject"))?,
            action,
            resource: Resource::read(object.get("resource"))?,
        })
    }

    /// The elements of a bulk call: one subject and action, many resources.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn read_bulk(ctx: &Ctx, value: &Value, max: usize) -> Result<Vec<Self>> {
        let object =
            value.as_object().ok_or_else(|| Error::invalid("body", "The request body must be an object."))?;
        let action = action(object)?;
        let subject = Subject::read(ctx, object.get("subject"))?;
        let bad = || Error::invalid("resources", "The property 'resources' must hold 1 to 1000 resources.");
        let resources: Vec<Resource> = match object.get("resources") {
            Some(Value::Array(list)) if !list.is_empty() && list.len() <= max => {
                list.iter().map(|r| Resource::read(Some(r))).collect::<Result<_>>()?
            }
            Some(Value::Object(parts)) => {
                let shared =
                    parts.get("sharedAttributes").and_then(Value::as_object).cloned().unwrap_or_default();
                let unique = parts.get("uniqueAttributes").and_then(Value::as_array).ok_or_else(bad)?;
                if unique.is_empty() || unique.len() > max {
                    return Err(bad());
                }
                unique
                    .iter()
                    .map(|own| {
                        let mut all = shared.clone();
                        all.extend(own.as_object().ok_or_else(bad)?.clone());
                        Resource::from_attributes(&all)
                    })
                    .collect::<Result<_>>()?
            }
            _ => return Err(bad()),
        };
        Ok(resources
            .into_iter()
            .map(|resource| Self {
                request_id: None,
                subject: subject.clone(),
                action: action.clone(),
                resource,
            })
            .collect())
    }
}

fn action(object: &Map<String, Value>) -> Result<String> {
    text(object, "action")
        .map(str::to_owned)
        .ok_or_else(|| Error::invalid("action", "The property 'action' must be the name of an action."))
}

impl Subject {
    /// One whose token is of the account `home`, where that is known; that of a service is in its name.
    pub fn new(id: IamId, home: Option<AccountId>, token: Option<Token>) -> Self {
        let home = home.or_else(|| id.as_crn().and_then(|crn| crn.account()));
        Self { id, home, token }
    }

    fn read(ctx: &Ctx, value: Option<&Value>) -> Result<Self> {
        let bad = || Error::invalid("subject", "The property 'subject' must name an identity.");
        let object = value.and_then(Value::as_object).ok_or_else(bad)?;
        let empty = Map::new();
        let attributes = object.get("attributes").and_then(Value::as_object).unwrap_or(&empty);
        let body = object.get("accessTokenBody").or_else(|| attributes.get("accessTokenBody"));
        if let Some(body) = body {
            return Self::from_token_body(ctx, body.as_str().ok_or_else(bad)?);
        }
        let home = match text(attributes, "accountId") {
            Some(account) => Some(AccountId::parse(account).map_err(|_| bad())?),
            None => None,
        };
        if let Some(id) = text(attributes, "id") {
            return Ok(Self::new(IamId::parse(id).map_err(|_| bad())?, home, None));
        }
        // A service names itself by the attributes of its own resource name.
        let account = home.as_ref().ok_or_else(bad)?;
        let service = text(attributes, "serviceName").ok_or_else(bad)?;
        let part = |name| text(attributes, name).unwrap_or_default();
        let crn = format!(
            "crn:v1:bluemix:public:{service}:{}:a/{account}:{}:{}:{}",
            part("region"),
            part("serviceInstance"),
            part("resourceType"),
            part("resource")
        );
        let crn = Crn::parse(&crn).map_err(|_| bad())?;
        Ok(Self::new(IamId::crn(&crn), home, None))
    }

    fn from_token_body(ctx: &Ctx, body: &str) -> Result<Self> {
        let bad = || {
            Error::invalid("accessTokenBody", "The property 'accessTokenBody' is not the body of a token.")
        };
        if body.len() > 16 * 1024 {
            return Err(bad());
        }
        let bytes = base64url::decode(body).map_err(|_| bad())?;
        let limits = strict_json::Limits { max_depth: 16, max_members: 500 };
        let claims = strict_json::parse_object(&bytes, limits).map_err(|_| bad())?;
        let id = claims.get("iam_id").and_then(Value::as_str).ok_or_else(bad)?;
        let account = claims.get("account").and_then(|a| a.get("bss")).and_then(Value::as_str);
        let home = account.map(AccountId::parse).transpose().map_err(|_| bad())?;
        let token = Token {
            sound: ctx.app().authn.heed(&claims, ctx.now()).is_ok(),
            issued: claims.get("iat").and_then(Value::as_i64).map(Timestamp::from_secs),
        };
        Ok(Self::new(IamId::parse(id).map_err(|_| bad())?, home, Some(token)))
    }
}

impl Resource {
    fn read(value: Option<&Value>) -> Result<Self> {
        let bad = || Error::invalid("resource", "The property 'resource' must hold 'crn' or 'attributes'.");
        let object = value.and_then(Value::as_object).ok_or_else(bad)?;
        if let Some(crn) = object.get("crn") {
            let crn = Crn::parse(crn.as_str().ok_or_else(bad)?).map_err(|_| bad())?;
            let attrs = ResourceAttrs::from_crn(&crn).ok_or_else(bad)?;
            let account = crn.account().ok_or_else(bad)?;
            let mut shown = Map::new();
            for (key, value) in attrs.iter() {
                let told = [
                    Key::ACCOUNT,
                    Key::SERVICE,
                    Key::REGION,
                    Key::INSTANCE,
                    Key::RESOURCE_TYPE,
                    Key::RESOURCE,
                ];
                if told.contains(&key) {
                    shown.insert(key.as_str().to_owned(), value.into());
                }
            }
            return Ok(Self { account, attrs, shown });
        }
        Self::from_attributes(object.get("attributes").and_then(Value::as_object).ok_or_else(bad)?)
    }

    fn from_attributes(attributes: &Map<String, Value>) -> Result<Self> {
        let bad = || {
            Error::invalid(
                "resource",
                "The attributes of a resource must be texts and hold 'accountId' and 'serviceName'.",
            )
        };
        if attributes.values().any(|v| v.as_str().is_none_or(|t| t.chars().count() > VALUE_MAX)) {
            return Err(bad());
        }
        let account = AccountId::parse(text(attributes, "accountId").ok_or_else(bad)?).map_err(|_| bad())?;
        let service = text(attributes, "serviceName").ok_or_else(bad)?;
        let mut attrs = ResourceAttrs::service(&account, service);
        for (name, value) in attributes {
            // The type and group of a service come from the catalogue, whatever the question says.
            let derived =
                matches!(name.as_str(), "accountId" | "serviceName" | "serviceType" | "service_group_id");
            if let Some(value) = value.as_str().filter(|v| !derived && !v.is_empty()) {
                attrs = attrs.with(name, value);
            }
        }
        Ok(Self { account, attrs, shown: attributes.clone() })
    }

    /// Adds what the store knows of the service instance: its resource group and tags, and nothing that the question said
    /// itself.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn complete(&mut self, ctx: &Ctx) -> Result<()> {
        let Some(guid) = self.attrs.get(Key::INSTANCE) else { return Ok(()) };
        let Some(info) = ctx.app().instance(guid).await? else { return Ok(()) };
        if info.account != self.account || self.attrs.get(Key::SERVICE) != Some(info.service.as_str()) {
            return Ok(());
        }
        let mut attrs = std::mem::take(&mut self.attrs).resource_group(&info.resource_group).tags(info.tags);
        if attrs.get(Key::REGION).is_none() {
            attrs = attrs.region(&info.region);
        }
        self.attrs = attrs;
        Ok(())
    }
}

/// What is known of a subject, as seen from the account that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether it may act at all. It lives where nobody can know.
    pub life: Life,
    /// No account was named, and it does not live in this one.
    pub unknown: bool,
}

impl Standing {
    const UNKNOWN: Standing = Standing { life: Life::Lives, unknown: true };

    /// Of one whose account is known.
    pub fn known(life: Life) -> Standing {
        Standing { life, unknown: false }
    }
}

impl Subject {
    /// Who asks, for the decision of `account`.
    pub fn asker(&self, account: &AccountId, standing: Standing) -> Asker<'_> {
        let home = match &self.home {
            Some(home) => Home::seen_from(account, home),
            None if standing.unknown => Home::Unknown,
            None => Home::Own,
        };
        Asker { iam_id: &self.id, home }
    }
}

/// Whether the subject lives, and whether in `account`, as far as can be known.
///
/// # Errors
/// Those of the store.
pub async fn standing(ctx: &Ctx, subject: &Subject, account: &AccountId) -> Result<Standing> {
    if subject.token.is_some_and(|token| !token.sound) {
        return Ok(Standing::known(Life::Stale));
    }
    if subject.home.is_none() && subject.id.kind() == IamKind::Crn {
        return Ok(Standing::UNKNOWN);
    }
    let state = ctx.app().identity(subject.home.as_ref().unwrap_or(account), &subject.id).await?;
    // No account was named, so the subject may live in another one; a user who is known here and inactive does not.
    if subject.home.is_none() && !state.known {
        return Ok(Standing::UNKNOWN);
    }
    Ok(Standing::known(match subject.token {
        Some(token) => state.life(token.issued, ctx.now()),
        None if state.alive => Life::Lives,
        None => Life::Gone,
    }))
}
