//! The three logins, and what a refused one says.

use overlock_core::ErrorKind;
use overlock_salesforce::emulator::{Credentials, TEST_OTHER_PRIVATE_KEY, WorldOptions};
use overlock_sandbox::{Fault, Match};
use serde_json::json;

use crate::org::{Org, START, time};

fn rotating() -> Org {
    let options = WorldOptions {
        scale: 2,
        history_days: 5,
        ..WorldOptions::tiny(1, time(START))
    };
    let credentials = Credentials {
        rotate_refresh_tokens: true,
        ..Credentials::default()
    };
    Org::with(options, credentials)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn all_three_logins_work() {
    let org = Org::small();
    for auth in [org.jwt(), org.client_credentials(), org.refresh_token()] {
        let client = org.client_as(folder(), &auth, &json!({}));
        client.source.check().await.unwrap();
    }
    assert_eq!(org.emulator().logins(), 3);
}

#[tokio::test]
async fn a_rotated_refresh_token_is_kept_for_the_next_run() {
    let org = rotating();
    let auth = org.refresh_token();
    let mut shared = folder();
    for _ in 0..3 {
        let client = org.client_as(shared, &auth, &json!({}));
        client.source.check().await.unwrap();
        shared = client.folder;
    }
    // The configured one is dead by now: without the store nobody gets in.
    let lost = org.client_as(folder(), &auth, &json!({}));
    let error = lost.source.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(
        error.hint_text().unwrap().contains("auth.refresh_token"),
        "{error:?}"
    );
}

#[tokio::test]
async fn two_runs_never_present_the_same_refresh_token() {
    let org = rotating();
    let auth = org.refresh_token();
    let first = org.client_as(folder(), &auth, &json!({}));
    let work_dir = first.folder.path().to_owned();
    let events = first.events.clone();
    let cx = crate::org::context(&work_dir, &events, std::sync::Arc::new(org.clock()));
    let second = org.connect_as(&cx, &auth, &json!({})).unwrap();
    let (a, b) = tokio::join!(first.source.check(), second.check());
    a.unwrap();
    b.unwrap();
}

#[tokio::test]
async fn refused_logins_name_the_setting_and_are_not_repeated() {
    // covers: N14
    let org = Org::small();
    let other_key = json!({"kind": "jwt", "client_id": "3MVG9canary.client.id",
        "username": "loader@acme.example", "private_key": TEST_OTHER_PRIVATE_KEY});
    let wrong_secret = json!({"kind": "client_credentials", "client_id": "3MVG9canary.client.id",
        "client_secret": "wrong-secret"});
    let wrong_client = json!({"kind": "client_credentials", "client_id": "nobody",
        "client_secret": "wrong-secret"});
    for (auth, setting) in [
        (other_key, "auth.private_key"),
        (wrong_secret, "auth.client_secret"),
        (wrong_client, "auth.client_id"),
    ] {
        let client = org.client_as(folder(), &auth, &json!({}));
        let before = org.requests().len();
        for _ in 0..3 {
            let error = client.source.check().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Auth, "{error:?}");
            assert!(
                error.hint_text().unwrap().contains(setting),
                "{setting}: {error:?}"
            );
        }
        assert_eq!(org.requests().len() - before, 1, "{setting}");
    }
}

#[tokio::test]
async fn a_key_that_is_none_is_found_before_any_request() {
    let org = Org::small();
    let auth = json!({"kind": "jwt", "client_id": "a", "username": "u",
        "private_key": "-----BEGIN PRIVATE KEY-----\ncanary-not-a-key\n-----END PRIVATE KEY-----"});
    let events = std::sync::Arc::default();
    let folder = folder();
    let cx = crate::org::context(folder.path(), &events, std::sync::Arc::new(org.clock()));
    let Err(error) = org.connect_as(&cx, &auth, &json!({})) else {
        panic!("a key that is none was accepted");
    };
    assert_eq!(error.get("key"), Some("auth.private_key"));
    assert!(!format!("{error:?}").contains("canary"));
}

#[tokio::test]
async fn check_finds_a_version_that_the_org_does_not_offer() {
    let org = Org::small();
    org.emulator()
        .behave(|behaviour| behaviour.newest_version = 60);
    let error = org.client(&json!({})).source.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.hint_text().unwrap().contains("60.0"), "{error:?}");
}

#[tokio::test]
async fn check_warns_of_a_user_who_does_not_see_all_rows() {
    let org = Org::small();
    let body =
        r#"{"totalSize":1,"done":true,"records":[{"Profile":{"PermissionsViewAllData":false}}]}"#;
    let matches = Match {
        query: Some("*PermissionsViewAllData*".to_owned()),
        ..Match::path("*/query")
    };
    org.fault(matches, Fault::json(200, body));
    let client = org.client(&json!({}));
    client.source.check().await.unwrap();
    assert_eq!(client.warnings(), ["W0502"]);
}
