//! A store that fails between a commit and its answer: of what may have been kept nobody is told that it was not.

use avouch_store::Error;
use avouch_testkit::TestApp;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_may_have_been_kept_is_never_told_as_not_made_even_where_nothing_can_be_recorded() {
    let t = TestApp::new().await;
    let Some(folder) = t.app().store.folder() else {
        eprintln!("not on PostgreSQL: there the commit itself would have to be cut");
        return;
    };
    let admin = t.admin().await;
    let (file, away) = (folder.join("avouch.db"), folder.join("away"));
    // The writer is held until both wait, so that the file goes in the very transaction of the request.
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (begin, begun) = tokio::sync::oneshot::channel();
    let (store, mut begin, held) = (t.app().store.clone(), Some(begin), std::sync::Mutex::new(held));
    let first = tokio::spawn(async move {
        let wait = move |_: &mut avouch_store::Tx<'_>| {
            begin.take().unwrap().send(()).unwrap();
            held.lock().unwrap().recv().unwrap();
            Ok::<_, Error>(())
        };
        store.write(wait).await
    });
    begun.await.unwrap();
    let (store, from, to) = (t.app().store.clone(), file.clone(), away.clone());
    let second = tokio::spawn(async move {
        let exchange = move |_: &mut avouch_store::Tx<'_>| {
            std::fs::rename(&from, &to).unwrap();
            Ok::<_, Error>(())
        };
        store.write(exchange).await
    });
    while t.app().store.queued_writes() < 1 {
        tokio::task::yield_now().await;
    }
    let body = json!({"name": "kept", "account_id": t.account()});
    let client = admin.clone();
    let asked = tokio::spawn(async move { client.post("/v1/profiles", body).await });
    while t.app().store.queued_writes() < 2 {
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    first.await.unwrap().unwrap();
    assert!(second.await.unwrap().is_err());
    let answer = asked.await.unwrap();
    // Nor can the refusal be recorded: the file is still away.
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(answer.text.contains("not known") && !answer.text.contains("nothing"), "{}", answer.text);
    std::fs::rename(&away, &file).unwrap();
    let list = admin.get(&format!("/v1/profiles?account_id={}&name=kept", t.account())).await;
    assert_eq!(list.status, 200, "{}", list.text);
    assert_eq!(list.body["profiles"].as_array().unwrap().len(), 1, "it was kept");
}
