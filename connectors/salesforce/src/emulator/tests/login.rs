//! Logins and sessions.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use overlock_core::Clock;
use serde_json::{Value as Json, json};

use super::{encode, org, start};
use crate::emulator::*;

fn assertion(key: &str, claims: &Json) -> String {
    let key = EncodingKey::from_rsa_pem(key.as_bytes()).unwrap();
    jsonwebtoken::encode(&Header::new(Algorithm::RS256), claims, &key).unwrap()
}

#[test]
fn assertions_are_really_verified() {
    let org = org();
    let now = org.clock.now().seconds();
    let good = json!({"iss": "3MVG9canary.client.id", "sub": "loader@acme.example",
        "aud": "https://login.salesforce.com", "exp": now + 180});
    let with = |key: &str, value: Json| {
        let mut claims = good.clone();
        claims[key] = value;
        claims
    };
    let cases: [(&str, &str, Json, Result<(), &str>); 11] = [
        ("good", TEST_PRIVATE_KEY, good.clone(), Ok(())),
        (
            "exp as text",
            TEST_PRIVATE_KEY,
            with("exp", json!((now + 60).to_string())),
            Ok(()),
        ),
        (
            "aud is the instance",
            TEST_PRIVATE_KEY,
            with("aud", json!("http://127.0.0.1:1/")),
            Ok(()),
        ),
        (
            "aud is a list",
            TEST_PRIVATE_KEY,
            with("aud", json!(["https://test.salesforce.com"])),
            Ok(()),
        ),
        (
            "other key",
            TEST_OTHER_PRIVATE_KEY,
            good.clone(),
            Err("invalid assertion"),
        ),
        (
            "expired",
            TEST_PRIVATE_KEY,
            with("exp", json!(now)),
            Err("expired authorization code"),
        ),
        (
            "too long",
            TEST_PRIVATE_KEY,
            with("exp", json!(now + 4_000)),
            Err("invalid assertion"),
        ),
        (
            "wrong aud",
            TEST_PRIVATE_KEY,
            with("aud", json!("https://evil.example")),
            Err("audience is invalid"),
        ),
        (
            "wrong user",
            TEST_PRIVATE_KEY,
            with("sub", json!("x@y.z")),
            Err("user hasn't approved this consumer"),
        ),
        (
            "wrong app",
            TEST_PRIVATE_KEY,
            with("iss", json!("x")),
            Err("client identifier invalid"),
        ),
        (
            "no exp",
            TEST_PRIVATE_KEY,
            with("exp", Json::Null),
            Err("invalid assertion"),
        ),
    ];
    for (name, key, claims, expected) in cases {
        let form = format!(
            "grant_type={}&assertion={}",
            encode("urn:ietf:params:oauth:grant-type:jwt-bearer"),
            assertion(key, &claims)
        );
        let reply = org.form(&form, &[]);
        match expected {
            Ok(()) => {
                assert_eq!(reply.status, 200, "{name}: {}", reply.text);
                let body = reply.json();
                assert!(body.get("issued_at").is_none() && body.get("refresh_token").is_none());
                assert_eq!(body["instance_url"], "http://127.0.0.1:1");
                assert!(body["access_token"].as_str().unwrap().contains('!'));
            }
            Err(description) => {
                assert_eq!(reply.status, 400, "{name}");
                assert_eq!(reply.json()["error_description"], description, "{name}");
            }
        }
    }
    let reply = org.form(
        "grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion=a.b.c",
        &[],
    );
    assert_eq!(reply.json()["error_description"], "invalid assertion");
}

