//! Failures of the store, by meaning. No text of an error holds a value of a row or parameter.

/// What went wrong.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A unique key is taken; `what` names the constraint or columns, never values.
    #[error("unique key taken: {what}")]
    Unique {
        /// Constraint (PostgreSQL) or `table.column` list (SQLite).
        what: String,
    },
    /// The engine cannot be reached, cannot write now, or has too much to do.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// The engine failed while it committed: the change may have been kept, or not.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// No space is left; reads go on.
    #[error("store full")]
    Full,
    /// The transaction lost against another one. Closures may see it and pass it on; callers never do, because the
    /// engine runs the closure again.
    #[error("serialization failure")]
    Serialization,
    /// The data file is damaged.
    #[error("store damaged: {0}")]
    Corrupt(String),
    /// The schema is not what this program knows.
    #[error("schema: {0}")]
    Schema(String),
    /// Another server uses the folder.
    #[error("{0}")]
    Locked(String),
    /// A parameter is a text with a NUL.
    #[error("text with a NUL")]
    Nul,
    /// A column or parameter does not hold what the code expects.
    #[error("type: {0}")]
    Type(String),
    /// The closure panicked; nothing was changed.
    #[error("a closure panicked")]
    Panicked,
    /// Anything else.
    #[error("store: {0}")]
    Other(String),
}

impl Error {
    pub(crate) fn closed() -> Self {
        Error::Unavailable("the store is closed".into())
    }

    /// Nothing is written to a database that is damaged: it could not be found again.
    pub(crate) fn damaged() -> Self {
        Error::Unavailable("the database is damaged".into())
    }

    pub(crate) fn overloaded() -> Self {
        Error::Unavailable("too many requests wait for the store".into())
    }
}
