//! Profiles with their links, rules and identities, kept in memory by the revision of their account, never by time.
//!
//! Every look-up compares the revision first, so a change that was answered counts for every exchange that starts after
//! it. It refuses to find a profile by name in any account but the one it is told.

use std::sync::Arc;

use avouch_gate::{App, Result};
use avouch_wire::crn::Crn;
use avouch_wire::ids::{AccountId, ProfileId};

use super::lookup::{self, TrustedProfile};

/// Profiles kept at most.
const CAPACITY: u64 = 20_000;

/// How a request names a profile.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Selector {
    /// By id; unique over all accounts.
    Id(ProfileId),
    /// By CRN: the id, and the account it must be in.
    Crn(AccountId, ProfileId),
    /// By name, in one account.
    Name(String),
}

impl Selector {
    /// Reads an id, IAM id or CRN; `None` for any other text, which then can only be a name.
    pub fn of_id(text: &str) -> Option<Self> {
        if text.starts_with("crn:") {
            return Self::of_crn(text);
        }
        ProfileId::parse(text.strip_prefix("iam-").unwrap_or(text)).ok().map(Selector::Id)
    }

    /// Reads the CRN of a profile.
    pub fn of_crn(text: &str) -> Option<Self> {
        let crn = Crn::parse(text).ok()?;
        if crn.service() != "iam-identity" || crn.resource_type() != "profile" {
            return None;
        }
        Some(Selector::Crn(crn.account()?, ProfileId::parse(crn.resource()).ok()?))
    }

    /// How an error text shows it: what the caller sent, never what was found.
    pub fn shown(&self) -> String {
        match self {
            Selector::Id(id) | Selector::Crn(_, id) => format!("profile ID 'iam-{id}'"),
            Selector::Name(name) => {
                let shown: String = name.chars().filter(|c| !c.is_control()).take(128).collect();
                format!("profile name '{shown}'")
            }
        }
    }
}

struct Entry {
    rev: i64,
    profile: Arc<TrustedProfile>,
}

/// The profiles in memory.
pub struct TrustCache {
    profiles: moka::sync::Cache<(AccountId, Selector), Arc<Entry>>,
    /// A profile never changes its account.
    owners: moka::sync::Cache<ProfileId, AccountId>,
}

impl std::fmt::Debug for TrustCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TrustCache({})", self.profiles.entry_count())
    }
}

impl Default for TrustCache {
    fn default() -> Self {
        Self { profiles: moka::sync::Cache::new(CAPACITY), owners: moka::sync::Cache::new(CAPACITY) }
    }
}

impl TrustCache {
    /// The profile that the selector names; names are looked up in `named_in` only.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn find(
        &self,
        app: &Arc<App>,
        selector: &Selector,
        named_in: &AccountId,
    ) -> Result<Option<Arc<TrustedProfile>>> {
        let account = match selector {
            Selector::Name(_) => named_in.clone(),
            Selector::Crn(account, _) => account.clone(),
            Selector::Id(id) => match self.owner(app, id).await? {
                Some(account) => account,
                None => return Ok(None),
            },
        };
        let key = (account, selector.clone());
        let wanted = app.store.revision(key.0.as_str()).await?;
        if let Some(entry) = self.profiles.get(&key)
            && entry.rev >= wanted
        {
            return Ok(Some(entry.profile.clone()));
        }
        let (account, selector) = key.clone();
        let loaded = app
            .store
            .read(move |tx| {
                let rev = tx.revision(account.as_str())?;
                let profile = match &selector {
                    Selector::Id(id) | Selector::Crn(_, id) => lookup::profile_by_id(tx, &account, id)?,
                    Selector::Name(name) => lookup::profile_by_name(tx, &account, name)?,
                };
                Ok::<_, avouch_gate::Error>(profile.map(|p| (rev, p)))
            })
            .await?;
        match loaded {
            Some((rev, profile)) => {
                let profile = Arc::new(profile);
                self.profiles.insert(key, Arc::new(Entry { rev, profile: profile.clone() }));
                Ok(Some(profile))
            }
            None => {
                self.profiles.invalidate(&key);
                Ok(None)
            }
        }
    }

    async fn owner(&self, app: &Arc<App>, id: &ProfileId) -> Result<Option<AccountId>> {
        if let Some(account) = self.owners.get(id) {
            return Ok(Some(account));
        }
        let wanted = id.clone();
        let found = app.store.read(move |tx| lookup::profile_account(tx, &wanted)).await?;
        if let Some(account) = &found {
            self.owners.insert(id.clone(), account.clone());
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const UUID: &str = "6e1f7ea6-0000-4000-8000-000000000001";
    const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn ids_come_in_three_forms_and_anything_else_is_a_name() {
        let id = ProfileId::parse(&format!("Profile-{UUID}")).unwrap();
        assert_eq!(Selector::of_id(&format!("Profile-{UUID}")), Some(Selector::Id(id.clone())));
        assert_eq!(Selector::of_id(&format!("iam-Profile-{UUID}")), Some(Selector::Id(id.clone())));
        let crn = format!("crn:v1:bluemix:public:iam-identity::a/{ACCOUNT}::profile:Profile-{UUID}");
        assert_eq!(Selector::of_id(&crn), Some(Selector::Crn(AccountId::parse(ACCOUNT).unwrap(), id)));
        for other in ["builder", "Profile-x", "crn:v1:bluemix:public:kms:us-south:a/0::profile:x", ""] {
            assert_eq!(Selector::of_id(other), None, "{other}");
        }
    }
}
