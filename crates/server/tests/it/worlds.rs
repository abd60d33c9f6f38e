//! What a question about access is told and what the same identity's request gets: the same, in generated worlds of
//! identities, settings, lives, policies and resources.
//!
//! The identities of a world are new; each is asked about everywhere, by explaining and by the decision service, and then
//! sends the very requests. Nothing here knows how a decision is made. Explaining does not tell whether an identity of
//! another account lives; the decision service takes that into account, for whoever enforces by it.

use std::collections::BTreeMap;

use avouch_testkit::{Client, TestApp, TestResponse};
use serde_json::{Value, json};

use crate::world::claims;

const WORLDS: usize = 30;

/// Small deterministic generator.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % n as u64).unwrap()
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

fn eq(key: &str, value: &str) -> Value {
    json!({"key": key, "operator": "stringEquals", "value": value})
}

async fn made(client: &Client, path: &str, body: Value) -> Value {
    let r = client.post(path, body).await;
    assert!(r.status == 200 || r.status == 201, "{path}: {} {}", r.status, r.text);
    r.body
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The account that owns the resources, with one of each.
struct Home {
    account: String,
    group: String,
    profile: String,
    instance: String,
    secret: String,
}

/// A request and the question about it.
struct Ask {
    path: String,
    method: &'static str,
    body: Value,
    action: &'static str,
    resource: Value,
}

impl Home {
    async fn build(t: &TestApp, admin: &Client) -> Self {
        let account = t.account().to_owned();
        let group = made(admin, &format!("/v2/groups?account_id={account}"), json!({"name": "g"})).await;
        let profile = made(admin, "/v1/profiles", json!({"name": "p", "account_id": account})).await;
        let instance = t.secrets_instance().await;
        let secret = made(
            admin,
            &format!("/secrets-manager/{instance}/api/v2/secrets"),
            json!({"secret_type": "arbitrary", "name": "db", "payload": "x"}),
        )
        .await;
        Self {
            account,
            group: text(&group["id"]),
            profile: text(&profile["id"]),
            instance,
            secret: text(&secret["id"]),
        }
    }

    fn asks(&self) -> Vec<Ask> {
        let account = &self.account;
        let get =
            |path: String, action, resource| Ask { path, method: "GET", body: Value::Null, action, resource };
        let of = |service: &str, more: Value| {
            let mut attributes = json!({"accountId": account, "serviceName": service});
            attributes.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"attributes": attributes})
        };
        let sm = format!("/secrets-manager/{}/api/v2", self.instance);
        vec![
            get(
                format!("/v2/groups/{}", self.group),
                "iam-groups.groups.read",
                of("iam-groups", json!({"resource": self.group})),
            ),
            Ask {
                path: format!("/v2/groups/{}/members", self.group),
                method: "PUT",
                body: json!({"members": [{"iam_id": "IBMid-0000000001", "type": "user"}]}),
                action: "iam-groups.members.add",
                resource: of("iam-groups", json!({"resource": self.group})),
            },
            get(
                format!("/v1/profiles/{}", self.profile),
                "iam-identity.profile.get",
                json!({"crn": format!("crn:v1:bluemix:public:iam-identity::a/{account}::profile:{}", self.profile)}),
            ),
            get(
                format!("/v2/resource_instances/{}", self.instance),
                "resource-controller.instance.retrieve",
                json!({"crn": format!(
                    "crn:v1:bluemix:public:secrets-manager:us-south:a/{account}:{}::", self.instance
                )}),
            ),
            get(
                format!("{sm}/secrets/{}", self.secret),
                "secrets-manager.secret.read",
                of(
                    "secrets-manager",
                    json!({"serviceInstance": self.instance, "resourceType": "secret-group", "resource": "default"}),
                ),
            ),
            get(
                format!("/v1/accounts/{account}/settings/access_management"),
                "iam-access-management.settings.read",
                of("iam-access-management", json!({})),
            ),
        ]
    }
}

/// What became of an identity after it got its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Life {
    Untouched,
    Locked,
    KeyDisabled,
    KeyDeleted,
    Deleted,
    Disabled,
    Revoked,
    RevokedAndBack,
}

const LIVES: [Life; 10] = [
    Life::Untouched,
    Life::Deleted,
    Life::Untouched,
    Life::KeyDisabled,
    Life::Revoked,
    Life::Untouched,
    Life::Locked,
    Life::RevokedAndBack,
    Life::Disabled,
    Life::KeyDeleted,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    User,
    ServiceId,
    Profile,
}

