//! Faults of the wire and of single answers, as the source sees them.

use overlock_core::{ErrorKind, StreamName};
use overlock_sandbox::{Emulator as _, Fault, Match};
use serde_json::json;

use crate::org::Org;

#[tokio::test]
async fn a_session_that_died_is_renewed_once() {
    // covers: N11
    let org = Org::small();
    let client = org.client(&json!({}));
    client.stream("Account").await;
    org.emulator()
        .behave(|behaviour| behaviour.expired_as_jwt = true);
    org.emulator().expire_sessions();
    let reading = client.read("Account", None).await.ok();
    assert_eq!(reading.keys(), org.keys("Account"));
    assert_eq!(org.emulator().logins(), 2);
}

#[tokio::test]
async fn a_session_that_is_never_good_costs_two_logins() {
    // covers: N12
    let org = Org::small();
    let body = r#"[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]"#;
    org.fault(Match::path("/services/data/v*"), Fault::json(401, body));
    let client = org.client(&json!({}));
    let name = StreamName::new("Account").unwrap();
    for _ in 0..3 {
        let error = client
            .source
            .discover(std::slice::from_ref(&name))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Auth, "{error:?}");
    }
    assert_eq!(org.emulator().logins(), 2, "more could lock the account");
}

#[tokio::test]
async fn one_forbidden_stream_does_not_concern_the_others() {
    // covers: N13
    let org = Org::small();
    let body = r#"[{"message":"no access","errorCode":"INSUFFICIENT_ACCESS"}]"#;
    let matches = Match {
        query: Some("*FROM Contact*".to_owned()),
        ..Match::path("*/queryAll")
    };
    org.fault(matches, Fault::json(403, body));
    let client = org.client(&json!({}));
    let refused = client.read("Contact", None).await;
    assert_eq!(refused.failed().kind(), ErrorKind::Permission);
    assert!(
        refused.failed().to_string().contains("no access"),
        "{}",
        refused.failed()
    );
    let other = client.read("Account", None).await.ok();
    assert_eq!(other.keys(), org.keys("Account"));
}

#[tokio::test]
async fn a_refusal_of_everything_is_one_of_permission_or_login() {
    // covers: N14
    let org = Org::small();
    let body = r#"[{"message":"no access","errorCode":"INSUFFICIENT_ACCESS"}]"#;
    org.fault(Match::path("/services/data/v*"), Fault::json(403, body));
    let client = org.client(&json!({}));
    assert_eq!(
        client.source.discover(&[]).await.unwrap_err().kind(),
        ErrorKind::Permission
    );
    assert_eq!(
        client.source.check().await.unwrap_err().kind(),
        ErrorKind::Permission
    );
}

