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
    (path, token): (&str, &str),
    address: [u8; 4],
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
    let request = http::Request::post(path)
        .header("host", "avouch.test")
        .header("authorization", format!("Bearer {token}"))
        .body(http_body_util::StreamBody::new(Box::pin(first.chain(last))))
        .unwrap();
    let server = t.server().clone();
    let answer = tokio::spawn(async move {
        let address = IpAddr::from(address);
        avouch_gate::http::serve(&server.app, &server.router, request, address).await.status().as_u16()
    });
    (answer, arrived, end)
}

const SECRETS: &str = "/secrets-manager/00000000-0000-4000-8000-00000000dead/api/v2/secrets";

#[tokio::test(flavor = "multi_thread")]
async fn bodies_beyond_what_may_be_on_its_way_are_refused_and_small_ones_are_not() {
    let t = TestApp::with(|c| c.limits.large_bodies_bytes = 12 << 20).await;
    let (client, _) = t.service_id("sender").await;
    let large = |n: u8| slow(&t, (SECRETS, client.token()), [192, 0, 2, n], 3 << 20);
    let mut held = Vec::new();
    for n in 0..4 {
        let (answer, arrived, end) = large(n);
        arrived.await.unwrap();
        held.push((answer, end));
        if n == 0 {
            let (second, _, _) = large(0);
            assert_eq!(second.await.unwrap(), 503, "one address has a quarter of the room");
        }
    }
    let (fifth, _, _) = large(4);
    assert_eq!(fifth.await.unwrap(), 503, "no room is left");
    // Whoever sends as much as others do meets nothing of it.
    assert_eq!(client.get("/v1/apikeys").await.status, 200);
    let body = json!({"name": "n".repeat(300), "account_id": t.account()});
    assert_eq!(client.post("/v1/profiles", body).await.status, 403);
    t.token(t.api_key()).await;
    for (answer, end) in held {
        end.send(()).unwrap();
        assert_eq!(answer.await.unwrap(), 404);
    }
    let (again, arrived, end) = large(4);
    arrived.await.unwrap();
    end.send(()).unwrap();
    assert_eq!(again.await.unwrap(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_many_small_bodies_and_ends_none_takes_room_from_nobody_else() {
    let t = TestApp::new().await;
    let small = |n: u8| slow(&t, ("/identity/token", ""), [192, 0, 2, n], 10);
    let mut held = Vec::new();
    let refused = loop {
        let (answer, arrived, end) = small(1);
        match arrived.await {
            Ok(()) => held.push((answer, end)),
            Err(_) => break answer.await.unwrap(),
        }
        assert!(held.len() < 10_000, "no end to it");
    };
    assert_eq!(refused, 503);
    let (answer, arrived, end) = small(2);
    arrived.await.unwrap();
    end.send(()).unwrap();
    assert_eq!(answer.await.unwrap(), 400);
    t.token(t.api_key()).await;
    for (answer, end) in held {
        end.send(()).unwrap();
        answer.await.unwrap();
    }
    let (answer, arrived, end) = small(1);
    arrived.await.unwrap();
    end.send(()).unwrap();
    assert_ne!(answer.await.unwrap(), 503);
}