/// One identity with its token.
struct Identity {
    kind: Kind,
    iam_id: String,
    home: String,
    key: String,
    key_id: String,
    /// A service ID that assumes the profile.
    behind: Option<(String, String)>,
    client: Client,
}

async fn login(t: &TestApp, key: &str, profile: Option<&str>) -> Client {
    let token = t.token(key).await;
    let Some(profile) = profile else { return t.bearer(&token) };
    let assume = "urn:ibm:params:oauth:grant-type:assume";
    let form = [("grant_type", assume), ("access_token", token.as_str()), ("profile_id", profile)];
    let r = t.anon().form("/identity/token", &form).await;
    assert_eq!(r.status, 200, "{}", r.text);
    t.bearer(r.body["access_token"].as_str().unwrap())
}

impl Identity {
    /// A new one in the account of `owner`.
    async fn new(t: &TestApp, owner: &Client, kind: Kind, n: &str) -> Self {
        let home = text(&claims(owner.token())["account"]["bss"]);
        if kind == Kind::User {
            let user = made(owner, "/avouch/v1/users", json!({"email": format!("{n}@avouch.test")})).await;
            let iam_id = text(&user["iam_id"]);
            let key =
                made(owner, "/v1/apikeys", json!({"name": "k", "iam_id": iam_id, "account_id": home})).await;
            let (key, key_id) = (text(&key["apikey"]), text(&key["id"]));
            let client = login(t, &key, None).await;
            return Self { kind, iam_id, home, key, key_id, behind: None, client };
        }
        let body = json!({"account_id": home, "name": n, "apikey": {"name": "k"}});
        let service = made(owner, "/v1/serviceids", body).await;
        let (key, key_id) = (text(&service["apikey"]["apikey"]), text(&service["apikey"]["id"]));
        if kind == Kind::ServiceId {
            let client = login(t, &key, None).await;
            return Self { kind, iam_id: text(&service["iam_id"]), home, key, key_id, behind: None, client };
        }
        let profile = made(owner, "/v1/profiles", json!({"name": n, "account_id": home})).await;
        let (profile, service) = (text(&profile["id"]), text(&service["id"]));
        made(
            owner,
            &format!("/v1/profiles/{profile}/identities/serviceid"),
            json!({"type": "serviceid", "identifier": service}),
        )
        .await;
        let client = login(t, &key, Some(&profile)).await;
        let (iam_id, behind) = (format!("iam-{profile}"), Some((profile, service)));
        Self { kind, iam_id, home, key, key_id, behind, client }
    }

    /// Lets it happen; the old token is kept unless the identity comes back.
    async fn meet(&mut self, t: &TestApp, owner: &Client, life: Life) {
        let gone = |r: TestResponse| assert!((200..300).contains(&r.status), "{life:?}: {}", r.text);
        let id = self.iam_id.trim_start_matches("iam-").to_owned();
        match (life, self.kind) {
            (Life::Untouched, _) => {}
            (Life::Locked, Kind::ServiceId) => {
                gone(owner.post(&format!("/v1/serviceids/{id}/lock"), Value::Null).await);
            }
            (Life::Locked, _) => {
                gone(owner.post(&format!("/v1/apikeys/{}/lock", self.key_id), Value::Null).await);
            }
            (Life::KeyDisabled, _) => {
                gone(owner.post(&format!("/v1/apikeys/{}/disable", self.key_id), Value::Null).await);
            }
            (Life::KeyDeleted, _) => gone(owner.delete(&format!("/v1/apikeys/{}", self.key_id)).await),
            (Life::Deleted, Kind::ServiceId) => gone(owner.delete(&format!("/v1/serviceids/{id}")).await),
            (Life::Deleted, Kind::Profile) => gone(owner.delete(&format!("/v1/profiles/{id}")).await),
            (Life::Deleted, Kind::User) => gone(owner.delete(&self.user()).await),
            (Life::Disabled, _) => {
                let state = json!({"state": "DISABLED_CLASSIC_INFRASTRUCTURE"});
                gone(owner.patch(&self.user(), state).await);
            }
            (Life::Revoked | Life::RevokedAndBack, _) => {
                gone(owner.post("/avouch/v1/revocations", json!({"iam_id": self.iam_id})).await);
                if life == Life::RevokedAndBack {
                    let profile = self.behind.as_ref().map(|(profile, _)| profile.as_str());
                    self.client = login(t, &self.key, profile).await;
                }
            }
        }
    }

