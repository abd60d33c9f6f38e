//! Tokens for compute resources that are certain by the channel on which they ask: virtual servers.

use async_trait::async_trait;
use avouch_gate::links::{ComputeExchange, Evidence, ProfileInfo, ProfileToken, ProfileWanted};
use avouch_gate::{Ctx, Error, Result};
use avouch_policy::rules::ComputeIdentity;
use avouch_wire::ids::{IamId, ProfileId};
use avouch_wire::time::Timestamp;

use super::compute::{Wanted, admit_evidence};
use super::failures::{self, Refused};
use super::issue::{Admitted, by_channel};
use super::trust::Selector;
use super::{Tokens, subject};

/// The token service.
#[derive(Debug, Clone, Copy, Default)]
pub struct Exchange;

/// How the requests of the channel are known in events.
const CLIENT: &str = "default";

#[async_trait]
impl ComputeExchange for Exchange {
    async fn exchange(
        &self,
        ctx: &Ctx,
        identity: &ComputeIdentity,
        wanted: &[ProfileWanted],
    ) -> Result<ProfileToken> {
        let tokens = ctx.app().state::<Tokens>()?;
        tokens.keys.pool.door()?;
        let unknown = || Error::invalid("trusted_profile", "No such profile.").reason("profile_not_found");
        let selectors = wanted.iter().map(|w| match w {
            ProfileWanted::Id(id) => Some(("profile_id", Selector::of_id(id)?)),
            ProfileWanted::Crn(crn) => Some(("profile_crn", Selector::of_crn(crn)?)),
            ProfileWanted::Name(name) => Some(("profile_name", Selector::Name(name.clone()))),
        });
        let selectors = selectors.collect::<Option<Vec<_>>>().ok_or_else(unknown)?;
        let evidence = Evidence { identity: identity.clone(), jti: None, kid: None, cap: None };
        match issued(ctx, &tokens, &evidence, &Wanted::own(selectors)).await {
            Ok(token) => Ok(token),
            Err(refused) => Err(failures::record(ctx, CLIENT, refused).await),
        }
    }
}

async fn issued(
    ctx: &Ctx,
    tokens: &Tokens,
    evidence: &Evidence,
    wanted: &Wanted,
) -> std::result::Result<ProfileToken, Refused> {
    let admitted = Box::pin(admit_evidence(ctx, tokens, evidence, wanted)).await?;
    let answer = by_channel(ctx, tokens, &admitted).await?;
    Ok(ProfileToken {
        token: answer.access_token,
        created_at: Timestamp::from_secs(answer.expiration - answer.expires_in),
        expires_at: Timestamp::from_secs(answer.expiration),
        profile: profile(&admitted)?,
        initiator: admitted.initiator(ctx),
    })
}

fn profile(admitted: &Admitted) -> Result<ProfileInfo> {
    let subject::Subject::Profile(..) = &admitted.subject else {
        return Err(Error::internal("a compute resource became something else than a profile"));
    };
    let iam_id: IamId = admitted.subject.iam_id();
    let id: ProfileId = iam_id.as_profile().ok_or_else(|| Error::internal("a profile without id"))?;
    let (crn, name) = admitted.target.clone();
    Ok(ProfileInfo { id, crn, name })
}
