//! Requests on links.

use avouch_gate::{Ctx, Details, Error, Kind, Request, Response, Result, Target, etag};
use avouch_policy::access::ResourceAttrs;
use avouch_policy::rules::{CrType, Link};
use avouch_wire::crn::Crn;
use avouch_wire::identity::CreateLink;
use avouch_wire::ids::LinkId;
use serde_json::json;

use super::{StoredLink, render, sql};
use crate::history::{self, Author};
use crate::profiles::Profile;
use crate::profiles::http as profiles;
use crate::told;

/// Services whose CRN names a cluster; COMPAT: the published documents use all three.
const CLUSTER_SERVICES: &[&str] = &["containers-kubernetes", "containers-openshift", "containers-redhat"];

fn cr_type(text: Option<&str>, field: &'static str) -> Result<CrType> {
    let text = text.filter(|t| !t.is_empty()).ok_or_else(|| Error::missing(field))?;
    CrType::parse(text).ok_or_else(|| {
        Error::invalid(field, format!("The property '{field}' is not a known compute resource type."))
    })
}

fn not_found(id: &str) -> Error {
    let shown: String = id.chars().filter(|c| !c.is_control()).take(128).collect();
    Error::new(Kind::NotFound, "Unable to find Object.")
        .details(format!("Object Type: 'Link' with ID '{shown}' not found."))
}

pub async fn create(ctx: Ctx, request: Request) -> Result<Response> {
    let body: CreateLink = request.json()?;
    let cr_type = cr_type(body.cr_type.as_deref(), "cr_type")?;
    let parts = body.link.ok_or_else(|| Error::missing("link"))?;
    let crn_text = parts.crn.filter(|c| !c.is_empty()).ok_or_else(|| Error::missing("link.crn"))?;
    let crn = Crn::parse(&crn_text)
        .map_err(|_| Error::invalid("link.crn", "The property 'link.crn' is not a CRN."))?;
    if let Some(name) = &body.name {
        profiles::check_text("name", name, 300)?;
    }
    for (field, value) in [
        ("link.namespace", &parts.namespace),
        ("link.name", &parts.name),
        ("link.component_type", &parts.component_type),
        ("link.component_name", &parts.component_name),
    ] {
        profiles::check_text(field, value.as_deref().unwrap_or_default(), 253)?;
    }
    let link = Link {
        id: LinkId::from_uuid(ctx.uuid()),
        label: body.name,
        cr_type,
        crn,
        is_cross_account: body.is_cross_account.unwrap_or(false),
        namespace: parts.namespace,
        name: parts.name,
        component_type: parts.component_type,
        component_name: parts.component_name,
    };
    if let Some(part) = link.missing_part() {
        return Err(Error::missing(format!("link.{}", part.as_str())));
    }
    let (profile, permit) = profiles::load(&ctx, request.param("id")?, "iam-identity.profile.update").await?;
    if !link.is_cross_account && link.crn.account().as_ref() != Some(&profile.account) {
        return Err(Error::invalid(
            "link.crn",
            "The property 'link.crn' is of another account; set 'is_cross_account' if that is meant.",
        ));
    }
    profiles::decide(&ctx, &profile, "iam-identity.profile.linkToResource").await?;
    may_write_cluster(&ctx, &profile, &link.crn).await?;
    ctx.note(&crate::profiles::target(&profile.account, Some(&profile)));
    let stored = StoredLink {
        link,
        account: profile.account.clone(),
        profile: profile.id.clone(),
        crn: crn_text,
        etag: etag::tag(1, ctx.app().rng.as_ref()),
        created_at: ctx.now(),
        modified_at: ctx.now(),
    };
    let limit = ctx.app().config.limits.links_per_profile;
    let author = Author::of(&ctx)?;
    let made = stored.clone();
    ctx.write(permit, move |tx, event| {
        event.status = 201;
        describe(event, &stored);
        if crate::profiles::sql::get(tx, &stored.profile)?.is_none() {
            return Err(profiles::not_found(stored.profile.as_str()));
        }
        told::quota(event, "links of the profile", limit, || sql::count(tx, &stored.profile))?;
        sql::insert(tx, &stored)?;
        history::add(tx, &stored.account, stored.profile.as_str(), &author, "create-link")
    })
    .await?;
    Ok(Response::json(201, &render(&made))?.etag(&made.etag))
}

