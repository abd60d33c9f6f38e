//! A panic ends one request. It is answered in the shape of the service, counted, told to the operator and to the account,
//! and leaves nothing half done; and no body that anybody generates brings one about.

use std::pin::Pin;
use std::task::{Context, Poll};

use avouch_gate::http::Router;
use avouch_gate::{
    Auth, Ctx, Effect, Endpoint, Error, ErrorContext, Request, Response, Result, Service, Target,
};
use avouch_policy::access::ResourceAttrs;
use avouch_testkit::{Client, TestApp, TestResponse};
use avouch_wire::ids::AccountId;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use crate::tenancy::{object as object_of, word};
use crate::world::World;

const CANARY: &str = "canary-in-a-panic";

async fn at_once(_ctx: Ctx, _request: Request) -> Result<Response> {
    panic!("{CANARY}")
}

/// Panics behind a change that it has made already.
async fn in_a_change(ctx: Ctx, _request: Request) -> Result<Response> {
    let account = ctx.caller()?.account().clone();
    let attrs = ResourceAttrs::service(&account, "iam-identity");
    let target = Target::global("iam-identity", &account, attrs, "crn").named("half");
    let permit = ctx.authorize_member("iam-identity.profile.create", &target)?;
    ctx.write(permit, |tx, _| -> Result<()> {
        tx.set_system_value("half", b"done")?;
        panic!("{CANARY}")
    })
    .await?;
    Response::json(200, &json!({}))
}

async fn fine(_ctx: Ctx, _request: Request) -> Result<Response> {
    Response::json(200, &json!({"fine": true}))
}

fn unrenderable(_: &Error, _: &ErrorContext) -> Response {
    panic!("{CANARY}")
}

fn broken() -> Router {
    let render = avouch_server::system::render;
    let service = |name, endpoints, render| Service { name, display: "Test", endpoints, render };
    Router::new(vec![
        service(
            "one",
            vec![
                Endpoint::get("/anonymous", "anonymous", at_once).anonymous(),
                Endpoint::get("/read", "read", at_once)
                    .events("iam-identity/test", &["iam-identity.test.read"]),
                Endpoint::get("/quiet", "quiet", at_once),
                Endpoint::post("/change", "change", in_a_change)
                    .events("iam-identity/test", &["iam-identity.test.change"]),
                Endpoint::post("/body", "body", fine).anonymous(),
            ],
            render,
        ),
        service("two", vec![Endpoint::get("/render", "render", at_once).anonymous()], unrenderable),
    ])
    .unwrap()
}

/// A body that panics when it is read.
struct Exploding;

impl http_body::Body for Exploding {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<http_body::Frame<Bytes>, Self::Error>>> {
        panic!("{CANARY}")
    }
}

async fn asked<B>(t: &TestApp, router: &Router, request: http::Request<B>) -> (u16, Value)
where
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let answer = avouch_gate::http::serve(t.app(), router, request, [127, 0, 0, 1].into()).await;
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap())
}

