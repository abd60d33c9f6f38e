//! A world of policies to measure decisions in. It holds no clock and reads no memory figures: whoever measures passes both,
//! so that the limits of this crate stand and a figure can be put beside its own limit.

use crate::access::{Attr, Index, Op, PolicyDoc, PolicyType, ResourceAttrs, Subject};
use crate::roles::Catalogue;
use avouch_wire::{AccountId, PolicyId, Timestamp};
use uuid::Uuid;

/// What was measured. Times are nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    pub policies: usize,
    /// Of one decision.
    pub p50: u64,
    pub p99: u64,
    /// Of one change of a policy, and the longest.
    pub change_p50: u64,
    pub change_max: u64,
    pub bytes_per_policy: u64,
    /// Share of the decisions that permitted, per cent: says that the world is not empty of sense.
    pub permitted: u64,
}

const REQUESTS: usize = 200_000;
const CHANGES: u64 = 20_000;
/// Policies of one subject.
const PER_SUBJECT: u64 = 10;

/// Small deterministic generator; good enough to spread requests.
struct Spread(u64);

impl Spread {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n.max(1)
    }
}

fn uuid(kind: u64, n: u64) -> Uuid {
    Uuid::from_u64_pair(
        kind << 56 | n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8,
        n.wrapping_mul(0xbf58_476d_1ce4_e5b9),
    )
}

fn subject(n: u64) -> String {
    format!("iam-Profile-{}", uuid(1, n / PER_SUBJECT))
}

fn instance(n: u64) -> String {
    uuid(2, n % 997).to_string()
}

fn group(n: u64) -> String {
    uuid(3, n).to_string()
}

fn doc(account: &AccountId, n: u64) -> PolicyDoc {
    let equals = |key: &str, value: String| Attr { key: key.to_owned(), op: Op::Equals(value) };
    let resource = vec![
        equals("accountId", account.to_string()),
        equals("serviceName", "secrets-manager".to_owned()),
        equals("serviceInstance", instance(n)),
        equals("resourceType", "secret-group".to_owned()),
        equals("resource", group(n)),
    ];
    PolicyDoc {
        kind: PolicyType::Access,
        subject: Subject::IamId(subject(n)),
        roles: vec!["crn:v1:bluemix:public:secrets-manager::::serviceRole:SecretsReader".to_owned()],
        resource,
        tags: Vec::new(),
        pattern: None,
        rule: None,
        unknown: None,
    }
}

/// Builds a world of `policies` policies and measures decisions and changes in it.
///
/// Every policy has a resource of its own, every subject ten policies; callers are in two access groups. `clock` gives
/// nanoseconds, `resident` bytes of memory of this process.
pub fn measure(policies: usize, clock: &dyn Fn() -> u64, resident: &dyn Fn() -> u64) -> Option<Figures> {
    let account = AccountId::from_uuid(Uuid::from_u128(0x00c0_ffee));
    let count = policies as u64;
    // The role table is the same for all accounts, so it is no part of an index.
    let _ = Catalogue::builtin();
    let before = resident();
    let mut index = Index::new();
    for n in 0..count {
        index.upsert(&PolicyId::from_uuid(uuid(4, n)), &doc(&account, n));
    }
    let bytes_per_policy = resident().saturating_sub(before) / count.max(1);

    let mut spread = Spread(0x1234_5678_9abc_def1);
    let now = Timestamp::from_secs(1_800_000_000);
    let groups = [format!("AccessGroupId-{}", uuid(5, 1)), "AccessGroupId-PublicAccess".to_owned()];
    let mut times = Vec::with_capacity(REQUESTS);
    let mut permitted = 0u64;
    for _ in 0..REQUESTS {
        let n = spread.below(count);
        // Half of the requests are for what the caller may read, half for what another may.
        let other = if spread.below(2) == 0 { n } else { spread.below(count) };
        let caller = subject(n);
        let res = ResourceAttrs::service(&account, "secrets-manager")
            .region("us-south")
            .resource_group("11111111222243338444555555555555")
            .instance(&instance(other))
            .resource("secret-group", &group(other));
        let subjects = [caller.as_str(), groups[0].as_str(), groups[1].as_str()];
        let start = clock();
        let decision = index.decide(&subjects, "secrets-manager.secret.read", &res, now);
        times.push(clock().saturating_sub(start));
        permitted += u64::from(decision.permitted);
    }
    let mut changes = Vec::new();
    for _ in 0..CHANGES {
        let n = spread.below(count);
        let (id, doc) = (PolicyId::from_uuid(uuid(4, n)), doc(&account, spread.below(2 * count)));
        let start = clock();
        index.upsert(&id, &doc);
        changes.push(clock().saturating_sub(start));
    }
    times.sort_unstable();
    changes.sort_unstable();
    let at = |list: &[u64], per_cent: usize| list.get(list.len() * per_cent / 100).copied();
    Some(Figures {
        policies: index.len(),
        p50: at(&times, 50)?,
        p99: at(&times, 99)?,
        change_p50: at(&changes, 50)?,
        change_max: changes.last().copied()?,
        bytes_per_policy,
        permitted: permitted * 100 / REQUESTS as u64,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::cell::Cell;

    #[test]
    fn the_world_permits_about_half() {
        let ticks = Cell::new(0);
        let clock = || {
            ticks.set(ticks.get() + 1);
            ticks.get()
        };
        let figures = measure(300, &clock, &|| 0).unwrap();
        assert_eq!(figures.policies, 300);
        assert!((45..=60).contains(&figures.permitted), "{figures:?}");
        assert_eq!((figures.p50, figures.p99), (1, 1));
    }
}
