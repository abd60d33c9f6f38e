//! Names that look alike: what is unique is unique in whatever spelling, and what hides is refused.

use avouch_testkit::TestApp;
use serde_json::json;

use crate::world::World;

/// The same word in other bytes.
const CASE: &str = "B\u{dc}HNE";
const WIDE: &str = "\u{ff22}\u{fc}\u{ff48}\u{ff4e}\u{ff45}";
/// Spellings that no name may have.
const HIDDEN: [&str; 9] = [
    "Bu\u{308}hne",
    "B\u{fc}hne ",
    " B\u{fc}hne",
    "B\u{fc}hne\u{a0}",
    "B\u{fc}h\u{200b}ne",
    "B\u{fc}h\u{2060}ne",
    "\u{feff}B\u{fc}hne",
    "B\u{fc}h\u{202e}ne",
    "B\u{fc}hne\n",
];
const NAME: &str = "B\u{fc}hne";

#[tokio::test(flavor = "multi_thread")]
async fn names_that_hide_something_are_refused_wherever_a_name_is_given() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let world = World::build(&t, &admin).await;
    let account = t.account();
    let any = admin.with_header("if-match", "*");
    let rg = t.resource_group();
    let groups = format!("/v2/groups?account_id={account}");
    let instance = json!({"target": "us-south", "resource_group": rg,
        "resource_plan_id": "7713c3a8-3be8-4a9a-81bb-ee822fcaac3d"});
    let role = json!({"name": "Staging", "display_name": "x", "account_id": account,
        "service_name": "iam-groups", "actions": ["iam-groups.groups.read"]});
    let in_account = json!({"account_id": account});
    let places = [
        ("POST", "/v1/profiles".to_owned(), "name", in_account.clone()),
        ("PUT", format!("/v1/profiles/{}", world.get("profile")), "name", json!({})),
        ("POST", "/v1/serviceids".into(), "name", in_account.clone()),
        ("PUT", format!("/v1/serviceids/{}", world.get("serviceid")), "name", json!({})),
        ("POST", "/v1/serviceid_groups".into(), "name", in_account.clone()),
        ("PUT", format!("/v1/serviceid_groups/{}", world.get("serviceid_group")), "name", json!({})),
        ("POST", "/v1/apikeys".into(), "name", json!({"iam_id": world.get("serviceid_iam")})),
        ("PUT", format!("/v1/apikeys/{}", world.get("apikey")), "name", json!({})),
        ("POST", groups.clone(), "name", json!({})),
        ("PATCH", format!("/v2/groups/{}", world.get("group")), "name", json!({})),
        ("POST", "/v2/roles".into(), "display_name", role.clone()),
        (
            "PUT",
            format!("/v2/roles/{}", world.get("role")),
            "display_name",
            json!({"actions": ["iam-groups.groups.update"]}),
        ),
        ("POST", "/v2/resource_groups".into(), "name", in_account),
        ("PATCH", format!("/v2/resource_groups/{}", world.get("resource_group")), "name", json!({})),
        ("POST", "/v2/resource_instances".into(), "name", instance),
        ("PATCH", format!("/v2/resource_instances/{}", world.get("instance")), "name", json!({})),
        (
            "POST",
            format!("/secrets-manager/{}/api/v2/secret_groups", world.get("instance")),
            "name",
            json!({}),
        ),
        (
            "POST",
            format!("/secrets-manager/{}/api/v2/secrets", world.get("instance")),
            "name",
            json!({"secret_type": "arbitrary", "payload": "x"}),
        ),
    ];
    for (method, path, field, body) in places {
        for name in HIDDEN {
            let mut body = body.clone();
            body[field] = json!(name);
            let r = any.json(method, &path, body.clone()).await;
            assert_eq!(r.status, 400, "{method} {path} {name:?}: {}", r.text);
        }
        // In ASCII the same body is right.
        let mut body = body.clone();
        body[field] = json!(if method == "POST" { "Stage" } else { "Stage-2" });
        let r = any.json(method, &path, body).await;
        assert!((200..300).contains(&r.status), "{method} {path}: {}", r.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unique_in_whatever_case_is_so_in_whatever_width() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let any = admin.with_header("if-match", "*");
    let groups = format!("/v2/groups?account_id={}", t.account());
    for (path, one) in [(&*groups, "/v2/groups"), ("/v2/resource_groups", "/v2/resource_groups")] {
        let body = |name: &str| match one {
            "/v2/groups" => json!({"name": name}),
            _ => json!({"name": name, "account_id": t.account()}),
        };
        let first = admin.post(path, body(NAME)).await;
        assert_eq!(first.status, 201, "{}", first.text);
        let other = admin.post(path, body("other")).await.body["id"].as_str().unwrap().to_owned();
        for name in [NAME, CASE, WIDE] {
            let r = admin.post(path, body(name)).await;
            assert_eq!(r.status, 409, "{path} {name}: {}", r.text);
            let r = any.json("PATCH", &format!("{one}/{other}"), json!({"name": name})).await;
            assert_eq!(r.status, 409, "{path} {name}: {}", r.text);
        }
        // Its own name in another spelling is no conflict.
        let own = format!("{one}/{}", first.body["id"].as_str().unwrap());
        let r = any.json("PATCH", &own, json!({"name": CASE})).await;
        assert_eq!((r.status, &r.body["name"]), (200, &json!(CASE)), "{}", r.text);
    }
    let public = admin.post(&groups, json!({"name": "\u{ff30}UBLIC ACCESS"})).await;
    assert_eq!(public.status, 409, "{}", public.text);
    let add = async |email: &str| admin.post("/avouch/v1/users", json!({"email": email})).await;
    let made = add("Ada@Avouch.test").await;
    assert_eq!((made.status, &made.body["email"]), (201, &json!("ada@avouch.test")), "{}", made.text);
    for email in ["ada@avouch.test", "ADA@AVOUCH.TEST", "\u{ff41}da@avouch.test", "ada\u{ff20}avouch.test"] {
        assert_eq!(add(email).await.status, 409, "{email}");
    }
    for email in ["ada\u{200b}@avouch.test", "ada@avouch.test ", "ada @avouch.test", "ada@avouch\u{ad}.test"]
    {
        assert_eq!(add(email).await.status, 400, "{email:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_tell_case_apart_are_found_by_their_own_bytes_only() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let world = World::build(&t, &admin).await;
    let workload = world.issuer.token("ns", "sa", "pod", t.now().secs());
    let login = async |name: &str, at: u8| {
        let fields = [
            ("grant_type", "urn:ibm:params:oauth:grant-type:cr-token"),
            ("cr_token", &*workload),
            ("profile_name", name),
        ];
        t.anon_from([10, 0, 1, at].into()).form("/identity/token", &fields).await.status
    };
    assert_eq!(login("p", 0).await, 200);
    for (at, name) in ["P", "p ", " p", "\u{ff50}", "p\u{200b}", "p\u{0}", "p\u{301}"].into_iter().enumerate()
    {
        assert_eq!(login(name, 1 + at as u8).await, 400, "{name:?}");
    }
    // A profile of a name that differs in case is another one, and trusts nobody.
    let r = admin.post("/v1/profiles", json!({"name": "P", "account_id": t.account()})).await;
    assert_eq!(r.status, 201, "{}", r.text);
    assert_eq!(login("P", 9).await, 400);
    assert_eq!(admin.post("/v1/profiles", json!({"name": "P", "account_id": t.account()})).await.status, 409);
}

/// Failures are counted by the address that they come from: no spelling of a name, a header or a form makes them others.
#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_credential_escapes_the_count_of_failures() {
    let t = TestApp::with(|c| c.limits.failed_exchanges_per_minute = 5).await;
    let grant = ("grant_type", "urn:ibm:params:oauth:grant-type:apikey");
    let mut statuses = Vec::new();
    for n in 0..12 {
        let key = ["nobody", "NOBODY", "nobody ", "\u{ff4e}obody", "nob\u{200b}ody"][n % 5];
        let client = t
            .anon_from([203, 0, 113, 5].into())
            .with_header("x-forwarded-for", &format!("198.51.100.{n}"))
            .with_header("user-agent", &format!("a{n}"));
        let path = if n % 2 == 0 { "/identity/token" } else { "/oidc/token" };
        statuses.push(client.form(path, &[grant, ("apikey", key)]).await.status);
    }
    assert!(statuses.iter().filter(|s| **s == 400).count() <= 5, "{statuses:?}");
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    let right = [grant, ("apikey", t.api_key())];
    assert_eq!(t.anon_from([203, 0, 113, 5].into()).form("/identity/token", &right).await.status, 429);
    assert_eq!(t.anon_from([203, 0, 113, 6].into()).form("/identity/token", &right).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nul_in_a_filter_or_a_form_is_the_callers_mistake() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let world = World::build(&t, &admin).await;
    let services = t.server().router.services();
    for e in services.iter().flat_map(|s| s.endpoints.iter()).filter(|e| e.method == "GET") {
        for parameter in
            ["name", "iam_id", "search", "start", "account_id", "filter", "q", "crn", "group_id", "_start"]
        {
            let path = format!("{}?{parameter}=a%00b", world.path(e.path));
            let r = admin.get(&path).await;
            assert!(r.status < 500, "{path}: {}", r.text);
        }
    }
    let tokens = [("grant_type", "refresh_token"), ("refresh_token", "a\0b")];
    let bx = t.anon().with_header("authorization", "Basic Yng6Yng=");
    assert_eq!(bx.form("/identity/token", &tokens).await.status, 400);
}