async fn panics(t: &TestApp) -> u64 {
    let counters = t.anon().get("/metrics").await.text;
    let line = counters.lines().find(|l| l.starts_with("avouch_panics_total ")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_panic_is_answered_in_shape_counted_and_told_and_undoes_its_change() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let router = broken();
    let mut told = Vec::new();
    for (n, (method, path)) in [
        ("GET", "/anonymous"),
        ("GET", "/read"),
        ("GET", "/quiet"),
        ("POST", "/change"),
        ("POST", "/body"),
        ("GET", "/render"),
    ]
    .into_iter()
    .enumerate()
    {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "avouch.test")
            .header("transaction-id", format!("panic-{n}"))
            .header("authorization", format!("Bearer {}", admin.token()));
        let before = panics(&t).await;
        let (status, body) = if path == "/body" {
            asked(&t, &router, request.body(Exploding).unwrap()).await
        } else {
            asked(&t, &router, request.body(Full::<Bytes>::default()).unwrap()).await
        };
        assert_eq!((status, &body["trace"]), (500, &json!(format!("panic-{n}"))), "{path}: {body}");
        assert!(body["errors"][0]["message"].is_string() && !body.to_string().contains(CANARY), "{body}");
        assert!(panics(&t).await > before, "{path} is not counted");
        told.push(path.trim_start_matches('/').to_owned());
    }
    let operator =
        admin.get("/avouch/v1/audit/events?trail=operator&limit=1000&action=avouch.request.panic").await.body;
    let mut events: Vec<String> = operator["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["target"]["name"].as_str().unwrap().to_owned())
        .collect();
    events.sort();
    told.sort();
    assert_eq!(events, told, "{operator}");
    // The account learns of what it would have been told of anyway.
    for (action, n) in [("iam-identity.test.read", 1), ("iam-identity.test.change", 3)] {
        let events = t.events(&[("action", action)]).await;
        assert_eq!((events.len(), &events[0]["reason"]["reasonCode"]), (1, &json!(500)), "{events:?}");
        assert_eq!(events[0]["correlationId"], format!("panic-{n}"));
    }
    let half = t.app().store.read::<_, avouch_store::Error, _>(|tx| tx.system_value("half")).await.unwrap();
    assert_eq!(half, None, "a change is left half made");
    assert_eq!(admin.get("/v1/apikeys").await.status, 200);
}

/// Splitmix64: the same bodies at every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// Texts as JSON writes them, among them what no text should be.
const TEXTS: [&str; 24] = [
    r#""""#,
    r#"" ""#,
    r#""a""#,
    r#""\u0000""#,
    r#""a\u0000b""#,
    r#""\ud83d\ude00""#,
    r#""\ud800""#,
    r#""\u202e\u2066\ufeff""#,
    r#""ÅÅ\u030a""#,
    r#""ﬀİıß""#,
    r#""..""#,
    r#""../../etc/passwd""#,
    r#""%00%2e%2e""#,
    r#""crn:v1:bluemix:public:iam-identity::a/x::profile:Profile-1""#,
    r#""crn:v1:::::::::""#,
    r#""crn""#,
    r#""2026-13-45T99:99:99Z""#,
    r#""0000-01-01T00:00:00Z""#,
    r#""9999-12-31T23:59:60+23:59""#,
    r#""-1""#,
    r#""99999999999999999999""#,
    r#""*""#,
    r#""iam-ServiceId-x""#,
    r#""{{{{""#,
];

/// Everything that is no text.
const OTHERS: [&str; 26] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-1",
    "1",
    "1.5",
    "1e308",
    "1e309",
    "-1e400",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "253402300800000",
    "1e-400",
    "[]",
    "[[]]",
    "[null]",
    "[{}]",
    "{}",
    r#"{"":""}"#,
    r#"{"\u0000":1}"#,
    r#"{"a":{"a":{"a":[{"a":1}]}}}"#,
    "[1,\"a\",null,{}]",
];

/// Names of fields of the interfaces served here.
const NAMES: [&str; 72] = [
    "name",
    "description",
    "account_id",
    "iam_id",
    "email",
    "type",
    "cr_type",
    "link",
    "crn",
    "namespace",
    "conditions",
    "claim",
    "operator",
    "value",
    "expiration",
    "realm_name",
    "identities",
    "identifier",
    "identity_type",
    "accounts",
    "apikey",
    "entity_lock",
    "locked",
    "store_value",
    "support_sessions",
    "action_when_leaked",
    "expires_at",
    "unique_instance_crns",
    "subject",
    "subjects",
    "control",
    "grant",
    "roles",
    "role_id",
    "resource",
    "resources",
    "attributes",
    "key",
    "tags",
    "rule",
    "pattern",
    "actions",
    "display_name",
    "service_name",
    "members",
    "secret_type",
    "payload",
    "data",
    "labels",
    "custom_metadata",
    "secret_group_id",
    "expiration_date",
    "version_custom_metadata",
    "rotation",
    "auto_rotate",
    "interval",
    "unit",
    "username",
    "password",
    "locks",
    "mode",
    "issuer",
    "jwks",
    "keys",
    "kid",
    "audiences",
    "trust",
    "access",
    "action",
    "profile_id",
    "parameters",
    "state",
];

fn text_of(dice: &mut Dice) -> String {
    match dice.below(12) {
        0 => format!("\"{}\"", "é".repeat(1 + dice.below(600))),
        1 => format!("\"{}\"", "a".repeat(1 + dice.below(20_000))),
        _ => (*dice.of(&TEXTS)).to_owned(),
    }
}

fn any(dice: &mut Dice, depth: usize) -> String {
    match dice.below(if depth == 0 { 6 } else { 10 }) {
        0..=2 => text_of(dice),
        3..=5 => (*dice.of(&OTHERS)).to_owned(),
        6 => {
            let all: Vec<String> = (0..dice.below(4)).map(|_| any(dice, depth - 1)).collect();
            format!("[{}]", all.join(","))
        }
        _ => object(dice, depth - 1),
    }
}

