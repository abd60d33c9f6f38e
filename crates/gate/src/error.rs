//! One vocabulary of failures.
//!
//! A kind says what happened; each service renders it in its published shape. Messages name the field at fault and
//! never carry a value that a caller sent or a private cause.

use std::borrow::Cow;

/// What went wrong, by meaning. The HTTP status follows from it unless [`Error::status`] overrides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A value is malformed or not allowed: 400.
    Invalid,
    /// A required field, parameter or header is absent or empty: 400.
    Missing,
    /// No usable bearer token: 401.
    Unauthenticated,
    /// The caller may not do this: 403.
    Forbidden,
    /// Nothing of that id, or nothing that the caller may know of: 404.
    NotFound,
    /// The path exists with other methods: 405.
    MethodNotAllowed,
    /// Something of that name or content exists already: 409.
    Conflict,
    /// `If-Match` names another revision: 409.
    Stale,
    /// The object is gone for good: 410.
    Gone,
    /// The object is locked: the service chooses between 409, 412 and 422.
    Locked,
    /// A condition of the request does not hold: 412.
    Precondition,
    /// The body is larger than the endpoint reads: 413.
    TooLarge,
    /// The content type is not read here: 415.
    UnsupportedMedia,
    /// Well-formed, and impossible: 422.
    Unprocessable,
    /// A quota is used up; the service chooses the status.
    Limit,
    /// Too many requests: 429 with `Retry-After`.
    RateLimited,
    /// Something that the server needs is not there; try again: 503 with `Retry-After`.
    Unavailable,
    /// A defect: 500.
    Internal,
}

impl Kind {
    /// The status that fits the kind where the service has no other wish.
    pub fn status(self) -> u16 {
        match self {
            Kind::Invalid | Kind::Missing => 400,
            Kind::Unauthenticated => 401,
            Kind::Forbidden => 403,
            Kind::NotFound => 404,
            Kind::MethodNotAllowed => 405,
            Kind::Conflict | Kind::Stale | Kind::Locked => 409,
            Kind::Gone => 410,
            Kind::Precondition => 412,
            Kind::TooLarge => 413,
            Kind::UnsupportedMedia => 415,
            Kind::Unprocessable | Kind::Limit => 422,
            Kind::RateLimited => 429,
            Kind::Internal => 500,
            Kind::Unavailable => 503,
        }
    }
}

/// The label of a panic.
const PANIC: &str = "panic";
const UNKNOWN_OUTCOME: &str = "unknown_outcome";

/// A failure on its way to the caller.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    code: Option<Cow<'static, str>>,
    status: Option<u16>,
    message: Cow<'static, str>,
    details: Option<String>,
    field: Option<Cow<'static, str>>,
    data: Option<serde_json::Value>,
    retry_after: Option<u32>,
    reason: Option<&'static str>,
    cause: Option<String>,
}

/// Result with the error of the gate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure of `kind` with a public message.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            code: None,
            status: None,
            message: message.into(),
            details: None,
            field: None,
            data: None,
            retry_after: None,
            reason: None,
            cause: None,
        }))
    }

    /// A value that is not allowed, named by its field.
    pub fn invalid(field: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Invalid, message).field(field)
    }

    /// A required field that is absent or empty.
    pub fn missing(field: impl Into<Cow<'static, str>>) -> Self {
        let field = field.into();
        Self::new(Kind::Missing, format!("The property '{field}' is missing or empty.")).field(field)
    }

    /// Nothing of this kind under that id.
    pub fn not_found(kind: &str, id: &str) -> Self {
        let shown: String = id.chars().filter(|c| !c.is_control()).take(128).collect();
        Self::new(Kind::NotFound, format!("{kind} with ID '{shown}' not found."))
    }

    /// The caller may not do this.
    pub fn forbidden() -> Self {
        Self::new(Kind::Forbidden, "You are not authorized to use this API.")
    }

    /// Something of that name or content is there already.
    pub fn conflict(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Conflict, message)
    }

    /// A defect; `cause` goes to the log only.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        Self::new(Kind::Internal, "The request could not be processed.").cause(cause)
    }

    /// A panic on the way of a request; `place` goes to the log only.
    pub fn panicked(place: &str) -> Self {
        Self::internal(format!("{place} panicked")).reason(PANIC)
    }

    /// Something needed is not there for the moment.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        let mut e = Self::new(Kind::Unavailable, message);
        e.0.retry_after = Some(2);
        e
    }

    /// Overrides the machine code that the service would choose by kind.
    #[must_use]
    pub fn code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    /// Overrides the status that the service would choose by kind.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    /// A longer public text.
    #[must_use]
    pub fn details(mut self, details: impl Into<String>) -> Self {
        self.0.details = Some(details.into());
        self
    }

    /// The field at fault.
    #[must_use]
    pub fn field(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// Structured public data, for services whose errors carry some (`conflicts_with`).
    #[must_use]
    pub fn data(mut self, data: serde_json::Value) -> Self {
        self.0.data = Some(data);
        self
    }

    /// Seconds until a new try makes sense.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// A bounded private label: for metrics and the audit trail, never for the caller.
    #[must_use]
    pub fn reason(mut self, reason: &'static str) -> Self {
        self.0.reason = Some(reason);
        self
    }

    /// The private cause, for the log.
    #[must_use]
    pub fn cause(mut self, cause: impl std::fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// What happened.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The overriding status, if any.
    pub fn status_override(&self) -> Option<u16> {
        self.0.status
    }

    /// The overriding machine code, if any.
    pub fn code_override(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The public message.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The longer public text, if any.
    pub fn details_text(&self) -> Option<&str> {
        self.0.details.as_deref()
    }

    /// The field at fault, if any.
    pub fn field_name(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// Structured public data, if any.
    pub fn data_value(&self) -> Option<&serde_json::Value> {
        self.0.data.as_ref()
    }

    /// Seconds until a new try makes sense, if known.
    pub fn retry_after_secs(&self) -> Option<u32> {
        self.0.retry_after
    }

    /// The private label, if any.
    pub fn reason_label(&self) -> Option<&'static str> {
        self.0.reason
    }

    /// Whether a panic is behind it.
    pub fn is_panic(&self) -> bool {
        self.0.reason == Some(PANIC)
    }

    /// Whether the store failed at the end of a change, so that it may have been kept.
    pub fn is_unknown_outcome(&self) -> bool {
        self.0.reason == Some(UNKNOWN_OUTCOME)
    }

    /// The private cause, if any.
    pub fn cause_text(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {}

impl From<avouch_store::Error> for Error {
    fn from(e: avouch_store::Error) -> Self {
        match e {
            avouch_store::Error::Unique { .. } => {
                Error::new(Kind::Conflict, "An object with the same name or content already exists.").cause(e)
            }
            avouch_store::Error::Full => {
                Error::unavailable("The store is full; nothing was changed.").retry_after(30).cause(e)
            }
            avouch_store::Error::Unavailable { .. } => {
                Error::unavailable("The store cannot be written at the moment; nothing was changed.").cause(e)
            }
            avouch_store::Error::Unknown(_) => Error::unavailable(
                "The store failed at the end of the change: it is not known whether it was kept.",
            )
            .reason(UNKNOWN_OUTCOME)
            .cause(e),
            // Only what a caller sent can hold one.
            avouch_store::Error::Nul => Error::new(
                Kind::Invalid,
                "The request holds a character that no text here may have (U+0000).",
            )
            .cause(e),
            avouch_store::Error::Panicked => Error::panicked("a closure on the store"),
            other => Error::internal(other),
        }
    }
}