    fn user(&self) -> String {
        format!("/v2/accounts/{}/users/{}", self.home, self.iam_id)
    }

    /// When its token was issued, for questions about that very token.
    fn issued(&self) -> String {
        let iat = claims(self.client.token())["iat"].as_i64().unwrap();
        avouch_wire::time::Timestamp::from_secs(iat).rfc3339_millis()
    }

    /// As a subject of the decision service: by its id, and by its token.
    fn subjects(&self, named: bool) -> [Value; 2] {
        let mut by_id = json!({"id": self.iam_id});
        if named {
            by_id["accountId"] = json!(self.home);
        }
        [json!({"attributes": by_id}), json!({"accessTokenBody": body_of(self.client.token())})]
    }

    /// As a question to be explained.
    fn question(&self, ask: &Ask, named: bool) -> Value {
        let mut question = json!({"iam_id": self.iam_id, "action": ask.action, "resource": ask.resource});
        if named {
            question["account_id"] = json!(self.home);
        }
        question
    }
}

fn body_of(token: &str) -> String {
    token.split('.').nth(1).unwrap().to_owned()
}

/// Services, and roles that somebody may hold on them.
const GRANTS: &[(&str, &str, &str)] = &[
    ("serviceName", "iam-groups", "role:Viewer"),
    ("serviceName", "iam-groups", "role:Editor"),
    ("serviceName", "iam-identity", "role:Operator"),
    ("serviceName", "iam-identity", "role:Viewer"),
    ("serviceName", "secrets-manager", "serviceRole:SecretsReader"),
    ("serviceName", "secrets-manager", "role:Viewer"),
    ("serviceType", "service", "role:Administrator"),
    ("serviceType", "platform_service", "role:Viewer"),
    ("serviceType", "platform_service", "role:Administrator"),
];

/// A policy about this subject, with a time condition now and then.
fn policy(dice: &mut Dice, home: &Home, subject: (&str, &str)) -> Value {
    let (key, value, role) = *dice.one(GRANTS);
    let mut attributes = vec![eq("accountId", &home.account), eq(key, value)];
    if value == "secrets-manager" && dice.chance(50) {
        let other = "11111111-2222-4333-8444-555555555555";
        attributes.push(eq("serviceInstance", if dice.chance(70) { &home.instance } else { other }));
    }
    if value == "iam-groups" && dice.chance(30) {
        let other = "AccessGroupId-11111111-2222-4333-8444-555555555555";
        attributes.push(eq("resource", if dice.chance(60) { &home.group } else { other }));
    }
    let scope = if value == "secrets-manager" && role.starts_with("serviceRole") { value } else { "iam" };
    let mut body = json!({
        "type": "access",
        "subject": {"attributes": [eq(subject.0, subject.1)]},
        "control": {"grant": {"roles": [{"role_id": format!("crn:v1:bluemix:public:{scope}::::{role}")}]}},
        "resource": {"attributes": attributes},
    });
    if dice.chance(25) {
        let days = *dice.one(&["1+00:00", "2+00:00"]);
        body["pattern"] = json!("time-based-conditions:weekly:all-day");
        body["rule"] = json!({"key": "{{environment.attributes.day_of_week}}", "operator": "dayOfWeekAnyOf", "value": [days]});
    }
    body
}

async fn grant(admin: &Client, body: Value) {
    let r = admin.post("/v2/policies", body).await;
    // The same policy may be drawn twice.
    assert!(r.status == 201 || r.status == 409, "{}", r.text);
}

async fn settle(admin: &Client, dice: &mut Dice, home: &Home, foreign: &str) {
    let path = format!("/v1/accounts/{}/settings/access_management", home.account);
    let tag = admin.get(&path).await.etag();
    let mut one = || {
        let state = *dice.one(&["enabled", "monitor", "limited", "limited"]);
        let allowed = if dice.chance(40) { json!([foreign]) } else { json!([]) };
        json!({"state": state, "external_allowed_accounts": allowed})
    };
    let types = json!({"user": one(), "service_id": one(), "service": one()});
    let body = json!({"external_account_identity_interaction": {"identity_types": types}});
    let r = admin.with_header("if-match", &tag).patch(&path, body).await;
    assert_eq!(r.status, 200, "{}", r.text);
}