fn object(dice: &mut Dice, depth: usize) -> String {
    let all: Vec<String> = (0..1 + dice.below(6))
        .map(|_| {
            let name = *dice.of(&NAMES);
            format!("\"{name}\":{}", any(dice, depth))
        })
        .collect();
    format!("{{{}}}", all.join(","))
}

/// The value written out with one place of it changed; `at` counts the places.
fn changed(value: &Value, at: &mut usize, with: &str) -> String {
    let here = *at == 0;
    *at = at.wrapping_sub(1);
    if here {
        return with.to_owned();
    }
    match value {
        Value::Object(members) => {
            let all: Vec<String> =
                members.iter().map(|(k, v)| format!("{}:{}", json!(k), changed(v, at, with))).collect();
            format!("{{{}}}", all.join(","))
        }
        Value::Array(items) => {
            let all: Vec<String> = items.iter().map(|v| changed(v, at, with)).collect();
            format!("[{}]", all.join(","))
        }
        other => other.to_string(),
    }
}

fn places(value: &Value) -> usize {
    1 + match value {
        Value::Object(members) => members.values().map(places).sum(),
        Value::Array(items) => items.iter().map(places).sum(),
        _ => 0,
    }
}

fn body(dice: &mut Dice, sound: &Value) -> (&'static str, Vec<u8>) {
    let bytes = match dice.below(20) {
        0 => String::new(),
        1 => any(dice, 0),
        2 => "[".repeat(200) + &"]".repeat(200),
        3 => r#"{"a":"#.repeat(40) + "1" + &"}".repeat(40),
        4 => format!("[{sound}]"),
        5 => {
            // A key twice, the second time with something else.
            let twice = sound.to_string();
            let name = sound.as_object().and_then(|o| o.keys().next()).map_or("name", String::as_str);
            format!("{},\"{name}\":{}}}", twice.trim_end_matches('}'), any(dice, 1))
        }
        6 => sound.to_string()[..sound.to_string().len() / 2].to_owned(),
        7..=10 => object(dice, 3),
        _ => {
            // A sound one with one place of it changed.
            let mut at = dice.below(places(sound));
            let with = any(dice, 2);
            changed(sound, &mut at, &with)
        }
    };
    let kind = match dice.below(10) {
        0 => "",
        1 => "application/x-www-form-urlencoded",
        2 => "text/plain; charset=latin1",
        _ => "application/json",
    };
    let mut bytes = bytes.into_bytes();
    if dice.below(25) == 0 {
        let at = dice.below(bytes.len() + 1);
        bytes.insert(at, [0, 0xff, 0xc0, b'\n'][dice.below(4)]);
    }
    (kind, bytes)
}

/// An answer that is none of a defect, and an error in one of the published shapes.
fn assert_sound(r: &TestResponse, asked: &str, sent: &[u8]) {
    let sent = || String::from_utf8_lossy(&sent[..sent.len().min(2000)]).into_owned();
    assert!(
        r.status < 500 || r.status == 501 || r.status == 503,
        "{asked}: {} {}\n{}",
        r.status,
        r.text,
        sent()
    );
    if r.status >= 400 {
        let message = [&r.body["errors"][0]["message"], &r.body["errorMessage"], &r.body["message"]];
        assert!(message.iter().any(|m| m.is_string()), "{asked}: {} {}\n{}", r.status, r.text, sent());
    }
}

/// The path with every parameter filled in.
fn path_of(world: &World, template: &str) -> String {
    let filled = template.split('/').map(|part| {
        let Some(name) = part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) else { return part };
        object_of(template, name).map_or_else(|| word(name), |object| world.get(object))
    });
    filled.collect::<Vec<_>>().join("/")
}