#[test]
fn each_wrong_credential_has_its_own_error() {
    let org = org();
    let good = "client_id=3MVG9canary.client.id&client_secret=canary-client-secret-8f21";
    let password = "username=loader%40acme.example&password=canary-password-77canarySecurityToken";
    let shim = ("x-original-host", "login.salesforce.com");
    let cases = [
        (format!("grant_type=client_credentials&{good}"), None, ""),
        (format!("grant_type=password&{good}&{password}"), None, ""),
        (
            format!("grant_type=password&{good}&username=x&password=y"),
            None,
            "invalid_grant",
        ),
        (
            format!("grant_type=client_credentials&{good}"),
            Some(shim),
            "invalid_grant",
        ),
        (
            "grant_type=client_credentials&client_id=x&client_secret=y".to_owned(),
            None,
            "invalid_client_id",
        ),
        (
            "grant_type=client_credentials&client_id=3MVG9canary.client.id&client_secret=y"
                .to_owned(),
            None,
            "invalid_client",
        ),
        (
            "grant_type=magic".to_owned(),
            None,
            "unsupported_grant_type",
        ),
        (
            format!("grant_type=refresh_token&{good}&refresh_token=x"),
            None,
            "invalid_grant",
        ),
    ];
    for (form, header, error) in cases {
        let headers: Vec<(&str, &str)> = header.into_iter().collect();
        let reply = org.form(&form, &headers);
        if error.is_empty() {
            assert_eq!(reply.status, 200, "{form}: {}", reply.text);
            assert!(reply.json()["issued_at"].is_string());
        } else {
            assert_eq!(reply.status, 400, "{form}");
            assert_eq!(reply.json()["error"], error, "{form}");
        }
    }
}

#[test]
fn a_rotated_refresh_token_is_dead_and_showing_it_again_revokes_the_family() {
    let mut org = org();
    org.emulator = SalesforceEmulator::new(
        World::seeded(WorldOptions::tiny(7, start())),
        org.clock.clone(),
    )
    .with_credentials(Credentials {
        rotate_refresh_tokens: true,
        ..Credentials::default()
    });
    let first = org.refresh("5Aep861canary.refresh.token").json();
    let second = first["refresh_token"].as_str().unwrap().to_owned();
    org.token = first["access_token"].as_str().unwrap().to_owned();
    assert_eq!(org.data("/limits").status, 200);
    let third = org.refresh(&second).json();
    let newest = third["refresh_token"].as_str().unwrap().to_owned();
    assert_ne!(second, newest);
    // The stolen copy shows up: everything ends.
    let reply = org.refresh(&second);
    assert_eq!(
        reply.json()["error_description"],
        "expired access/refresh token"
    );
    assert_eq!(org.data("/limits").status, 401);
    assert_eq!(org.refresh(&newest).status, 400);
}

#[test]
fn a_session_ends_by_inactivity_only() {
    let org = org();
    for _ in 0..5 {
        org.clock.advance(Duration::from_secs(7_199));
        assert_eq!(org.data("/limits").status, 200);
    }
    org.clock.advance(Duration::from_secs(7_200));
    let reply = org.data("/limits");
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (401, "INVALID_SESSION_ID")
    );
    org.emulator
        .behave(|behaviour| behaviour.expired_as_jwt = true);
    let reply = org.data("/limits");
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (401, "INVALID_AUTH_HEADER")
    );
}

#[test]
fn tokens_can_be_looked_at_and_revoked() {
    let org = org();
    assert_eq!(org.get("/services/oauth2/userinfo").json()["active"], true);
    let form = format!(
        "token={}&client_id=3MVG9canary.client.id&client_secret=canary-client-secret-8f21",
        encode(&org.token)
    );
    let introspect = || {
        org.call(
            "POST",
            "/services/oauth2/introspect",
            &[("authorization", "x")],
            &form,
        )
    };
    assert_eq!(introspect().json()["active"], true);
    assert_eq!(
        org.call("POST", "/services/oauth2/revoke", &[], &form)
            .status,
        200
    );
    assert_eq!(introspect().json()["active"], false);
    assert_eq!(org.data("/limits").status, 401);
}

#[test]
fn soap_login_works_below_version_65() {
    let org = org();
    let body = "<x:login xmlns:x='u'><x:username>loader@acme.example</x:username><x:password>canary-password-77canarySecurityToken</x:password></x:login>";
    let reply = org.call("POST", "/services/Soap/u/59.0", &[], body);
    assert!(
        reply.text.contains("<sessionId>00D")
            && reply.text.contains("<serverUrl>http://127.0.0.1:1/")
    );
    let reply = org.call(
        "POST",
        "/services/Soap/u/59.0",
        &[],
        "<username>x</username>",
    );
    assert!(reply.status == 500 && reply.text.contains("<sf:exceptionCode>INVALID_LOGIN<"));
    assert_eq!(
        org.call("POST", "/services/Soap/u/65.0", &[], body).status,
        500
    );
}
