//! Whoever may not act any more is refused by every door at once, also with a token that was verified a moment ago.

use std::collections::BTreeMap;

use avouch_testkit::{Client, TestApp};
use avouch_wire::ids::{AccountId, ApiKeyId, IamId};
use serde_json::{Value, json};

use crate::world::World;

const APIKEY: &str = "urn:ibm:params:oauth:grant-type:apikey";
const ASSUME: &str = "urn:ibm:params:oauth:grant-type:assume";
const CR_TOKEN: &str = "urn:ibm:params:oauth:grant-type:cr-token";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// Doors that an identity with an API key goes through.
const OWN: [&str; 6] = ["apikey", "refresh", "refresh in account", "assume", "list of profiles", "bearer"];
/// Doors that lead to the profile.
const PROFILE: [&str; 4] = ["assume", "cr-token", "exchange", "profile's bearer"];

/// An identity with a key, tokens and a profile that it may assume; the profile is linked to a workload too.
struct Stage {
    t: TestApp,
    admin: Client,
    world: World,
    iam_id: String,
    key: String,
    key_id: String,
    token: String,
    profile_token: String,
    refresh: Vec<String>,
}

fn bx(t: &TestApp) -> Client {
    t.anon().with_header("authorization", "Basic Yng6Yng=")
}

async fn login(t: &TestApp, key: &str) -> Value {
    let r = bx(t).form("/identity/token", &[("grant_type", APIKEY), ("apikey", key)]).await;
    assert_eq!(r.status, 200, "{}", r.text);
    r.body
}

impl Stage {
    async fn new(of_user: bool) -> Self {
        let t = TestApp::new().await;
        let admin = t.admin().await;
        let world = World::build(&t, &admin).await;
        let profile = format!("/v1/profiles/{}", world.get("profile"));
        let (iam_id, key, key_id) = if of_user {
            let iam_id = world.get("user").to_owned();
            let key = format!("ada-{}", "k".repeat(40));
            let id = ApiKeyId::from_uuid("6e1f7ea6-0000-4000-8000-000000000001".parse().unwrap());
            let (account, owner) = (AccountId::parse(t.account()).unwrap(), IamId::parse(&iam_id).unwrap());
            let (digest, now) = (avouch_iam::api_keys::digest_of(&key.clone().into()), t.now());
            let at = id.clone();
            t.app()
                .store
                .write(move |tx| {
                    let of = (&account, &owner);
                    avouch_iam::api_keys::create_for_owner(tx, of, ("first", ""), (&at, &digest, "1-0"), now)
                })
                .await
                .unwrap();
            let body = json!({"type": "user", "identifier": iam_id});
            assert_eq!(admin.post(&format!("{profile}/identities/user"), body).await.status, 200);
            (iam_id, key, id.as_str().to_owned())
        } else {
            let key = world.get("apikey_value").to_owned();
            (world.get("serviceid_iam").to_owned(), key, world.get("apikey").to_owned())
        };
        let mut refresh = Vec::new();
        let mut token = String::new();
        for _ in 0..4 {
            let answer = login(&t, &key).await;
            refresh.push(answer["refresh_token"].as_str().unwrap().to_owned());
            token = answer["access_token"].as_str().unwrap().to_owned();
        }
        let mut stage =
            Self { t, admin, world, iam_id, key, key_id, token, profile_token: String::new(), refresh };
        let became = stage.form(&[("grant_type", CR_TOKEN), ("cr_token", &stage.workload())], true).await;
        stage.profile_token = became.1["access_token"].as_str().unwrap().to_owned();
        let open = stage.doors().await;
        assert!(open.values().all(|status| *status == 200), "{open:?}");
        stage
    }

    fn workload(&self) -> String {
        self.world.issuer.token("ns", "sa", "pod", self.t.now().secs())
    }

    async fn form(&self, fields: &[(&str, &str)], profile: bool) -> (u16, Value) {
        let mut fields = fields.to_vec();
        if profile {
            fields.push(("profile_id", self.world.get("profile")));
        }
        let r = bx(&self.t).form("/identity/token", &fields).await;
        (r.status, r.body)
    }

