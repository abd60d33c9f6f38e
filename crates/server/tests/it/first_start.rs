//! The first start: the account's only key is on disk before the account counts.

use avouch_gate::config::Config;
use avouch_server::{bootstrap, run};
use avouch_testkit::TestApp;

const NAME: &str = "bootstrap.env";
const DRAFT: &str = "bootstrap.env.new";

#[tokio::test]
async fn a_draft_of_an_account_that_was_made_becomes_the_file_and_any_other_goes() {
    let t = TestApp::new().await;
    let folder = tempfile::tempdir().unwrap();
    let draft = |account: &str| {
        std::fs::write(folder.path().join(DRAFT), format!("ACCOUNT_ID={account}\nIAM_APIKEY=k\n")).unwrap();
    };
    // The process died before its account was committed.
    draft("22222222222222222222222222222222");
    assert!(bootstrap::ensure(t.app(), Some(folder.path())).await.unwrap().is_none());
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
    // It died after that, before the file had its name.
    draft(t.account());
    assert!(bootstrap::ensure(t.app(), Some(folder.path())).await.unwrap().is_none());
    assert!(std::fs::read_to_string(folder.path().join(NAME)).unwrap().contains(t.account()));
    assert!(!folder.path().join(DRAFT).exists());
}

#[tokio::test]
async fn a_later_start_on_another_address_changes_the_address_in_the_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let start = async |listen: &str| {
        let config = Config { listen: listen.into(), ..Config::default() };
        let running = run::start(config, folder.path().to_owned(), std::future::ready(())).await.unwrap();
        running.stopped.await.unwrap().unwrap();
        running.server.app.store.close().await;
        format!("http://{}", running.address)
    };
    let path = folder.path().join(NAME);
    let read = || std::fs::read_to_string(&path).unwrap();
    let first = start("127.0.0.1:0").await;
    let written = read();
    let second = start("127.0.0.2:0").await;
    assert_ne!(first, second);
    assert_eq!(read(), written.replace(&first, &second));
    assert!(!folder.path().join(DRAFT).exists());
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    // A file of an account that this server does not have is not ours to change.
    let foreign = "AVOUCH_URL=http://127.0.0.1:1\nACCOUNT_ID=22222222222222222222222222222222\n";
    std::fs::write(&path, foreign).unwrap();
    start("127.0.0.1:0").await;
    assert_eq!(read(), foreign);
}

#[tokio::test]
async fn the_file_of_another_deployment_stops_a_first_start_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let start = |folder: &std::path::Path| {
        let config = Config { listen: "127.0.0.1:0".into(), ..Config::default() };
        run::start(config, folder.to_owned(), std::future::ready(()))
    };
    std::fs::write(folder.path().join(NAME), "IAM_APIKEY=of another\n").unwrap();
    let refused = start(folder.path()).await.err().map(|e| format!("{e:#}")).unwrap();
    assert!(refused.contains("is of another deployment"), "{refused}");
    assert_eq!(std::fs::read_to_string(folder.path().join(NAME)).unwrap(), "IAM_APIKEY=of another\n");
    let folder = tempfile::tempdir().unwrap();
    let running = start(folder.path()).await.unwrap();
    let made = running.bootstrap.unwrap();
    let written = std::fs::read_to_string(folder.path().join(NAME)).unwrap();
    assert!(written.contains(made.api_key.expose().as_str()) && written.contains(made.account.as_str()));
    running.stopped.await.unwrap().unwrap();
}
