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
    let (mut unknown, mut kept) = (0, 0);
    for round in 0..200 {
        // The writer is held until more waits, so that the file goes in the very transaction of the request.
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
        let (name, client) = (format!("p{round}"), admin.clone());
        let body = json!({"name": name, "account_id": t.account()});
        let asked = tokio::spawn(async move { client.post("/v1/profiles", body).await });
        for _ in 0..round * 20 {
            tokio::task::yield_now().await;
        }
        release.send(()).unwrap();
        first.await.unwrap().unwrap();
        assert!(second.await.unwrap().is_err());
        let answer = asked.await.unwrap();
        std::fs::rename(&away, &file).unwrap();
        assert_eq!(answer.status, 503, "{}", answer.text);
        let list = admin.get(&format!("/v1/profiles?account_id={}&name={name}", t.account())).await;
        assert_eq!(list.status, 200, "{}", list.text);
        let there = !list.body["profiles"].as_array().unwrap().is_empty();
        if answer.text.contains("not known") {
            (unknown, kept) = (unknown + 1, kept + u32::from(there));
        } else {
            assert!(!there, "{}", answer.text);
        }
        if kept > 0 {
            return;
        }
    }
    panic!("{unknown} of 200 changes were cut at their end, and none of them was kept");
}
