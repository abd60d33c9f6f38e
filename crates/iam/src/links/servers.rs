//! Links to virtual servers, written with these.

use async_trait::async_trait;
use avouch_gate::audit::unasked;
use avouch_gate::links::{InstanceLink, ProfileInfo, ProfileLinker};
use avouch_gate::{Ctx, Details, Error, Permit, Result};
use avouch_policy::rules::{CrType, Link};
use avouch_store::Tx;
use avouch_wire::crn::Crn;
use avouch_wire::ids::{AccountId, ProfileId};
use avouch_wire::time::Timestamp;

use super::{StoredLink, http, sql};
use crate::history::{self, Author};
use crate::profiles::http::path_id;
use crate::profiles::{self, Profile};
use crate::told;

const LINK: &str = "iam-identity.profile.linkToResource";
const UPDATE: &str = "iam-identity.profile.update";

/// The links of this service.
#[derive(Debug, Clone, Copy)]
pub struct Linker {
    /// Links per profile.
    pub limit: u32,
}

fn info(profile: &Profile) -> ProfileInfo {
    ProfileInfo { id: profile.id.clone(), crn: profile.crn().to_string(), name: profile.name.clone() }
}

async fn load(ctx: &Ctx, id: &ProfileId) -> Result<Profile> {
    let id = id.clone();
    let gone = profiles::http::not_found(id.as_str());
    ctx.read(move |tx| profiles::sql::get(tx, &id)).await?.ok_or(gone)
}

#[async_trait]
impl ProfileLinker for Linker {
    async fn profile(&self, ctx: &Ctx, wanted: &str) -> Result<Option<ProfileInfo>> {
        let own = ctx.caller()?.account().clone();
        let Some((id, account)) = path_id(wanted, "profile") else { return Ok(None) };
        let Ok(id) = ProfileId::parse(&id) else { return Ok(None) };
        let found = ctx.read(move |tx| profiles::sql::get(tx, &id)).await?;
        let found = found.filter(|p| p.account == own && account.is_none_or(|a| a == own));
        Ok(found.as_ref().map(info))
    }

    async fn may_link(&self, ctx: &Ctx, profile: &ProfileInfo) -> Result<Permit> {
        let profile = load(ctx, &profile.id).await?;
        profiles::http::decide(ctx, &profile, UPDATE).await?;
        profiles::http::decide(ctx, &profile, LINK).await
    }

    fn link(
        &self,
        tx: &mut Tx<'_>,
        account: &AccountId,
        permit: &Permit,
        new: &InstanceLink,
    ) -> Result<(Permit, Details)> {
        let profile = profiles::sql::get(tx, &new.profile.id)?.filter(|p| p.account == *account);
        let profile =
            profile.ok_or_else(|| Error::conflict("The trusted profile was deleted at the same time."))?;
        let (by, at) = &new.by;
        let stored = StoredLink {
            link: Link {
                id: new.id.clone(),
                label: None,
                cr_type: CrType::Vsi,
                crn: new.crn.clone(),
                is_cross_account: false,
                namespace: None,
                name: None,
                component_type: None,
                component_name: None,
            },
            account: account.clone(),
            profile: profile.id.clone(),
            crn: new.crn.to_string(),
            etag: new.etag.clone(),
            created_at: *at,
            modified_at: *at,
        };
        let mut details = Details {
            status: 201,
            action: Some("iam-identity.profile-link.create".into()),
            ..Details::default()
        };
        details.target_type = Some("iam-identity/profile-link".into());
        http::describe(&mut details, &stored);
        told::quota(&mut details, "links of the profile", self.limit, || sql::count(tx, &stored.profile))?;
        sql::insert(tx, &stored)?;
        let author = Author { iam_id: by.to_string(), account: account.to_string(), at: *at };
        history::add(tx, account, stored.profile.as_str(), &author, "create-link")?;
        Ok((permit.clone(), details))
    }

    fn unlink(
        &self,
        tx: &mut Tx<'_>,
        crn: &Crn,
        by: (&str, &AccountId),
        at: Timestamp,
    ) -> Result<Vec<(Permit, Details)>> {
        let mut events = Vec::new();
        for link in sql::to(tx, CrType::Vsi, &crn.to_string())? {
            let profile = profiles::sql::get(tx, &link.profile)?;
            let target = profiles::target(&link.account, profile.as_ref());
            let mut details = Details { status: 204, ..Details::default() };
            http::describe(&mut details, &link);
            details.action = Some(unasked::INSTANCE_UNLINKED.action().into());
            details.target_type = Some("iam-identity/profile-link".into());
            details.request("link_id", link.link.id.as_str());
            sql::delete(tx, &link)?;
            let author = Author { iam_id: by.0.to_owned(), account: by.1.to_string(), at };
            history::add(tx, &link.account, link.profile.as_str(), &author, "delete-link")?;
            events.push((Permit::system(&unasked::INSTANCE_UNLINKED, target), details));
        }
        Ok(events)
    }
}