/// A body that the endpoint takes, or nearly.
fn sound(world: &World, operation: &str) -> Value {
    let equal = |key: &str, value: &str| json!({"key": key, "operator": "stringEquals", "value": value});
    let viewer = json!([{"role_id": "crn:v1:bluemix:public:iam::::role:Viewer"}]);
    let (account, iam_id) = (world.get("account"), world.get("serviceid_iam"));
    let decision = json!({"subject": {"attributes": {"id": iam_id}}, "action": "kms.secrets.list",
        "resource": {"attributes": {"accountId": account, "serviceName": "kms"}}});
    let keys = world.issuer.jwks();
    let issuer = json!({"name": "x", "issuer": "https://x.test", "jwks": keys, "audiences": ["a"]});
    match operation {
        "create_v2_policy" | "replace_v2_policy" => json!({"type": "access", "description": "d",
            "subject": {"attributes": [equal("iam_id", iam_id)]},
            "control": {"grant": {"roles": viewer}},
            "resource": {"attributes": [equal("accountId", account), equal("serviceName", "kms")]},
            "rule": {"operator": "and", "conditions": [
                {"key": "{{environment.attributes.day_of_week}}", "operator": "dayOfWeekAnyOf",
                    "value": ["1+00:00"]}]},
            "pattern": "time-based-conditions:weekly:all-day"}),
        "create_policy" | "replace_policy" => json!({"type": "access", "roles": viewer,
            "subjects": [{"attributes": [{"name": "iam_id", "value": iam_id}]}],
            "resources": [{"attributes": [{"name": "accountId", "value": account},
                {"name": "serviceName", "value": "kms", "operator": "stringEquals"}]}]}),
        "update_policy_state" => json!({"state": "active"}),
        "authorize_bulk_post" => json!({"requests": [decision]}),
        "authorize" | "authorized_roles" => json!([decision]),
        "create_role" | "replace_role" => json!({"name": "Role", "display_name": "r", "account_id": account,
            "service_name": "iam-groups", "actions": ["iam-groups.groups.list"], "description": "d"}),
        "create_access_group" | "update_access_group" => json!({"name": "g", "description": "d"}),
        "add_members_to_access_group" => json!({"members": [{"iam_id": iam_id, "type": "service"}]}),
        "remove_members_from_access_group" => json!({"members": [iam_id]}),
        "add_access_group_rule" | "replace_access_group_rule" => json!({"name": "r", "expiration": 12,
            "realm_name": "https://idp.test",
            "conditions": [{"claim": "c", "operator": "EQUALS", "value": "\"v\""}]}),
        "register_cluster" | "replace_cluster" | "update_cluster" | "update_cluster_master" => {
            json!({"name": "x",
            "cr_type": "IKS_SA", "issuer": "https://x.test", "jwks": keys})
        }
        "register_issuer" | "replace_issuer" | "update_issuer" => issuer,
        "diagnose_cluster" | "diagnose_issuer" => json!({"token": "e30.e30.e30", "cr_token": "e30.e30.e30"}),
        "create_revocation" => json!({"iam_id": iam_id, "jti": "x", "before": "2026-03-02T10:00:00Z"}),
        "create_resource_instance" => json!({"name": "i", "target": "us-south",
            "resource_group": world.get("resource_group"), "tags": ["a:b"], "parameters": {"a": 1},
            "resource_plan_id": "7713c3a8-3be8-4a9a-81bb-ee822fcaac3d"}),
        "create_secret" => json!({"secret_type": "username_password", "name": "xyz", "username": "u",
            "password": "p", "description": "d", "labels": ["a"], "custom_metadata": {"a": 1},
            "expiration_date": "2030-01-01T00:00:00Z", "version_custom_metadata": {},
            "rotation": {"auto_rotate": true, "interval": 1, "unit": "day"},
            "password_generation_policy": {"length": 32, "include_digits": true}}),
        "run_reclamation_action" => json!({"request_by": "x", "comment": "y"}),
        _ => world.body(operation),
    }
}

const EACH: usize = 24;

