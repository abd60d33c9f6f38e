//! Secret groups: what access policies are made for.

pub mod http;
pub mod sql;

use avouch_gate::Endpoint;
use avouch_wire::time::Timestamp;
use serde_json::{Value, json};

use crate::access::{DEFAULT_GROUP, Scope};
use crate::at;

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// UUID, or `default`.
    pub id: String,
    /// Name, unique in the instance.
    pub name: String,
    /// Description.
    pub description: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Group {
    /// The group that every instance has.
    pub fn default_of(_scope: &Scope) -> Self {
        Self {
            id: DEFAULT_GROUP.into(),
            name: DEFAULT_GROUP.into(),
            description: Some("Secrets that belong to no other group.".into()),
            created_at: Timestamp::from_millis(0),
            created_by: "iam-ServiceId-avouch".into(),
            updated_at: Timestamp::from_millis(0),
        }
    }
}

/// The published shape.
pub fn render(g: &Group) -> Value {
    json!({
        "id": g.id,
        "name": g.name,
        "description": g.description.clone().unwrap_or_default(),
        "created_at": g.created_at.rfc3339_secs(),
        "created_by": g.created_by,
        "updated_at": g.updated_at.rfc3339_secs(),
    })
}

/// Endpoints of this resource.
pub fn endpoints() -> Vec<Endpoint> {
    const TARGET: &str = "secrets-manager/secret-group";
    vec![
        Endpoint::post(at!("/secret_groups"), "create_secret_group", http::create)
            .actions(&["secrets-manager.secret-group.create"])
            .events(TARGET, &["secrets-manager.secret-group.create"]),
        Endpoint::get(at!("/secret_groups"), "list_secret_groups", http::list)
            .actions(&["secrets-manager.secret-groups.list"])
            .events(TARGET, &["secrets-manager.secret-groups.list"]),
        Endpoint::get(at!("/secret_groups/{id}"), "get_secret_group", http::get)
            .actions(&["secrets-manager.secret-group.read"])
            .events(TARGET, &["secrets-manager.secret-group.read"]),
        Endpoint::patch(at!("/secret_groups/{id}"), "update_secret_group", http::update)
            .actions(&["secrets-manager.secret-group.update"])
            .events(TARGET, &["secrets-manager.secret-group.update"]),
        Endpoint::delete(at!("/secret_groups/{id}"), "delete_secret_group", http::delete)
            .actions(&["secrets-manager.secret-group.delete"])
            .events(TARGET, &["secrets-manager.secret-group.delete"]),
    ]
}