    /// What each door answers. Uses two refresh tokens up.
    async fn doors(&mut self) -> BTreeMap<&'static str, u16> {
        let (first, second) = (self.refresh.pop().unwrap(), self.refresh.pop().unwrap());
        let workload = self.workload();
        let mut out = BTreeMap::new();
        let again = [("grant_type", "refresh_token"), ("refresh_token", &*first)];
        let there =
            [("grant_type", "refresh_token"), ("refresh_token", &*second), ("account", self.t.account())];
        let standard = [("grant_type", EXCHANGE), ("subject_token", &*workload), ("subject_token_type", JWT)];
        for (door, fields, profile) in [
            ("apikey", &[("grant_type", APIKEY), ("apikey", &*self.key)][..], false),
            ("refresh", &again[..], false),
            ("refresh in account", &there[..], false),
            ("assume", &[("grant_type", ASSUME), ("access_token", &*self.token)][..], true),
            ("cr-token", &[("grant_type", CR_TOKEN), ("cr_token", &*workload)][..], true),
            ("exchange", &standard[..], true),
        ] {
            let (status, body) = self.form(fields, profile).await;
            assert_eq!(status == 200, body.get("access_token").is_some(), "{door}: {body}");
            out.insert(door, status);
        }
        let list = self.t.anon().form("/identity/profiles", &[("access_token", &*self.token)]).await;
        out.insert("list of profiles", list.status);
        out.insert("bearer", self.t.bearer(&self.token).get("/v1/apikeys").await.status);
        out.insert("profile's bearer", self.t.bearer(&self.profile_token).get("/v1/apikeys").await.status);
        out
    }

    async fn did(&self, method: &str, path: &str, body: Value) {
        let r = self.admin.with_header("if-match", "*").json(method, path, body).await;
        assert!((200..300).contains(&r.status), "{method} {path}: {} {}", r.status, r.text);
    }

    async fn user_state(&self, state: &'static str) {
        let (account, iam_id) = (self.t.account().to_owned(), self.iam_id.clone());
        self.t
            .app()
            .store
            .write::<_, avouch_store::Error, _>(move |tx| {
                let sql = "update users set state = $3 where account_id = $1 and iam_id = $2";
                tx.execute(sql, &avouch_store::params![&account, &iam_id, state])?;
                tx.changed(&account, "identity", &iam_id)
            })
            .await
            .unwrap();
    }

    /// After the change exactly these doors are shut, and a second knock opens none.
    async fn shut(&mut self, what: &str, doors: &[&str]) {
        let answers = self.doors().await;
        let shut: Vec<&str> = answers.iter().filter(|(_, s)| **s != 200).map(|(d, _)| *d).collect();
        let mut expected = doors.to_vec();
        expected.sort_unstable();
        expected.dedup();
        assert_eq!(shut, expected, "{what}: {answers:?}");
        for (door, status) in answers {
            let bearer = door.contains("bearer");
            let right = match status {
                200 => true,
                401 => bearer || door.contains("refresh"),
                400 => !bearer,
                _ => false,
            };
            assert!(right, "{what}: {door} answers {status}");
        }
        for (token, door) in [(&self.token, "bearer"), (&self.profile_token, "profile's bearer")] {
            let status = self.t.bearer(token).get("/v1/apikeys").await.status;
            assert_eq!(status != 200, doors.contains(&door), "{what}: {door} again");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_service_id_is_refused_at_every_door() {
    let mut s = Stage::new(false).await;
    let path = format!("/v1/serviceids/{}", s.world.get("serviceid"));
    s.did("POST", &format!("{path}/lock"), json!({})).await;
    s.refresh.extend([fresh(&s).await, fresh(&s).await]);
    s.shut("locked, which forbids changes and nothing else", &[]).await;
    s.did("DELETE", &format!("{path}/lock"), Value::Null).await;
    s.did("DELETE", &path, Value::Null).await;
    s.shut("deleted", &OWN).await;
}

async fn fresh(s: &Stage) -> String {
    login(&s.t, &s.key).await["refresh_token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_act_is_refused_at_every_door() {
    for state in ["SUSPENDED", "DISABLED_CLASSIC_INFRASTRUCTURE", "PENDING", "", "active"] {
        let mut s = Stage::new(true).await;
        s.user_state(state).await;
        s.shut(state, &OWN).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_gone_off_or_over_logs_nobody_in_and_its_logins_do_not_go_on() {
    let by_key = ["apikey", "refresh", "refresh in account"];
    for of_user in [false, true] {
        for what in ["disabled", "deleted", "expired"] {
            let mut s = Stage::new(of_user).await;
            let path = format!("/v1/apikeys/{}", s.key_id);
            match what {
                "disabled" => s.did("POST", &format!("{path}/disable"), json!({})).await,
                "deleted" => s.did("DELETE", &path, Value::Null).await,
                _ => {
                    s.did("PUT", &path, json!({"expires_at": "2026-03-02T10:05+0000"})).await;
                    s.t.advance_secs(300);
                }
            }
            s.shut(what, &by_key).await;
        }
    }
    let mut s = Stage::new(false).await;
    s.did("POST", &format!("/v1/apikeys/{}/lock", s.key_id), json!({})).await;
    s.shut("locked, which forbids changes and nothing else", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_profile_is_refused_at_every_door() {
    let mut s = Stage::new(false).await;
    s.did("DELETE", &format!("/v1/profiles/{}", s.world.get("profile")), Value::Null).await;
    s.shut("deleted", &PROFILE).await;
    // One of the same name is another one.
    s.did("POST", "/v1/profiles", json!({"name": "p", "account_id": s.t.account()})).await;
    assert_eq!(s.t.bearer(&s.profile_token).get("/v1/apikeys").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_trusts_no_longer_gives_no_new_token_to_whom_it_trusted() {
    let mut s = Stage::new(false).await;
    let profile = format!("/v1/profiles/{}", s.world.get("profile"));
    s.did("DELETE", &format!("{profile}/links/{}", s.world.get("link")), Value::Null).await;
    s.shut("unlinked", &["cr-token", "exchange"]).await;
    let mut s = Stage::new(false).await;
    let profile = format!("/v1/profiles/{}", s.world.get("profile"));
    s.did("PUT", &format!("{profile}/identities"), json!({"identities": []})).await;
    s.shut("no identities", &["assume"]).await;
    let mut s = Stage::new(false).await;
    s.did("DELETE", &format!("/avouch/v1/clusters/{}", s.world.get("cluster")), Value::Null).await;
    s.shut("cluster gone", &["cr-token", "exchange"]).await;
    let mut s = Stage::new(false).await;
    let key = format!("/avouch/v1/clusters/{}/keys/{}/revoke", s.world.get("cluster"), s.world.issuer.kid);
    s.did("POST", &key, json!({})).await;
    s.shut("key of the cluster revoked", &["cr-token", "exchange"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_tokens_end_at_every_door_and_new_logins_do_not() {
    for of_user in [false, true] {
        let mut s = Stage::new(of_user).await;
        s.did("POST", "/avouch/v1/revocations", json!({"iam_id": s.iam_id})).await;
        let old = ["refresh", "refresh in account", "assume", "list of profiles", "bearer"];
        s.shut("revoked", &old).await;
        assert_eq!(s.t.bearer(&s.t.token(&s.key).await).get("/v1/apikeys").await.status, 200);
    }
    let mut s = Stage::new(false).await;
    let profile = format!("iam-{}", s.world.get("profile"));
    s.did("POST", "/avouch/v1/revocations", json!({"iam_id": profile})).await;
    s.shut("revoked profile", &["profile's bearer"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_the_account_does_not_allow_are_refused_at_every_grant() {
    let mut s = Stage::new(false).await;
    let path = format!("/v1/accounts/{}/settings/identity", s.t.account());
    s.did("PUT", &path, json!({"allowed_ip_addresses": "203.0.113.0/24"})).await;
    let grants = ["apikey", "refresh", "refresh in account", "assume", "cr-token", "exchange"];
    s.shut("address", &grants).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_account_is_refused_at_every_grant() {
    let s = Stage::new(true).await;
    let outsider = s.t.outsider().await;
    let claims = crate::world::claims(outsider.token());
    let account = claims["account"]["bss"].as_str().unwrap();
    let theirs = json!({"name": "p", "account_id": account});
    assert_eq!(outsider.post("/v1/profiles", theirs).await.status, 201);
    let workload = s.workload();
    let refresh = fresh(&s).await;
    let by_name = ("profile_name", "p");
    let standard = [
        ("grant_type", EXCHANGE),
        ("subject_token", &*workload),
        ("subject_token_type", JWT),
        ("account", account),
        by_name,
    ];
    for fields in [
        &[("grant_type", "refresh_token"), ("refresh_token", &*refresh), ("account", account)][..],
        &[("grant_type", ASSUME), ("access_token", &*s.token), ("account", account), by_name][..],
        &[("grant_type", CR_TOKEN), ("cr_token", &*workload), ("account", account), by_name][..],
        &standard[..],
    ] {
        let (status, body) = s.form(fields, false).await;
        assert!(status == 400, "{fields:?}: {status} {body}");
        let tenant = bx(&s.t).with_header("ibm-cloud-tenant", account);
        let r = tenant.form("/identity/token", &[("grant_type", APIKEY), ("apikey", &*s.key)]).await;
        assert_eq!(r.status, 400, "{}", r.text);
    }
}

/// A verified token is remembered by the hash of all of it: whatever differs in one place is another token, and is verified.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_differs_in_one_character_from_a_verified_one_is_refused() {
    for alg in ["RS256", "ES256"] {
        let t = TestApp::with(|c| c.token_alg = alg.into()).await;
        let token = t.token(t.api_key()).await;
        assert_eq!(t.bearer(&token).get("/v1/apikeys").await.status, 200);
        for at in 0..token.len() {
            let mut other = token.clone().into_bytes();
            other[at] = match other[at] {
                b'.' => b'A',
                b'A' => b'B',
                // The neighbour in the alphabet: the last character differs in bits that carry nothing.
                b'B' => b'A',
                b'a'..=b'y' | b'C'..=b'Y' | b'0'..=b'8' => other[at] + 1,
                _ => b'Q',
            };
            let other = String::from_utf8(other).unwrap();
            assert_eq!(t.bearer(&other).get("/v1/apikeys").await.status, 401, "{alg}: character {at}");
        }
        for other in [format!("{token}="), format!("{token}."), format!("{token}A"), token[1..].to_owned()] {
            assert_eq!(t.bearer(&other).get("/v1/apikeys").await.status, 401);
        }
        assert_eq!(t.bearer(&token).get("/v1/apikeys").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_assumed_a_profile_ends_with_the_service_id_that_did() {
    for end in ["delete", "revoke"] {
        let s = Stage::new(false).await;
        let assumed = s.form(&[("grant_type", ASSUME), ("access_token", &*s.token)], true).await.1;
        let bearer = s.t.bearer(assumed["access_token"].as_str().unwrap());
        assert_eq!(bearer.get("/v1/apikeys").await.status, 200);
        s.t.advance_secs(1);
        match end {
            "delete" => {
                s.did(
                    "DELETE",
                    &format!("/v1/serviceids/{}", s.iam_id.trim_start_matches("iam-")),
                    Value::Null,
                )
                .await;
            }
            _ => s.did("POST", "/avouch/v1/revocations", json!({"iam_id": s.iam_id})).await,
        }
        assert_eq!(bearer.get("/v1/apikeys").await.status, 401, "{end}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_holds_for_a_token_that_a_clock_set_back_dates_after_it() {
    let t = TestApp::new().await;
    let (client, iam_id) = t.service_id("early").await;
    assert_eq!(client.get("/v1/apikeys").await.status, 200);
    t.jump_secs(-3600);
    let admin = t.admin().await;
    assert_eq!(client.get("/v1/apikeys").await.status, 200);
    assert_eq!(admin.post("/avouch/v1/revocations", json!({"iam_id": iam_id})).await.status, 201);
    assert_eq!(client.get("/v1/apikeys").await.status, 401);
}

/// What becomes of a request with `token` whose body comes only after something else happened.
async fn held(t: &TestApp, token: &str, path: &str, body: Value, meanwhile: impl AsyncFnOnce()) -> u16 {
    held_by(t, token, ("POST", path), body.to_string(), meanwhile).await
}

async fn held_by(
    t: &TestApp,
    token: &str,
    (method, path): (&str, &str),
    body: String,
    meanwhile: impl AsyncFnOnce(),
) -> u16 {
    let (waits, waited) = tokio::sync::oneshot::channel();
    let (send, sent) = tokio::sync::oneshot::channel::<()>();
    let body = futures_util::stream::once(async move {
        // Only who was let in is asked for the body.
        waits.send(()).unwrap();
        sent.await.unwrap();
        Ok::<_, std::convert::Infallible>(http_body::Frame::data(bytes::Bytes::from(body)))
    });
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", "avouch.test")
        .header("authorization", format!("Bearer {token}"))
        .body(http_body_util::StreamBody::new(Box::pin(body)))
        .unwrap();
    let server = t.server().clone();
    let answer = tokio::spawn(async move {
        let address = std::net::IpAddr::from([127, 0, 0, 1]);
        avouch_gate::http::serve(&server.app, &server.router, request, address).await.status().as_u16()
    });
    waited.await.unwrap();
    meanwhile().await;
    send.send(()).unwrap();
    answer.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_the_body_back_does_not_outlive_the_end_of_his_token() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let path = "/v1/profiles";
    let body = |name: &str| json!({"name": name, "account_id": t.account()});
    let new = async |name: &str| {
        let role = "crn:v1:bluemix:public:iam::::role:Administrator";
        let (client, iam_id) = t.service_id(name).await;
        let target = json!([
            {"key": "accountId", "operator": "stringEquals", "value": t.account()},
            {"key": "serviceName", "operator": "stringEquals", "value": "iam-identity"},
        ]);
        t.grant(&admin, &iam_id, role, target).await;
        (client.token().to_owned(), iam_id)
    };
    let (token, _) = new("calm").await;
    assert_eq!(held(&t, &token, path, body("slow"), async || {}).await, 201);
    let (token, iam_id) = new("revoked").await;
    let revoke = async || {
        t.advance_secs(1);
        assert_eq!(admin.post("/avouch/v1/revocations", json!({"iam_id": iam_id})).await.status, 201);
    };
    assert_eq!(held(&t, &token, path, body("late"), revoke).await, 401);
    let (token, iam_id) = new("deleted").await;
    let delete = async || {
        let id = iam_id.trim_start_matches("iam-");
        assert_eq!(admin.delete(&format!("/v1/serviceids/{id}")).await.status, 204);
    };
    assert_eq!(held(&t, &token, path, body("later"), delete).await, 401);
    // Also where the body is empty in the end.
    let (token, iam_id) = new("empty").await;
    let list = format!("/v1/profiles?account_id={}", t.account());
    assert_eq!(held_by(&t, &token, ("GET", &list), String::new(), async || {}).await, 200);
    let revoke = async || {
        t.advance_secs(1);
        assert_eq!(admin.post("/avouch/v1/revocations", json!({"iam_id": iam_id})).await.status, 201);
    };
    assert_eq!(held_by(&t, &token, ("GET", &list), String::new(), revoke).await, 401);
    let (token, _) = new("expired").await;
    assert_eq!(held(&t, &token, path, body("last"), async || t.advance_secs(3600)).await, 401);
    let admin = t.admin().await;
    let names = admin.get(&format!("/v1/profiles?account_id={}", t.account())).await.text;
    assert!(
        names.contains("\"slow\"") && !names.contains("\"late") && !names.contains("\"last\""),
        "{names}"
    );
    // Each refusal is told as one of the identity that it was.
    let refused = t.events(&[("outcome", "failure")]).await;
    let mine = |e: &&Value| e["reason"]["reasonCode"] == 401 && e["initiator"]["id"] != t.owner();
    assert_eq!(refused.iter().filter(mine).count(), 4, "{refused:?}");
}
