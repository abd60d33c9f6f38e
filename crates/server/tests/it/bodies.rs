//! Large bodies take no more memory together than they may.

use std::net::IpAddr;

use avouch_testkit::TestApp;
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::json;
use tokio::sync::oneshot;

/// A request with `size` bytes of a body whose last byte comes when the sender is told to.
fn slow(
    t: &TestApp,
    token: &str,
    size: usize,
) -> (tokio::task::JoinHandle<u16>, oneshot::Receiver<()>, oneshot::Sender<()>) {
    let (arrive, arrived) = oneshot::channel();
    let (end, ended) = oneshot::channel::<()>();
    let first = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(http_body::Frame::data(
        Bytes::from(vec![b' '; size]),
    ))]);
    let last = futures_util::stream::once(async move {
        arrive.send(()).unwrap();
        ended.await.unwrap();
        Ok(http_body::Frame::data(Bytes::from_static(b"{}")))
    });
    let request = http::Request::post("/secrets-manager/00000000-0000-4000-8000-00000000dead/api/v2/secrets")
        .header("host", "avouch.test")
        .header("authorization", format!("Bearer {token}"))
        .body(http_body_util::StreamBody::new(Box::pin(first.chain(last))))
        .unwrap();
    let server = t.server().clone();
    let answer = tokio::spawn(async move {
        let address = IpAddr::from([127, 0, 0, 1]);
        avouch_gate::http::serve(&server.app, &server.router, request, address).await.status().as_u16()
    });
    (answer, arrived, end)
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_beyond_what_may_be_on_its_way_are_refused_and_small_ones_are_not() {
    let t = TestApp::with(|c| c.limits.large_bodies_bytes = 5 << 20).await;
    let (client, _) = t.service_id("sender").await;
    let (first, arrived, end) = slow(&t, client.token(), 3 << 20);
    arrived.await.unwrap();
    let (second, _, _) = slow(&t, client.token(), 3 << 20);
    assert_eq!(second.await.unwrap(), 503);
    // Whoever sends as much as others do meets nothing of it.
    assert_eq!(client.get("/v1/apikeys").await.status, 200);
    let body = json!({"name": "n".repeat(300), "account_id": t.account()});
    assert_eq!(client.post("/v1/profiles", body).await.status, 403);
    t.token(t.api_key()).await;
    end.send(()).unwrap();
    assert_eq!(first.await.unwrap(), 404);
    let (third, arrived, end) = slow(&t, client.token(), 3 << 20);
    arrived.await.unwrap();
    end.send(()).unwrap();
    assert_eq!(third.await.unwrap(), 404);
}