#[tokio::test]
async fn a_stream_that_vanished_is_left_out_and_the_others_go_on() {
    // covers: N15
    let org = Org::small();
    let client = org.client(&json!({}));
    let names = ["Gone__c", "Account"].map(|name| StreamName::new(name).unwrap());
    let catalog = client.source.discover(&names).await.unwrap();
    assert!(catalog.get("Account").is_some());
    // Left out altogether: the engine tells a name that never was from one that has vanished.
    assert!(catalog.get("Gone__c").is_none());
    assert_eq!(catalog.unavailable, []);
    let mut gone = (*client.stream("Account").await).clone();
    gone.name = names[0].clone();
    let reading = client
        .read_request(client.request(&gone.into(), None))
        .await;
    assert_eq!(reading.failed().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn links_to_other_hosts_are_not_followed() {
    // covers: N18
    let org = Org::small();
    org.emulator().behave(|behaviour| {
        behaviour.tiny_batches = true;
        behaviour.bulk_page_rows = 2;
    });
    for (path, find, with, extra) in [
        (
            "*/queryAll",
            "\"/services/data/v62.0/query/",
            "\"https://evil.example/services/data/v62.0/query/",
            json!({"rest_page_rows": 2}),
        ),
        (
            "*/queryAll",
            "\"/services/data/v62.0/query/",
            "\"//evil.example/services/data/v62.0/query/",
            json!({"rest_page_rows": 2}),
        ),
        (
            "*/resultPages",
            "\"/services/data/",
            "\"https://evil.example/services/data/",
            json!({"rest_below_rows": 0}),
        ),
    ] {
        let fault = Fault::Replace {
            find: find.to_owned(),
            with: with.to_owned(),
        };
        org.fault(Match::path(path).times(1), fault);
        let reading = org.client(&extra).read("Account", None).await;
        assert_eq!(reading.failed().kind(), ErrorKind::Unavailable, "{path}");
        assert!(
            reading.failed().to_string().contains("evil.example") || with.contains("\"//"),
            "{}",
            reading.failed()
        );
    }
}

#[tokio::test]
async fn an_instance_url_of_somebody_else_gets_no_token() {
    // covers: N18
    for url in [
        "https://evil.example",
        "https://salesforce.com.evil.example",
        "http://acme.my.salesforce.com",
        "not a url",
    ] {
        let org = Org::small();
        org.emulator().set_instance_url(url);
        let error = org.client(&json!({})).source.check().await.unwrap_err();
        let kinds = [ErrorKind::Unavailable, ErrorKind::Config];
        assert!(kinds.contains(&error.kind()), "{url}: {error:?}");
        assert_eq!(org.count("GET", "/services/data"), 0, "{url}");
    }
    // With and without a slash at its end, the org's own is good.
    let org = Org::small();
    let url = format!("{}/", org.base_url());
    org.emulator().set_instance_url(&url);
    org.client(&json!({})).source.check().await.unwrap();
}

#[tokio::test]
async fn a_chain_that_runs_in_a_circle_is_an_error() {
    // covers: N19
    let org = Org::small();
    org.emulator().behave(|behaviour| {
        behaviour.tiny_batches = true;
        behaviour.bulk_page_rows = 2;
    });
    // REST: whatever page is asked for, the second one comes.
    let mut second: Option<String> = None;
    org.hook(move |request, emulator| {
        if !request.path.contains("/query/01g") {
            return None;
        }
        let mut again = request.clone();
        again.path = second.get_or_insert_with(|| request.path.clone()).clone();
        Some(emulator.handle(&again))
    });
    let reading = org
        .client(&json!({"rest_page_rows": 2}))
        .read("Contact", None)
        .await;
    assert_eq!(
        reading.failed().kind(),
        ErrorKind::Data,
        "{:?}",
        reading.error
    );

    // Bulk: the same.
    let org = Org::small();
    let mut second: Option<String> = None;
    org.hook(move |request, emulator| {
        if !request.path.ends_with("/results") || !request.query.contains("locator=") {
            return None;
        }
        let mut again = request.clone();
        again.query = second.get_or_insert_with(|| request.query.clone()).clone();
        Some(emulator.handle(&again))
    });
    let extra = json!({"rest_below_rows": 0, "parallel_pages": 1, "max_records": 1});
    let reading = org.client(&extra).read("Contact", None).await;
    assert_eq!(
        reading.failed().kind(),
        ErrorKind::Data,
        "{:?}",
        reading.error
    );
    assert!(reading.rows.len() < 9, "it ends at the first repeat");
}

#[tokio::test]
async fn a_broken_page_is_read_again_and_its_rows_come_once() {
    // covers: N5, N6, N7
    for fault in [
        Fault::CutAt { bytes: 400 },
        Fault::ResetAt { bytes: 400 },
        Fault::TruncateAt { bytes: 400 },
        Fault::GzipCut { missing: 9 },
        Fault::GzipBadCrc,
        Fault::status(503),
        Fault::login_page(),
        Fault::SetHeader {
            name: "sforce-numberofrecords".to_owned(),
            value: "1".to_owned(),
        },
    ] {
        let org = Org::small();
        org.emulator()
            .behave(|behaviour| behaviour.bulk_page_rows = 4);
        org.fault(Match::path("*/results").nth(2), fault.clone());
        let reading = org
            .client(&json!({"rest_below_rows": 0}))
            .read("Contact", None)
            .await
            .ok();
        assert_eq!(reading.keys(), org.keys("Contact"), "{fault:?}");
        assert_eq!(
            reading.rows.len(),
            reading.keys().len(),
            "{fault:?}: a row came twice"
        );
    }
}

#[tokio::test]
async fn counts_that_never_agree_fail_the_stream() {
    // covers: N6
    let org = Org::small();
    let fault = Fault::SetHeader {
        name: "sforce-numberofrecords".to_owned(),
        value: "1".to_owned(),
    };
    org.fault(Match::path("*/results"), fault);
    let reading = org
        .client(&json!({"rest_below_rows": 0}))
        .read("Contact", None)
        .await;
    assert_eq!(reading.failed().kind(), ErrorKind::Data);
    assert!(
        reading.states.is_empty(),
        "no state covers rows that do not add up"
    );

    // All pages agree with themselves, but not with the job.
    let org = Org::small();
    org.fault(
        Match::path("*/jobs/query/*").method("GET"),
        Fault::Replace {
            find: "\"numberRecordsProcessed\":".to_owned(),
            with: "\"numberRecordsProcessed\":9".to_owned(),
        },
    );
    let reading = org
        .client(&json!({"rest_below_rows": 0}))
        .read("Contact", None)
        .await;
    assert_eq!(reading.failed().kind(), ErrorKind::Data);

    let org = Org::small();
    org.fault(
        Match::path("*/queryAll"),
        Fault::Replace {
            find: "\"totalSize\":".to_owned(),
            with: "\"totalSize\":9".to_owned(),
        },
    );
    let reading = org.client(&json!({})).read("Contact", None).await;
    assert_eq!(reading.failed().kind(), ErrorKind::Data);
}

#[tokio::test]
async fn a_missing_locator_is_the_end_only_if_the_counts_agree() {
    let missing = Fault::RemoveHeader {
        name: "sforce-locator".to_owned(),
    };
    let extra = json!({"rest_below_rows": 0, "parallel_pages": 1, "max_records": 4});
    let org = Org::small();
    org.fault(Match::path("*/results"), missing.clone());
    let reading = org.client(&extra).read("Contact", None).await;
    assert_eq!(
        reading.failed().kind(),
        ErrorKind::Data,
        "{:?}",
        reading.error
    );

    let org = Org::small();
    org.fault(Match::path("*/results"), missing);
    let extra = json!({"rest_below_rows": 0, "parallel_pages": 1});
    let reading = org.client(&extra).read("Contact", None).await.ok();
    assert_eq!(reading.keys(), org.keys("Contact"));
}

#[tokio::test]
async fn without_result_pages_the_chain_is_followed() {
    for (status, version) in [(404, "62.0"), (400, "62.0"), (0, "57.0")] {
        let org = Org::small();
        org.emulator()
            .behave(|behaviour| behaviour.bulk_page_rows = 4);
        if status > 0 {
            let body =
                r#"[{"message":"The requested resource does not exist","errorCode":"NOT_FOUND"}]"#;
            org.fault(Match::path("*/resultPages"), Fault::json(status, body));
        }
        let extra = json!({"rest_below_rows": 0, "max_records": 4, "api_version": version});
        let client = org.client(&extra);
        let reading = client.read("Contact", None).await.ok();
        assert_eq!(reading.keys(), org.keys("Contact"), "{status} {version}");
        assert_eq!(reading.rows.len(), reading.keys().len());
    }
}

#[tokio::test]
async fn a_clock_that_cannot_be_true_is_not_believed() {
    // covers: N21
    let org = Org::small();
    let local = org.now();
    for fault in [
        Fault::RemoveHeader {
            name: "date".to_owned(),
        },
        Fault::SetHeader {
            name: "date".to_owned(),
            value: "yesterday".to_owned(),
        },
        Fault::SkewDate {
            seconds: 3 * 86_400,
        },
    ] {
        let org = Org::small();
        org.fault(Match::path("*"), fault.clone());
        let client = org.client(&json!({}));
        let reading = client.read("Account", None).await.ok();
        let from = reading.state().as_json()["from"]
            .as_str()
            .unwrap()
            .to_owned();
        let expected = local.minus(std::time::Duration::from_secs(360)).to_string();
        assert_eq!(from, expected, "{fault:?}");
        assert_eq!(client.warnings(), ["W0501"], "{fault:?}");
    }
    let org = Org::small();
    org.fault(Match::path("*"), Fault::SkewDate { seconds: -3_600 });
    let client = org.client(&json!({}));
    let reading = client.read("Account", None).await.ok();
    let from = reading.state().as_json()["from"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        from < local
            .minus(std::time::Duration::from_secs(3_600))
            .to_string(),
        "the server is right"
    );
    assert_eq!(client.warnings(), ["W0501"]);
}
