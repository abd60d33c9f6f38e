//! Features of the published interface that this server does not have: configurations, tasks of custom credentials, and
//! notifications. Nothing of them exists, so their collections are empty and each single one is not found; whoever wants to
//! create one is told why not.

use avouch_gate::{Ctx, Endpoint, Error, Kind, Request, Response, Result};
use serde_json::json;

use crate::access::scope;
use crate::at;
use crate::paging::page;

/// Endpoints of these features.
pub fn endpoints() -> Vec<Endpoint> {
    let mut all = configurations();
    all.extend(tasks());
    all.extend(notifications());
    all
}

fn configurations() -> Vec<Endpoint> {
    const TARGET: &str = "secrets-manager/configuration";
    const NONE: &str = "The configuration was not found.";
    vec![
        Endpoint::get(at!("/configurations"), "list_configurations", no_configurations)
            .actions(&["secrets-manager.configurations.list"])
            .events(TARGET, &["secrets-manager.configurations.list"]),
        Endpoint::post(at!("/configurations"), "create_configuration", |ctx, request| {
            refused(ctx, request, "secrets-manager.configuration.create", "Configurations")
        })
        .actions(&["secrets-manager.configuration.create"])
        .events(TARGET, &["secrets-manager.configuration.create"]),
        Endpoint::get(at!("/configurations/{name}"), "get_configuration", |ctx, request| {
            absent(ctx, request, "secrets-manager.configuration.read", NONE)
        })
        .actions(&["secrets-manager.configuration.read"])
        .events(TARGET, &["secrets-manager.configuration.read"]),
        Endpoint::patch(at!("/configurations/{name}"), "update_configuration", |ctx, request| {
            absent(ctx, request, "secrets-manager.configuration.update", NONE)
        })
        .actions(&["secrets-manager.configuration.update"])
        .events(TARGET, &["secrets-manager.configuration.update"]),
        Endpoint::delete(at!("/configurations/{name}"), "delete_configuration", |ctx, request| {
            absent(ctx, request, "secrets-manager.configuration.delete", NONE)
        })
        .actions(&["secrets-manager.configuration.delete"])
        .events(TARGET, &["secrets-manager.configuration.delete"]),
        Endpoint::post(
            at!("/configurations/{name}/actions"),
            "create_configuration_action",
            |ctx, request| absent(ctx, request, "secrets-manager.configuration-action.create", NONE),
        )
        .actions(&["secrets-manager.configuration-action.create"])
        .events(TARGET, &["secrets-manager.configuration-action.create"]),
    ]
}

fn tasks() -> Vec<Endpoint> {
    const TARGET: &str = "secrets-manager/secret-task";
    vec![
        Endpoint::get(at!("/secrets/{id}/tasks"), "list_secret_tasks", no_tasks)
            .actions(&["secrets-manager.secret-tasks.list"])
            .events(TARGET, &["secrets-manager.secret-tasks.list"]),
        Endpoint::get(at!("/secrets/{id}/tasks/{task}"), "get_secret_task", |ctx, request| {
            no_task(ctx, request, "secrets-manager.secret-task.read")
        })
        .actions(&["secrets-manager.secret-task.read"])
        .events(TARGET, &["secrets-manager.secret-task.read"]),
        Endpoint::put(at!("/secrets/{id}/tasks/{task}"), "replace_secret_task", |ctx, request| {
            no_task(ctx, request, "secrets-manager.secret-task.update")
        })
        .actions(&["secrets-manager.secret-task.update"])
        .events(TARGET, &["secrets-manager.secret-task.update"]),
        Endpoint::delete(at!("/secrets/{id}/tasks/{task}"), "delete_secret_task", |ctx, request| {
            no_task(ctx, request, "secrets-manager.secret-task.delete")
        })
        .actions(&["secrets-manager.secret-task.delete"])
        .events(TARGET, &["secrets-manager.secret-task.delete"]),
    ]
}

fn notifications() -> Vec<Endpoint> {
    const TARGET: &str = "secrets-manager/notifications-registration";
    const NONE: &str = "The notifications registration was not found.";
    const PATH: &str = at!("/notifications/registration");
    vec![
        Endpoint::post(PATH, "create_notifications_registration", |ctx, request| {
            refused(ctx, request, "secrets-manager.notifications-registration.create", "Notifications")
        })
        .actions(&["secrets-manager.notifications-registration.create"])
        .events(TARGET, &["secrets-manager.notifications-registration.create"]),
        Endpoint::get(PATH, "get_notifications_registration", |ctx, request| {
            absent(ctx, request, "secrets-manager.notifications-registration.read", NONE)
        })
        .actions(&["secrets-manager.notifications-registration.read"])
        .events(TARGET, &["secrets-manager.notifications-registration.read"]),
        Endpoint::delete(PATH, "delete_notifications_registration", |ctx, request| {
            absent(ctx, request, "secrets-manager.notifications-registration.delete", NONE)
        })
        .actions(&["secrets-manager.notifications-registration.delete"])
        .events(TARGET, &["secrets-manager.notifications-registration.delete"]),
        Endpoint::get(
            at!("/notifications/registration/test"),
            "get_notifications_registration_test",
            |ctx, request| absent(ctx, request, "secrets-manager.notifications-registration.test", NONE),
        )
        .actions(&["secrets-manager.notifications-registration.test"])
        .events(TARGET, &["secrets-manager.notifications-registration.test"]),
    ]
}

async fn no_configurations(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    ctx.authorize("secrets-manager.configurations.list", &scope.target(None).named("*")).await?;
    Response::json(200, &page(&request, "configurations", Vec::new(), (200, 1000))?)
}

async fn no_tasks(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    crate::secrets::load(&ctx, &scope, request.param("id")?, "secrets-manager.secret-tasks.list").await?;
    Response::json(200, &json!({"tasks": []}))
}

async fn no_task(ctx: Ctx, request: Request, action: &'static str) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    crate::secrets::load(&ctx, &scope, request.param("id")?, action).await?;
    Err(Error::new(Kind::NotFound, "The secret task was not found."))
}

async fn absent(ctx: Ctx, request: Request, action: &'static str, message: &'static str) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    ctx.authorize(action, &scope.target(None)).await?;
    Err(Error::new(Kind::NotFound, message))
}

async fn refused(ctx: Ctx, request: Request, action: &'static str, what: &str) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    ctx.authorize(action, &scope.target(None)).await?;
    Err(Error::new(Kind::Invalid, format!("{what} are not supported by this server.")))
}