/// Kind of the check below the root that refused.
fn failed(tree: &Value) -> &'static str {
    let is = |kind: &str| {
        tree["children"].as_array().unwrap().iter().any(|c| c["kind"] == kind && c["result"] == false)
    };
    match () {
        () if tree["result"] == true => "none",
        () if is("identity") => "identity",
        () if is("external_access") => "external_access",
        () => "policies",
    }
}

async fn explained(admin: &Client, question: Value) -> Value {
    let told = admin.post("/avouch/v1/explain", json!({"access": question})).await;
    assert_eq!(told.status, 200, "{}", told.text);
    assert_eq!(told.body["decision"] == "permitted", told.body["tree"]["result"] == true, "{}", told.text);
    told.body
}

/// What the decision service says to these subjects, each about all of these.
async fn decided(admin: &Client, subjects: &[Value], asks: &[Ask]) -> Vec<bool> {
    let questions = subjects.iter().flat_map(|subject| {
        asks.iter().map(move |a| json!({"subject": subject, "action": a.action, "resource": a.resource}))
    });
    let r = admin.post("/v2/authz", questions.collect()).await;
    assert_eq!(r.status, 200, "{}", r.text);
    let all = r.body["responses"].as_array().unwrap();
    all.iter().map(|d| d["authorizationDecision"]["permitted"].as_bool().unwrap()).collect()
}

/// One identity in a world.
struct Inhabitant {
    identity: Identity,
    life: Life,
    own: bool,
    /// Its account is named in questions.
    named: bool,
    /// What was explained before its life went on.
    before: Vec<Value>,
}

