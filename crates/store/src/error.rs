//! Failures of the store, by meaning.

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A unique key is taken; `what` names the constraint or columns, never values.
    #[error("unique key taken: {what}")]
    Unique {
        /// Constraint (PostgreSQL) or `table.column` list (SQLite).
        what: String,
    },
    /// The engine cannot be reached or cannot write now.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// No space is left; reads go on.
    #[error("store full")]
    Full,
    /// The transaction lost against another one; the engine runs the closure again.
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
    /// A column does not hold what the code expects.
    #[error("type: {0}")]
    Type(String),
    /// Anything else.
    #[error("store: {0}")]
    Other(String),
}
