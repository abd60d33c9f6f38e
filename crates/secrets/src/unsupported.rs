//! Collections of features that this server does not have yet: configurations, tasks, notifications. They are listed as
//! empty, and whoever wants to create one is told.

use avouch_gate::{Ctx, Endpoint, Error, Kind, Request, Response, Result};
use serde_json::json;

use crate::access::scope;
use crate::at;
use crate::paging::page;

/// Endpoints of these collections.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get(at!("/configurations"), "list_configurations", configurations)
            .actions(&["secrets-manager.configurations.list"])
            .events("secrets-manager/configuration", &["secrets-manager.configurations.list"]),
        Endpoint::post(at!("/configurations"), "create_configuration", create)
            .actions(&["secrets-manager.configuration.create"])
            .events("secrets-manager/configuration", &["secrets-manager.configuration.create"]),
        Endpoint::get(at!("/secrets/{id}/tasks"), "list_secret_tasks", tasks)
            .actions(&["secrets-manager.secret-tasks.list"]),
    ]
}

async fn configurations(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    ctx.authorize("secrets-manager.configurations.list", &scope.target(None).named("*")).await?;
    Response::json(200, &page(&request, "configurations", Vec::new(), (200, 1000))?)
}

async fn create(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    ctx.authorize("secrets-manager.configuration.create", &scope.target(None)).await?;
    Err(Error::new(Kind::Invalid, "Configurations are not supported by this server."))
}

async fn tasks(ctx: Ctx, request: Request) -> Result<Response> {
    let scope = scope(&ctx, &request).await?;
    crate::secrets::load(&ctx, &scope, request.param("id")?, "secrets-manager.secret-tasks.list").await?;
    Response::json(200, &json!({"tasks": []}))
}