impl Inhabitant {
    /// New ones of every kind, of both accounts, and what they may do.
    async fn all(t: &TestApp, home: &Home, owners: [&Client; 2], dice: &mut Dice, world: usize) -> Vec<Self> {
        let admin = owners[0];
        let mut all = Vec::new();
        for (n, owner) in owners.into_iter().enumerate() {
            for kind in [Kind::User, Kind::ServiceId, Kind::Profile] {
                let name = format!("w{world}-{n}-{kind:?}").to_lowercase();
                let identity = Identity::new(t, owner, kind, &name).await;
                for _ in 0..dice.below(4) {
                    grant(admin, policy(dice, home, ("iam_id", &identity.iam_id))).await;
                }
                if dice.chance(30) {
                    let path = format!("/v2/groups?account_id={}", home.account);
                    let group = text(&made(admin, &path, json!({"name": name})).await["id"]);
                    let body = json!({"members": [{"iam_id": identity.iam_id, "type": match kind {
                        Kind::User => "user", Kind::ServiceId => "service", Kind::Profile => "profile"}}]});
                    assert_eq!(admin.put(&format!("/v2/groups/{group}/members"), body).await.status, 207);
                    grant(admin, policy(dice, home, ("access_group_id", &group))).await;
                }
                // Every identity meets everything in ten worlds; all else is drawn.
                let life = LIVES[(world + 3 * n + 4 * all.len()) % LIVES.len()];
                let life = if life == Life::Disabled && kind != Kind::User { Life::Deleted } else { life };
                // Of a stranger, and of one whom nobody knows any more, only the question can tell where he comes from.
                let named = n == 1 || life == Life::Deleted || dice.chance(50);
                all.push(Self { identity, life, own: n == 0, named, before: Vec::new() });
            }
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_about_an_identity_is_what_its_request_gets() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let home = Home::build(&t, &admin).await;
    let outsider = avouch_server::Bootstrap::draw(t.app()).unwrap();
    avouch_server::bootstrap::create_account(t.app(), ("Other", false), "other@avouch.test", &outsider)
        .await
        .unwrap();
    let (mut dice, asks) = (Dice(0x5eed_0001_c0ff_ee11), home.asks());
    let mut seen: BTreeMap<(&str, u16), usize> = BTreeMap::new();
    let mut lives: BTreeMap<(Kind, Life, bool), usize> = BTreeMap::new();
    let (mut told_of_dead, mut decided_of_dead) = (0, 0);
    for world in 0..WORLDS {
        // Monday, Tuesday or Wednesday, for the conditions of the policies.
        t.advance_secs(86_400 * if dice.chance(70) { 7 } else { 2 });
        let admin = t.admin().await;
        let stranger = t.bearer(&t.token(outsider.api_key.expose()).await);
        let foreign = text(&claims(stranger.token())["account"]["bss"]);
        settle(&admin, &mut dice, &home, &foreign).await;
        let mut all = Inhabitant::all(&t, &home, [&admin, &stranger], &mut dice, world).await;
        if world % 6 == 3 {
            // What everybody may do, of whatever account; it is taken back by the next switch.
            grant(&admin, policy(&mut dice, &home, ("access_group_id", "AccessGroupId-PublicAccess"))).await;
        }
        if world % 6 == 5 {
            let path = format!("/v2/groups/settings?account_id={}", home.account);
            for on in [false, true] {
                let r = admin.patch(&path, json!({"public_access_enabled": on})).await;
                assert_eq!(r.status, 200, "{}", r.text);
            }
        }
        let mut subjects = Vec::new();
        for one in &mut all {
            if !one.own {
                for ask in &asks {
                    one.before.push(explained(&admin, one.identity.question(ask, true)).await);
                }
            }
            one.identity.meet(&t, if one.own { &admin } else { &stranger }, one.life).await;
            *lives.entry((one.identity.kind, one.life, one.own)).or_default() += 1;
            subjects.extend(one.identity.subjects(one.named));
        }
        let decisions = decided(&admin, &subjects, &asks).await;
        for (one, decisions) in all.iter().zip(decisions.chunks(2 * asks.len())) {
            let (by_id, by_token) = decisions.split_at(asks.len());
            for (n, ask) in asks.iter().enumerate() {
                let identity = &one.identity;
                let real = identity.client.json(ask.method, &ask.path, ask.body.clone()).await;
                let permitted = match real.status {
                    200..=299 => true,
                    401 | 403 | 404 => false,
                    other => panic!("{} {}: {other} {}", ask.method, ask.path, real.text),
                };
                let anew = explained(&admin, identity.question(ask, one.named)).await;
                let what = format!(
                    "world {world}: {:?} {} of {}, {} {}: {} but by id {}, by token {}, and {anew}",
                    one.life,
                    identity.iam_id,
                    identity.home,
                    ask.method,
                    ask.path,
                    real.status,
                    by_id[n],
                    by_token[n],
                );
                assert_eq!(by_token[n], permitted, "{what}");
                if one.life == Life::Revoked {
                    // Nothing was said about a token, so it is one of now, and counts again.
                    assert!(!one.own || by_id[n] == (anew["decision"] == "permitted"), "{what}");
                } else {
                    assert_eq!(by_id[n], permitted, "{what}");
                }
                if !one.own {
                    // The same whatever became of it.
                    assert_eq!(anew, one.before[n], "{what}");
                    if real.status == 401 {
                        told_of_dead += usize::from(anew["decision"] == "permitted");
                        continue;
                    }
                }
                let told = if one.own && one.life == Life::Revoked {
                    let mut question = identity.question(ask, one.named);
                    question["at"] = json!(identity.issued());
                    explained(&admin, question).await
                } else {
                    anew
                };
                decided_of_dead += usize::from(real.status == 401);
                assert_eq!(told["decision"] == "permitted", permitted, "{what}: {told}");
                let why = failed(&told["tree"]);
                assert_eq!(why == "identity", real.status == 401, "{what}: {told}");
                *seen.entry((why, real.status)).or_default() += 1;
            }
        }
    }
    // The worlds are worth something only if everything happens in them.
    let count = |why: &str| seen.iter().filter(|((w, _), _)| *w == why).map(|(_, n)| n).sum::<usize>();
    for why in ["none", "identity", "external_access", "policies"] {
        assert!(count(why) >= 50, "{why}: {seen:?}");
    }
    assert!(told_of_dead >= 10 && decided_of_dead >= 50, "{told_of_dead} {decided_of_dead}");
    for kind in [Kind::User, Kind::ServiceId, Kind::Profile] {
        for own in [true, false] {
            for life in LIVES {
                let life = if life == Life::Disabled && kind != Kind::User { Life::Deleted } else { life };
                assert!(lives.contains_key(&(kind, life, own)), "{kind:?} {life:?} {own}: {lives:?}");
            }
        }
    }
}