#[tokio::test(flavor = "multi_thread")]
async fn no_generated_body_or_query_brings_about_a_panic_or_a_defect() {
    let t = TestApp::with(|c| c.limits.failed_exchanges_per_minute = 0).await;
    let admin = t.admin().await;
    let world = World::build(&t, &admin).await;
    let mut owner: Client = admin.with_header("if-match", "*");
    let mut dice = Dice(0x0061_766f_7563_6800);
    let mut endpoints: Vec<_> = t
        .server()
        .router
        .services()
        .iter()
        .flat_map(|s| s.endpoints.clone())
        .filter(|e| e.auth == Auth::Bearer)
        .collect();
    // What is deleted is asked about no more.
    endpoints.sort_by_key(|e| (e.method == "DELETE", usize::MAX - e.path.len(), e.path, e.operation));
    let (mut asked, mut renewed, mut good) = (0, 0, 0);
    for e in &endpoints {
        let writes = !["GET", "HEAD", "DELETE"].contains(&e.method.as_str());
        for n in 0..if writes { EACH } else { EACH / 4 } {
            let mut path = path_of(&world, e.path);
            if n % 8 == 7 {
                // One id is another text.
                let odd = *dice.of(&[
                    "%00",
                    "x",
                    "%F0%9F%98%80",
                    "Profile-",
                    "..%2F..",
                    "%22",
                    "crn%3Av1",
                    "-1",
                    "default",
                ]);
                path = e
                    .path
                    .split('/')
                    .map(|s| if s.starts_with('{') { odd } else { s })
                    .collect::<Vec<_>>()
                    .join("/");
            }
            path += &world.query(e.path);
            if !writes || n % 6 == 5 {
                path.push(if path.contains('?') { '&' } else { '?' });
                for name in ["limit", "offset", "start", "sort", "search", "include_history"] {
                    if dice.below(2) == 0 {
                        let value = *dice.of(&[
                            "",
                            "0",
                            "-1",
                            "1",
                            "true",
                            "99999999999999999999",
                            "%00",
                            "%ff",
                            "%F0%9F%98%80",
                            "a&limit=1",
                            "eyJ9",
                        ]);
                        path += &format!("{name}={value}&");
                    }
                }
            }
            let (kind, bytes) =
                if writes { body(&mut dice, &sound(&world, e.operation)) } else { ("", Vec::new()) };
            let (kind, bytes) = if writes && n == 0 {
                ("application/json", sound(&world, e.operation).to_string().into_bytes())
            } else {
                (kind, bytes)
            };
            let mut r = owner.send(e.method.as_str(), &path, kind, bytes.clone()).await;
            if r.status == 401 {
                // Its own token was revoked, which a generated body may well ask for.
                owner = t.admin().await.with_header("if-match", "*");
                renewed += 1;
                r = owner.send(e.method.as_str(), &path, kind, bytes.clone()).await;
                assert_ne!(r.status, 401, "{} {path}: {}", e.method, r.text);
            }
            assert_sound(&r, &format!("{} {path}", e.method), &bytes);
            (asked, good) = (asked + 1, good + usize::from(r.status < 300 && e.effect != Effect::Read));
        }
    }
    // Forms, with which one becomes somebody.
    let grants =
        ["apikey", "cr-token", "assume", "passcode", "delegated-refresh-token", "iam-authz", "", "\0"];
    let fields = [
        "apikey",
        "cr_token",
        "profile_id",
        "profile_name",
        "profile_crn",
        "access_token",
        "refresh_token",
        "response_type",
        "account",
        "desired_iam_id",
        "receiver_client_ids",
        "scope",
        "username",
        "password",
    ];
    for n in 0..600 {
        let mut form: Vec<(&str, String)> =
            vec![("grant_type", format!("urn:ibm:params:oauth:grant-type:{}", dice.of(&grants)))];
        for field in fields {
            if dice.below(3) == 0 {
                let text = text_of(&mut dice);
                let value = match dice.below(4) {
                    0 => admin.token().to_owned(),
                    1 => world.get("apikey_value").to_owned(),
                    _ => text.trim_matches('"').to_owned(),
                };
                form.push((field, value));
            }
        }
        if n % 10 == 0 {
            form.push(("apikey", "twice".into()));
        }
        let form: Vec<(&str, &str)> = form.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let r = t.anon().form("/identity/token", &form).await;
        assert_sound(&r, "POST /identity/token", format!("{form:?}").as_bytes());
        asked += 1;
        let (kind, bytes) = body(&mut dice, &json!({"grant_type": "x", "apikey": "y"}));
        let r = t.anon().send("POST", "/identity/token", kind, bytes.clone()).await;
        assert_sound(&r, "POST /identity/token", &bytes);
    }
    assert_eq!(panics(&t).await, 0);
    // What was generated is not all nonsense, and the owner is still one.
    println!("{asked} requests, {good} changes, {renewed} new tokens");
    assert!(
        asked > 2000 && good > 100 && renewed < 50,
        "{asked} requests, {good} changes, {renewed} new tokens"
    );
    let account = AccountId::parse(t.account()).unwrap();
    assert_eq!(t.admin().await.get(&format!("/v1/accounts/{account}/settings/identity")).await.status, 200);
}
