//! What the other services stand on: accounts, users, resource groups, service instances, the audit search.

pub mod accounts;
pub mod audit;
pub mod errors;
pub mod instances;
pub mod reclamations;
pub mod resource_groups;
pub mod users;

use std::sync::Arc;

use avouch_gate::{App, Endpoint, Result, Service};

/// Resource controller: service instances and reclamations.
pub fn resource_service() -> Service {
    let mut endpoints = instances::endpoints();
    endpoints.extend(reclamations::endpoints());
    Service {
        name: "resource-controller",
        display: "Resource Controller",
        endpoints,
        render: errors::controller,
    }
}

/// Resource manager: resource groups.
pub fn resource_manager_service() -> Service {
    let endpoints = resource_groups::endpoints();
    Service { name: "resource-manager", display: "Resource Controller", endpoints, render: errors::manager }
}

/// Users of an account, and more accounts for the operator.
pub fn accounts_service() -> Service {
    let endpoints: Vec<Endpoint> =
        accounts::http::endpoints().into_iter().chain(users::http::endpoints()).collect();
    Service { name: "user-management", display: "User Management", endpoints, render: errors::manager }
}

/// The audit trail of the caller's account.
pub fn audit_service() -> Service {
    Service {
        name: "atracker",
        display: "Activity Tracker",
        endpoints: audit::endpoints(),
        render: errors::manager,
    }
}

/// One round of the background work: reclamations that are due.
///
/// # Errors
/// Those of the store.
pub async fn tick(app: &Arc<App>) -> Result<()> {
    reclamations::logic::tick(app).await
}
