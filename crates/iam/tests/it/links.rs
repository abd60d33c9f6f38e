//! Links: what they must carry, who may make them, how they go.

use avouch_testkit::TestApp;
use serde_json::{Value, json};

use crate::helpers::{code, event, grant, profile, text, user};

fn cluster(account: &str, id: &str) -> String {
    format!("crn:v1:bluemix:public:containers-kubernetes:us-south:a/{account}:{id}::")
}

fn pod(crn: &str, name: &str) -> Value {
    json!({"cr_type": "IKS_SA", "link": {"crn": crn, "namespace": "default", "name": name}})
}

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "operator": "stringEquals", "value": value})
}

#[tokio::test]
async fn a_link_lives_from_creation_to_deletion() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let id = profile(&t, &admin, "p").await;
    let base = format!("/v1/profiles/{id}/links");
    let crn = format!(
        "crn:v1:staging:public:iam-identity::a/{}::computeresource:Fake-Compute-Resource",
        t.account()
    );
    let body = json!({"cr_type": "ROKS_SA", "name": "label",
        "link": {"crn": crn, "namespace": "default", "name": "nice name"}});
    let made = admin.post(&base, body.clone()).await;
    assert_eq!((made.status, made.etag()), (201, text(&made, "entity_tag")), "{}", made.body);
    assert_eq!((&made.body["link"], &made.body["is_cross_account"]), (&body["link"], &json!(false)));
    assert_eq!((&made.body["name"], &made.body["modified_at"]), (&json!("label"), &made.body["created_at"]));
    let twice = admin.post(&base, body.clone()).await;
    assert_eq!((twice.status, code(&twice)), (409, "BXNIM0111E"));
    let path = format!("{base}/{}", text(&made, "id"));
    assert_eq!(admin.get(&path).await.body, made.body);
    assert_eq!(admin.get(&base).await.body["links"], json!([made.body]));
    let other = profile(&t, &admin, "other").await;
    assert_eq!(admin.get(&format!("/v1/profiles/{other}/links/{}", text(&made, "id"))).await.status, 404);
    assert_eq!(admin.post(&format!("/v1/profiles/{other}/links"), body).await.status, 201);
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(admin.delete(&path).await.status, 404);

    let told = t.events(&[("action", "iam-identity.profile-link.create"), ("outcome", "success")]).await;
    assert_eq!((told.len(), &told[1]["requestData"]["crn"]), (2, &json!(crn)));
    assert_eq!(
        (&told[1]["severity"], &told[1]["requestData"]["name"]),
        (&json!("critical"), &json!("nice name"))
    );
    let told = t.events(&[("action", "iam-identity.profile-link.delete"), ("outcome", "success")]).await;
    assert_eq!(told[0]["requestData"]["namespace"], "default");
}

#[tokio::test]
async fn a_link_carries_what_its_type_needs() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let id = profile(&t, &admin, "p").await;
    let base = format!("/v1/profiles/{id}/links");
    let own = cluster(t.account(), "c1");
    let foreign = cluster(&"f".repeat(32), "c1");
    for (body, status) in [
        (pod(&own, "sa"), 201),
        (json!({"cr_type": "VSI", "link": {"crn": own}}), 201),
        (
            json!({"cr_type": "CE", "link": {"crn": own, "component_type": "any_type", "component_name": "n"}}),
            201,
        ),
        (json!({"cr_type": "OIDC", "link": {"crn": own, "name": "repo:o/r:ref:refs/heads/main"}}), 201),
        (json!({"cr_type": "IKS_SA", "link": {"crn": own, "namespace": "default"}}), 400),
        (json!({"cr_type": "IKS_SA", "link": {"crn": own, "namespace": "", "name": "x"}}), 400),
        (json!({"cr_type": "CE", "link": {"crn": own, "component_type": "application"}}), 400),
        (json!({"cr_type": "OIDC", "link": {"crn": own}}), 400),
        (json!({"cr_type": "dummy", "link": {"crn": own}}), 400),
        (json!({"link": {"crn": own}}), 400),
        (json!({"cr_type": "VSI"}), 400),
        (json!({"cr_type": "VSI", "link": {}}), 400),
        (json!({"cr_type": "VSI", "link": {"crn": "not a crn"}}), 400),
        (json!({"cr_type": "VSI", "link": {"crn": "crn:v1:bluemix:public:is:us-south:a/%2e%2e:x::"}}), 400),
        (json!({"cr_type": "VSI", "link": {"crn": "crn:v1:bluemix:public:is:us-south:a/x:../y::"}}), 400),
        (json!({"cr_type": "VSI", "link": {"crn": own}, "is_cross_account": "yes"}), 400),
        (pod(&foreign, "sa"), 400),
    ] {
        assert_eq!(admin.post(&base, body.clone()).await.status, status, "{body}");
    }
    let unknown = "/v1/profiles/Profile-00000000-0000-4000-8000-00000000dead/links";
    assert_eq!(admin.post(unknown, pod(&own, "sa")).await.status, 404);
    assert_eq!(admin.post(unknown, json!({"cr_type": "dummy"})).await.status, 400);
}

