#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// A server that gives these answers, one to each request, and what it was asked.
async fn scripted(answers: Vec<String>) -> (Api, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (seen, next) = (asked.clone(), AtomicUsize::new(0));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 8192];
            let n = stream.read(&mut request).await.unwrap();
            seen.lock().unwrap().push(String::from_utf8_lossy(&request[..n]).into_owned());
            let answer = &answers[next.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1)];
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let reach = Reach { endpoint, skip_tls: false, timeout: Duration::from_secs(5), trace: Trace::Off };
    (Api::new(reach).unwrap().with_token("Bearer tok"), asked)
}

fn answer(status: &str, headers: &str, body: &Value) -> String {
    let body = body.to_string();
    format!("HTTP/1.1 {status}\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn busy_servers_are_asked_again_up_to_three_times() {
    let busy = || answer("429 Too Many Requests", "retry-after: 0\r\n", &json!({}));
    let (api, asked) = scripted(vec![busy(), busy(), answer("200 OK", "", &json!({"ok": true}))]).await;
    assert_eq!(api.send(Call::post("/v1/x").json(json!({}))).await.unwrap().body["ok"], true);
    assert_eq!(asked.lock().unwrap().len(), 3);

    let (api, asked) = scripted(vec![busy()]).await;
    assert_eq!(api.send(Call::get("/v1/x")).await.unwrap_err().status(), Some(429));
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_write_that_may_have_happened_is_not_repeated() {
    let broken = answer("500 Internal Server Error", "retry-after: 0\r\n", &json!({"message": "broken"}));
    let (api, asked) = scripted(vec![broken.clone()]).await;
    assert_eq!(
        api.send(Call::post("/v1/x").json(json!({}))).await.unwrap_err().text(),
        "broken\nHTTP status: 500"
    );
    assert_eq!(asked.lock().unwrap().len(), 1);
    let (api, asked) = scripted(vec![broken]).await;
    assert!(api.send(Call::get("/v1/x")).await.is_err());
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn client_errors_are_told_at_once() {
    let body = json!({"trace": "t-1", "errors": [{"code": "not_found", "message": "No."}]});
    let (api, asked) = scripted(vec![answer("404 Not Found", "transaction-id: t-2\r\n", &body)]).await;
    let e = api.send(Call::get("/v1/x")).await.unwrap_err();
    assert_eq!(e.text(), "No.\nCode: not_found, HTTP status: 404, transaction ID: t-2");
    assert_eq!(asked.lock().unwrap().len(), 1);
    assert_eq!(api.last_transaction(), "t-2");
}

#[tokio::test]
async fn the_token_follows_neither_redirects_nor_links() {
    let (other, elsewhere) = scripted(vec![answer("200 OK", "", &json!({}))]).await;
    let away = format!("location: {}/v1/x\r\n", other.endpoint());
    let (api, _) = scripted(vec![answer("302 Found", &away, &json!({}))]).await;
    assert_eq!(api.send(Call::get("/v1/x")).await.unwrap_err().status(), Some(302));

    let next = format!("{}/v1/things?pagetoken=p2", other.endpoint());
    let pages = vec![
        answer("200 OK", "", &json!({"things": [1], "next": next})),
        answer("200 OK", "", &json!({"things": [2]})),
    ];
    let (api, asked) = scripted(pages).await;
    let all = api.list(Call::get("/v1/things").query("pagesize", "1"), "things").await.unwrap();
    assert_eq!(all, [json!(1), json!(2)]);
    assert!(asked.lock().unwrap()[1].starts_with("GET /v1/things?pagesize=1&pagetoken=p2 "));
    assert_eq!(elsewhere.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_list_that_points_at_itself_or_is_none_is_not_told_as_whole() {
    let page = answer("200 OK", "", &json!({"things": [1], "next": {"start": "same"}}));
    let (api, asked) = scripted(vec![page]).await;
    assert!(api.list(Call::get("/v1/things"), "things").await.is_err());
    assert_eq!(asked.lock().unwrap().len(), 2);
    let (api, _) = scripted(vec![answer("200 OK", "", &json!({}))]).await;
    assert!(api.list(Call::get("/v1/things"), "things").await.is_err());
}

#[tokio::test]
async fn an_id_that_would_change_the_address_is_not_sent() {
    let (api, asked) = scripted(vec![]).await;
    for id in ["", ".", ".."] {
        let refused = api.send(Call::delete(format!("/v1/things/{}/parts", segment(id)))).await;
        assert!(matches!(refused, Err(Failure::Usage(_))), "{id:?}");
        assert!(api.send(Call::get(format!("/v1/things/{}", segment(id)))).await.is_err(), "{id:?}");
    }
    assert_eq!(asked.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn versions_and_bodies_go_as_they_were_given() {
    let (api, asked) = scripted(vec![answer("200 OK", "etag: 2-b\r\n", &json!({"entity_tag": "2-x"}))]).await;
    let reply = api.send(Call::patch("/v1/x").if_match("1-a").merge(json!({"a": null}))).await.unwrap();
    assert_eq!(reply.etag, "2-b");
    let request = asked.lock().unwrap().remove(0).to_lowercase();
    assert!(
        request.contains("if-match: 1-a\r\n") && request.contains("application/merge-patch+json"),
        "{request}"
    );
    assert!(
        request.contains("authorization: bearer tok\r\n") && request.ends_with(r#"{"a":null}"#),
        "{request}"
    );
}

#[test]
fn every_published_paging_is_understood() {
    let c = |v: Value| cursor(&v).map(|(n, v)| format!("{n}={v}")).unwrap_or_default();
    assert_eq!(c(json!({"next": "https://h/v1/profiles?pagesize=1&pagetoken=a%2Bb"})), "pagetoken=a+b");
    assert_eq!(c(json!({"next": {"href": "x", "start": "s"}})), "start=s");
    assert_eq!(c(json!({"next_url": "/v2/resource_instances?limit=1&start=t"})), "start=t");
    assert_eq!(c(json!({"next_url": null})), "");
    assert_eq!(c(json!({"next": {"href": "https://h/v2/groups?limit=50&offset=50"}})), "offset=50");
    assert_eq!(c(json!({"next_url": "/v2/accounts/a/users?limit=1&_start=IBMid-1"})), "_start=IBMid-1");
    assert_eq!(c(json!({"events": [], "next": "b64cursor"})), "cursor=b64cursor");
    assert_eq!(c(json!([1, 2])), "");
}

#[test]
fn claims_are_for_display_and_never_fail() {
    let payload = json!({"iam_id": "iam-Profile-1", "sub_type": "Profile", "name": "p", "exp": 7,
        "account": {"bss": "acc"}, "authn": {"iam_id": "IBMid-1"}});
    let token = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(payload.to_string()));
    let claims = Claims::read(&token);
    assert_eq!((claims.account.as_str(), claims.user.as_str(), claims.expires), ("acc", "p", 7));
    assert!(claims.profile && claims.behind == "IBMid-1");
    assert_eq!(Claims::read("nonsense").account, "");
    assert_eq!(Claims::read("a.!!.c").expires, 0);
}

#[test]
fn names_are_one_path_segment() {
    assert_eq!(segment("crn:v1:a/b c"), "crn%3Av1%3Aa%2Fb%20c");
}

#[test]
fn only_this_machine_is_loopback() {
    assert!(loopback("http://127.0.0.1:2868") && loopback("http://[::1]:1") && loopback("https://localhost"));
    assert!(!loopback("http://10.0.0.1") && !loopback("http://localhost.example.com") && !loopback(""));
}

#[test]
fn a_certificate_that_nobody_knows_comes_with_what_to_do() {
    assert!(advice("invalid peer certificate: UnknownIssuer").contains("SSL_CERT_FILE"));
    assert_eq!(advice("Connection refused (os error 111)"), "");
}