/// Whoever links pods of a cluster must be allowed to write in it. Decided on the CRN alone: the cluster need not be
/// registered, and the namespace and service account need not exist.
async fn may_write_cluster(ctx: &Ctx, profile: &Profile, crn: &Crn) -> Result<()> {
    if !CLUSTER_SERVICES.contains(&crn.service()) {
        return Ok(());
    }
    // The cluster of another account is that account's to guard: its policies name who may link it.
    let account = crn.account().unwrap_or_else(|| profile.account.clone());
    let attrs = ResourceAttrs::service(&account, "containers-kubernetes")
        .instance(crn.instance())
        .region(crn.region());
    let target = Target::global("containers-kubernetes", &account, attrs, crn.to_string());
    ctx.authorize("containers-kubernetes.kube.write", &target).await.map(|_| ()).map_err(|e| match e.kind() {
        // Nothing is told about another account's clusters.
        Kind::NotFound => Error::forbidden().reason("access"),
        _ => e,
    })
}

pub fn describe(event: &mut Details, l: &StoredLink) {
    event
        .request("link_id", l.link.id.as_str())
        .request("cr_type", l.link.cr_type.as_str())
        .request("crn", l.crn.as_str());
    if l.link.is_cross_account {
        event.request("is_cross_account", true);
    }
    for (field, value) in [
        ("namespace", &l.link.namespace),
        ("name", &l.link.name),
        ("component_type", &l.link.component_type),
        ("component_name", &l.link.component_name),
    ] {
        if let Some(value) = value {
            event.request(field, value.as_str());
        }
    }
}

pub async fn list(ctx: Ctx, request: Request) -> Result<Response> {
    let (profile, _) = profiles::load(&ctx, request.param("id")?, "iam-identity.profile.get").await?;
    let links = ctx.read(move |tx| sql::list(tx, &profile.id)).await?;
    Response::json(200, &json!({"links": links.iter().map(render).collect::<Vec<_>>()}))
}

fn link_id(request: &Request) -> Result<LinkId> {
    let text = request.param("link")?;
    LinkId::parse(text).map_err(|_| not_found(text))
}

pub async fn get(ctx: Ctx, request: Request) -> Result<Response> {
    let (profile, _) = profiles::load(&ctx, request.param("id")?, "iam-identity.profile.get").await?;
    let id = link_id(&request)?;
    let wanted = id.clone();
    let link = ctx
        .read(move |tx| sql::get(tx, &profile.id, &wanted))
        .await?
        .ok_or_else(|| not_found(id.as_str()))?;
    Ok(Response::json(200, &render(&link))?.etag(&link.etag))
}

pub async fn delete(ctx: Ctx, request: Request) -> Result<Response> {
    let (profile, permit) = profiles::load(&ctx, request.param("id")?, "iam-identity.profile.update").await?;
    let id = link_id(&request)?;
    let author = Author::of(&ctx)?;
    ctx.write(permit, move |tx, event| {
        event.status = 204;
        event.request("link_id", id.as_str());
        let link = sql::get(tx, &profile.id, &id)?.ok_or_else(|| not_found(id.as_str()))?;
        describe(event, &link);
        sql::delete(tx, &link)?;
        history::add(tx, &link.account, link.profile.as_str(), &author, "delete-link")
    })
    .await?;
    Ok(Response::empty(204))
}

/// Deletes every link that agrees with all given parameters; each has its own event.
pub async fn delete_by_parameters(ctx: Ctx, request: Request) -> Result<Response> {
    let wanted_type = cr_type(request.query("type")?.as_deref(), "type")?;
    let crn = request.query("crn")?;
    let namespace = request.query("namespace")?;
    let name = request.query("name")?;
    let component_type = request.query("component_type")?;
    let component_name = request.query("component_name")?;
    let (profile, permit) = profiles::load(&ctx, request.param("id")?, "iam-identity.profile.update").await?;
    let (author, each) = (Author::of(&ctx)?, permit.clone());
    ctx.write(permit, move |tx, event| {
        event.status = 204;
        let same_crn = |l: &StoredLink| {
            crn.as_ref()
                .is_none_or(|c| *c == l.crn || Crn::parse(c).is_ok_and(|c| c.same_resource(&l.link.crn)))
        };
        let same = |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        let mut gone = Vec::new();
        for link in sql::list(tx, &profile.id)? {
            if link.link.cr_type == wanted_type
                && same_crn(&link)
                && same(&namespace, &link.link.namespace)
                && same(&name, &link.link.name)
                && same(&component_type, &link.link.component_type)
                && same(&component_name, &link.link.component_name)
            {
                sql::delete(tx, &link)?;
                gone.push(link);
            }
        }
        let Some((first, others)) = gone.split_first() else {
            return Err(not_found("with these parameters"));
        };
        describe(event, first);
        for link in others {
            let mut told = Details { status: 204, ..Details::default() };
            describe(&mut told, link);
            event.also.push((each.clone(), told));
        }
        history::add(tx, &profile.account, profile.id.as_str(), &author, "delete-link")
    })
    .await?;
    Ok(Response::empty(204))
}