#[tokio::test]
async fn links_go_by_their_parameters_each_with_its_event() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let id = profile(&t, &admin, "p").await;
    let base = format!("/v1/profiles/{id}/links");
    let crn = cluster(t.account(), "c1");
    for name in ["one", "two", "three"] {
        assert_eq!(admin.post(&base, pod(&crn, name)).await.status, 201);
    }
    let by =
        |more: &str| format!("{base}?type=IKS_SA&crn={}{more}", crn.replace(':', "%3A").replace('/', "%2F"));
    assert_eq!(admin.delete(&base).await.status, 400);
    assert_eq!(admin.delete(&format!("{base}?type=dummy")).await.status, 400);
    assert_eq!(admin.delete(&by("&name=other")).await.status, 404);
    assert_eq!(admin.delete(&by("&name=one&namespace=other")).await.status, 404);
    assert_eq!(admin.delete(&by("&name=one&component_name=x")).await.status, 404);
    assert_eq!(admin.delete(&format!("{base}?type=ROKS_SA&name=one")).await.status, 404);
    assert_eq!(admin.delete(&by("&name=one")).await.status, 204);
    assert_eq!(admin.get(&base).await.body["links"].as_array().unwrap().len(), 2);
    assert_eq!(admin.delete(&by("")).await.status, 204);
    assert_eq!(admin.get(&base).await.body["links"], json!([]));
    let told = t.events(&[("action", "iam-identity.profile-link.delete"), ("outcome", "success")]).await;
    let mut names: Vec<&str> = told.iter().map(|e| e["requestData"]["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["one", "three", "two"]);
    assert!(
        told.iter()
            .all(|e| e["target"]["id"].as_str().unwrap().ends_with(&id) && e["severity"] == "critical")
    );
}

#[tokio::test]
async fn linking_a_cluster_needs_to_link_and_to_write_in_it() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let id = profile(&t, &admin, "p").await;
    let base = format!("/v1/profiles/{id}/links");
    let (client, iam_id) = user(&t, "linker").await;
    assert_eq!(client.post(&base, pod(&cluster(t.account(), "c1"), "sa")).await.status, 403);
    grant(&t, &iam_id, "Editor", &[]).await;
    // Enough for what is no cluster, not for one.
    let elsewhere = format!("crn:v1:bluemix:public:is:us-south:a/{}::instance:i1", t.account());
    assert_eq!(client.post(&base, json!({"cr_type": "VSI", "link": {"crn": elsewhere}})).await.status, 201);
    for service in ["containers-kubernetes", "containers-openshift", "containers-redhat"] {
        let crn = cluster(t.account(), "c1").replace("containers-kubernetes", service);
        assert_eq!(client.post(&base, pod(&crn, service)).await.status, 403, "{service}");
    }
    let target = json!([
        attribute("accountId", t.account()),
        attribute("serviceName", "containers-kubernetes"),
        attribute("serviceInstance", "c1")
    ]);
    t.grant(&admin, &iam_id, "crn:v1:bluemix:public:iam::::serviceRole:Writer", target).await;
    assert_eq!(client.post(&base, pod(&cluster(t.account(), "c2"), "sa")).await.status, 403);
    t.advance_secs(1);
    assert_eq!(client.post(&base, pod(&cluster(t.account(), "c1"), "sa")).await.status, 201);
    let refused = t.events(&[("action", "iam-identity.profile-link.create"), ("outcome", "failure")]).await;
    assert!(refused.iter().all(|e| e["reason"]["reasonCode"] == 403 && e["severity"] == "critical"));
    assert_eq!(refused.len(), 5);
    assert_eq!(event(&t, "iam-identity.profile-link.create").await["initiator"]["id"], iam_id.as_str());
}

#[tokio::test]
async fn a_cluster_of_another_account_is_linked_only_by_whom_that_account_trusts() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let id = profile(&t, &admin, "p").await;
    let base = format!("/v1/profiles/{id}/links");
    let outsider = t.outsider().await;
    let account = {
        let r = outsider.get("/v1/apikeys").await;
        r.body["apikeys"][0]["account_id"].as_str().unwrap().to_owned()
    };
    let mut body = pod(&cluster(&account, "c1"), "sa");
    assert_eq!(admin.post(&base, body.clone()).await.status, 400);
    body["is_cross_account"] = json!(true);
    let r = admin.post(&base, body.clone()).await;
    assert_eq!((r.status, code(&r)), (403, "BXNIM0513E"));
    let policy = json!({
        "type": "access",
        "subject": {"attributes": [attribute("iam_id", t.owner())]},
        "control": {"grant": {"roles": [{"role_id": "crn:v1:bluemix:public:iam::::serviceRole:Writer"}]}},
        "resource": {"attributes": [attribute("accountId", &account), attribute("serviceName", "containers-kubernetes")]},
    });
    assert_eq!(outsider.post("/v2/policies", policy).await.status, 201);
    let r = admin.post(&base, body).await;
    assert_eq!((r.status, &r.body["is_cross_account"]), (201, &json!(true)), "{}", r.body);
}

#[tokio::test]
async fn a_profile_has_a_limited_number_of_links() {
    let t = TestApp::with(|c| c.limits.links_per_profile = 1).await;
    let admin = t.admin().await;
    let base = format!("/v1/profiles/{}/links", profile(&t, &admin, "p").await);
    let crn = cluster(t.account(), "c1");
    assert_eq!(admin.post(&base, pod(&crn, "one")).await.status, 201);
    let r = admin.post(&base, pod(&crn, "two")).await;
    assert_eq!((r.status, code(&r)), (400, "BXNIM0110E"));
}
