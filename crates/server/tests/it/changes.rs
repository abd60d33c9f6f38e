//! The list of what changed in an account is kept short, and nobody decides by what it no longer holds.

use avouch_store::params;
use avouch_testkit::TestApp;

async fn kept(t: &TestApp) -> (i64, i64) {
    let account = t.account().to_owned();
    t.app()
        .store
        .read::<_, avouch_store::Error, _>(move |tx| {
            let sql = "select count(*), min(rev) from account_changes where account_id = $1";
            let row = tx.query_one(sql, &params![&account])?;
            Ok((row.get(0)?, tx.revision(&account)? - row.get::<i64>(1)? + 1))
        })
        .await
        .unwrap()
}

async fn change(t: &TestApp, times: usize) {
    let account = t.account().to_owned();
    t.app()
        .store
        .write::<_, avouch_store::Error, _>(move |tx| {
            for n in 0..times {
                tx.changed(&account, "identity", &format!("iam-{n}"))?;
            }
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_no_replica_asks_for_are_forgotten_by_the_background_job() {
    let t = TestApp::new().await;
    change(&t, 10_000).await;
    t.tick().await;
    let (before, oldest) = kept(&t).await;
    assert!(before > 10_000 && before == oldest, "a few more are kept until it is worth while: {before}");
    change(&t, 1_000).await;
    t.advance_secs(86_400);
    t.tick().await;
    assert_eq!(kept(&t).await, (10_000, 10_000), "the newest, without a gap");
    change(&t, 500).await;
    t.advance_secs(-2 * 86_400);
    t.tick().await;
    assert_eq!(kept(&t).await, (10_500, 10_500));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_missed_changes_that_are_forgotten_reads_the_account_anew() {
    let t = TestApp::new().await;
    let admin = t.admin().await;
    let (client, iam_id) = t.service_id("reader").await;
    let role = "crn:v1:bluemix:public:iam::::role:Viewer";
    let equal =
        |key: &str, value: &str| serde_json::json!({"key": key, "operator": "stringEquals", "value": value});
    let groups = serde_json::json!([equal("accountId", t.account()), equal("serviceName", "iam-groups")]);
    let policy = t.grant(&admin, &iam_id, role, groups).await;
    let list = format!("/v2/groups/settings?account_id={}", t.account());
    assert_eq!(client.get(&list).await.status, 200);
    // As another replica would: the store changes, and what says so is forgotten before this one looks again.
    let account = t.account().to_owned();
    t.app()
        .store
        .write::<_, avouch_store::Error, _>(move |tx| {
            assert_eq!(tx.execute("delete from policies where id = $1", &params![&policy])?, 1);
            tx.changed(&account, "policy", &policy)?;
            tx.changed(&account, "identity", "iam-other")
        })
        .await
        .unwrap();
    avouch_gate::access::forget(t.app(), 1, 0).await.unwrap();
    assert_eq!(kept(&t).await, (1, 1));
    assert_eq!(client.get(&list).await.status, 403);
}
