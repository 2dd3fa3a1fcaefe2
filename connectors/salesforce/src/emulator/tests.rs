//! The org as a client sees it, call by call, without a socket in between.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use overlock_core::{Clock, Timestamp};
use overlock_sandbox::{Emulator, Fault, Match, Request, VirtualClock};
use serde_json::{Value as Json, json};

use super::*;

struct Org {
    emulator: SalesforceEmulator,
    clock: VirtualClock,
    token: String,
    index: Cell<u64>,
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Reply {
    fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// `errorCode` of the first error.
    fn code(&self) -> String {
        self.json()[0]["errorCode"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    fn message(&self) -> String {
        self.json()[0]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

fn start() -> Timestamp {
    Timestamp::parse("2026-03-01T12:00:00Z").unwrap()
}

fn org_of(options: WorldOptions) -> Org {
    let clock = VirtualClock::still(start());
    let emulator = SalesforceEmulator::new(World::seeded(options), clock.clone());
    emulator.set_instance_url("http://127.0.0.1:1");
    let mut org = Org {
        emulator,
        clock,
        token: String::new(),
        index: Cell::new(0),
    };
    let reply = org.form(
        "grant_type=client_credentials",
        &[(
            "authorization",
            &basic("3MVG9canary.client.id", "canary-client-secret-8f21"),
        )],
    );
    assert_eq!(reply.status, 200, "{}", reply.text);
    org.token = reply.json()["access_token"].as_str().unwrap().to_owned();
    org
}

fn org() -> Org {
    org_of(WorldOptions::tiny(7, start()))
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {text}")
}

fn encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

impl Org {
    fn call(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let index = self.index.get();
        self.index.set(index + 1);
        let mut map = HeaderMap::new();
        if !self.token.is_empty() {
            let value = HeaderValue::from_str(&format!("Bearer {}", self.token)).unwrap();
            map.insert("authorization", value);
            map.insert(
                "x-sfdc-session",
                HeaderValue::from_str(&self.token).unwrap(),
            );
        }
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.insert(name, HeaderValue::from_str(value).unwrap());
        }
        let head_bytes = target.len()
            + 40
            + map
                .iter()
                .map(|(name, value)| name.as_str().len() + value.len() + 4)
                .sum::<usize>();
        let request = Request {
            index,
            at: self.clock.now(),
            method: Method::from_bytes(method.as_bytes()).unwrap(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: map,
            body: Bytes::from(body.to_owned()),
            head_bytes,
        };
        let response = self.emulator.handle(&request);
        Reply {
            status: response.status.as_u16(),
            headers: response.headers,
            text: String::from_utf8(response.body.into_bytes().to_vec()).unwrap(),
        }
    }

    fn get(&self, target: &str) -> Reply {
        self.call("GET", target, &[], "")
    }

    fn data(&self, rest: &str) -> Reply {
        self.get(&format!("/services/data/v62.0{rest}"))
    }

    fn query(&self, soql: &str) -> Reply {
        self.data(&format!("/query?q={}", encode(soql)))
    }

    fn query_all(&self, soql: &str) -> Reply {
        self.data(&format!("/queryAll?q={}", encode(soql)))
    }

    fn form(&self, body: &str, headers: &[(&str, &str)]) -> Reply {
        self.call("POST", "/services/oauth2/token", headers, body)
    }

    fn refresh(&self, token: &str) -> Reply {
        self.form(
            &format!(
                "grant_type=refresh_token&client_id=3MVG9canary.client.id&client_secret=canary-client-secret-8f21&refresh_token={token}"
            ),
            &[],
        )
    }

    fn job(&self, soql: &str) -> Reply {
        let body = json!({"operation": "queryAll", "query": soql}).to_string();
        self.call("POST", "/services/data/v62.0/jobs/query", &[], &body)
    }

    fn job_id(&self, soql: &str) -> String {
        let reply = self.job(soql);
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json()["id"].as_str().unwrap().to_owned()
    }

    fn poll(&self, id: &str) -> Json {
        self.data(&format!("/jobs/query/{id}")).json()
    }

    /// All rows of a job by the serial chain of pages.
    fn download(&self, id: &str, max_records: u64) -> Vec<BTreeMap<String, String>> {
        let mut rows = Vec::new();
        let mut locator = String::new();
        loop {
            let reply = self.data(&format!(
                "/jobs/query/{id}/results?maxRecords={max_records}{locator}"
            ));
            assert_eq!(reply.status, 200, "{}", reply.text);
            let page = csv(&reply.text);
            assert_eq!(
                reply.header("sforce-numberofrecords"),
                page.len().to_string()
            );
            rows.extend(page);
            match reply.header("sforce-locator") {
                "null" => return rows,
                next => locator = format!("&locator={next}"),
            }
        }
    }
}

/// Reads all-quoted CSV, written for these tests alone.
fn csv(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut rows: Vec<Vec<String>> = vec![Vec::new()];
    let mut rest = text.chars().peekable();
    while let Some(first) = rest.next() {
        assert_eq!(first, '"', "a value is not quoted in {text:.300}");
        let mut value = String::new();
        while let Some(character) = rest.next() {
            if character != '"' {
                value.push(character);
            } else if rest.peek() == Some(&'"') {
                rest.next();
                value.push('"');
            } else {
                break;
            }
        }
        rows.last_mut().unwrap().push(value);
        match rest.next() {
            Some(',') => {}
            Some('\n') => rows.push(Vec::new()),
            other => panic!("{other:?} behind a value"),
        }
    }
    assert_eq!(rows.pop(), Some(Vec::new()), "the last line has no end");
    let mut rows = rows.into_iter();
    let header = rows.next().unwrap();
    rows.map(|row| {
        assert_eq!(row.len(), header.len());
        header.iter().cloned().zip(row).collect()
    })
    .collect()
}

fn names(object: &Object) -> Vec<String> {
    object
        .fields
        .iter()
        .filter(|field| !field.kind.is_compound())
        .filter(|field| !matches!(field.kind, FieldKind::Base64 | FieldKind::Complex))
        // The wire spells an untyped number as it was stored, the oracle in its canonical way.
        .filter(|field| field.kind != FieldKind::Any)
        .map(|field| field.name.clone())
        .collect()
}

// Logins and sessions.

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

// Resources, discovery, composites.

#[test]
fn versions_and_resources_are_listed_with_and_without_a_slash() {
    let mut org = org();
    for target in ["/limits", "/limits/", "/sobjects/", "/"] {
        assert_eq!(org.data(target).status, 200, "{target}");
    }
    assert_eq!(org.get("/services/data/v29.0/limits").code(), "GONE");
    assert_eq!(org.get("/services/data/v99.0/limits").code(), "NOT_FOUND");
    assert_eq!(org.get("/nowhere").status, 404);
    org.token.clear();
    let versions = org.get("/services/data").json();
    assert!(
        versions
            .as_array()
            .unwrap()
            .iter()
            .any(|entry| entry["version"] == "62.0")
    );
    assert_eq!(org.data("").status, 401);
}

#[test]
fn describe_follows_the_schema_and_304_hides_no_change() {
    let org = org();
    let list = org.data("/sobjects").json();
    let account = list["sobjects"]
        .as_array()
        .unwrap()
        .iter()
        .find(|object| object["name"] == "Account");
    assert_eq!(account.unwrap()["keyPrefix"], "001");
    let describe = org.data("/sobjects/account/describe");
    let fields = describe.json()["fields"].as_array().unwrap().len();
    let modified = describe.header("last-modified").to_owned();
    let again = || {
        org.call(
            "GET",
            "/services/data/v62.0/sobjects/Account/describe",
            &[("if-modified-since", &modified)],
            "",
        )
    };
    org.clock.advance(Duration::from_secs(2));
    assert_eq!(again().status, 304);
    let now = org.clock.now();
    org.emulator
        .with_world(|world| world.hide_field("Account", "Industry", now, None))
        .unwrap();
    let reply = again();
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["fields"].as_array().unwrap().len(), fields - 1);
    let reply = org.query("SELECT Id, Industry FROM Account");
    assert_eq!(reply.code(), "INVALID_FIELD");
    assert!(
        reply
            .message()
            .contains("No such column 'Industry' on entity 'Account'")
    );
    assert_eq!(org.data("/sobjects/Nope/describe").code(), "NOT_FOUND");
}

#[test]
fn a_composite_costs_one_call_and_a_batch_one_per_part() {
    let org = org();
    let before = org.emulator.api_calls();
    let parts: Vec<Json> = ["Account", "Nope", "Contact"]
        .iter()
        .enumerate()
        .map(|(position, name)| {
            json!({"method": "GET", "url": format!("/services/data/v62.0/sobjects/{name}/describe"),
                "referenceId": format!("r{position}")})
        })
        .collect();
    let body = json!({"allOrNone": false, "compositeRequest": parts}).to_string();
    let reply = org
        .call("POST", "/services/data/v62.0/composite", &[], &body)
        .json();
    assert_eq!(org.emulator.api_calls(), before + 1);
    let parts = reply["compositeResponse"].as_array().unwrap();
    assert_eq!(parts[0]["body"]["name"], "Account");
    assert_eq!(
        (
            &parts[1]["httpStatusCode"],
            &parts[1]["body"][0]["errorCode"]
        ),
        (&json!(404), &json!("NOT_FOUND"))
    );
    assert_eq!(parts[2]["referenceId"], "r2");

    let requests: Vec<Json> = ["Account", "Nope", "Contact"]
        .iter()
        .map(|name| json!({"method": "GET", "url": format!("v61.0/sobjects/{name}/describe")}))
        .collect();
    let body = json!({"haltOnError": true, "batchRequests": requests}).to_string();
    let before = org.emulator.api_calls();
    let reply = org
        .call("POST", "/services/data/v62.0/composite/batch", &[], &body)
        .json();
    assert_eq!(org.emulator.api_calls(), before + 3);
    assert_eq!(reply["hasErrors"], true);
    let statuses: Vec<&Json> = reply["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| &part["statusCode"])
        .collect();
    assert_eq!(statuses, [&json!(200), &json!(404), &json!(412)]);

    let too_many = json!({"compositeRequest": (0..26).map(|part| json!({"method": "GET",
        "url": "/services/data/v62.0/limits", "referenceId": format!("r{part}")})).collect::<Vec<_>>()});
    let reply = org.call(
        "POST",
        "/services/data/v62.0/composite",
        &[],
        &too_many.to_string(),
    );
    assert_eq!(reply.status, 400);
}

// Queries.

#[test]
fn rest_pages_follow_links_and_ignore_a_repeated_query() {
    let org = org_of(WorldOptions {
        scale: 260,
        ..WorldOptions::tiny(7, start())
    });
    let options = [("sforce-query-options", "batchSize=200")];
    let target = format!(
        "/services/data/v62.0/query?q={}",
        encode("SELECT Id, Name FROM Contact")
    );
    let mut page = org.call("GET", &target, &options, "").json();
    let total = page["totalSize"].as_u64().unwrap();
    assert!(total > 400, "{total}");
    let mut ids = BTreeSet::new();
    let mut pages = 0;
    loop {
        pages += 1;
        for record in page["records"].as_array().unwrap() {
            assert_eq!(record["attributes"]["type"], "Contact");
            ids.insert(record["Id"].as_str().unwrap().to_owned());
        }
        if page["done"] == true {
            assert!(page.get("nextRecordsUrl").is_none());
            break;
        }
        let next = page["nextRecordsUrl"].as_str().unwrap().to_owned();
        assert!(next.contains("/query/01g") && next.ends_with(&format!("-{}", pages * 200)));
        page = match pages {
            1 => org.get(&format!("{next}?q=SELECT+nonsense")).json(),
            // A locator without its offset goes on where the client stands; queryAll is the same.
            2 => {
                let bare = next
                    .rsplit_once('-')
                    .unwrap()
                    .0
                    .replace("/query/", "/queryAll/");
                org.get(&bare).json()
            }
            _ => org.get(&next).json(),
        };
    }
    assert_eq!(ids.len() as u64, total);
    org.clock.advance(Duration::from_secs(60));
    let reply = org.call("GET", &target, &options, "").json();
    let next = reply["nextRecordsUrl"].as_str().unwrap().to_owned();
    org.emulator.expire_cursors();
    assert_eq!(org.get(&next).code(), "INVALID_QUERY_LOCATOR");
}

#[test]
fn counts_deleted_rows_and_literals_mean_what_they_mean_to_the_service() {
    let org = org();
    let now = org.clock.now();
    let ids: Vec<String> = org.emulator.with_world(|world| {
        let changes = |name: &'static str| [("Name", Value::text(name))];
        let ids: Vec<_> = ["Quote'd", "plain", "gone"]
            .iter()
            .map(|name| {
                world
                    .insert("Account", &changes(name), now)
                    .unwrap()
                    .to_string()
            })
            .collect();
        world
            .delete("Account", &ids[2], now.plus(Duration::from_secs(5)))
            .unwrap();
        ids
    });
    org.clock.advance(Duration::from_secs(10));
    let count = |soql: &str, all: bool| {
        let reply = if all {
            org.query_all(soql)
        } else {
            org.query(soql)
        };
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json()["totalSize"].as_u64().unwrap()
    };
    let live = count("SELECT COUNT() FROM Account", false);
    assert!(count("SELECT count() FROM Account", true) > live);
    let same_second = "SELECT COUNT() FROM Account WHERE SystemModstamp";
    assert_eq!(
        count(&format!("{same_second} = 2026-03-01T12:00:00.999Z"), false),
        2
    );
    assert_eq!(
        count(&format!("{same_second} >= 2026-03-01T13:00:05+01:00"), true),
        1
    );
    assert_eq!(
        count(
            &format!("{same_second} >= 2026-03-01T12:00:05.000+0000 AND IsDeleted = true"),
            true
        ),
        1
    );
    assert_eq!(
        count(
            "SELECT COUNT() FROM Account WHERE Name = 'quote\\'D'",
            false
        ),
        1
    );
    assert_eq!(
        count(
            "SELECT COUNT() FROM Account WHERE Name LIKE 'pl_in' OR Name LIKE 'Quote%'",
            false
        ),
        2
    );
    let short: String = ids[0].chars().take(15).collect();
    assert_eq!(
        count(
            &format!(
                "SELECT COUNT() FROM Account WHERE Id IN ('{short}','{}')",
                ids[1]
            ),
            false
        ),
        2
    );
    let after = count(
        &format!("SELECT COUNT() FROM Account WHERE Id > '{}'", ids[0]),
        true,
    );
    assert_eq!(after, 2);
    let page = org
        .query("SELECT Id, Name, Owner.Name, Owner.Email FROM Account WHERE Name = 'plain' ORDER BY Id DESC LIMIT 1")
        .json();
    assert_eq!(page["records"][0]["Name"], "plain");
}

#[test]
fn errors_of_queries_have_the_texts_of_the_service() {
    let org = org();
    let name = "No such column 'Foo__c' on entity 'Account'. If you are attempting to use a custom field, be sure to append the '__c'";
    for (soql, code, text) in [
        (
            "SELECT Id FORM Account",
            "MALFORMED_QUERY",
            "ERROR at Row:1:Column:11\nunexpected token: 'FORM'",
        ),
        ("SELECT Id, Foo__c FROM Account", "INVALID_FIELD", name),
        (
            "SELECT Id FROM Nope",
            "INVALID_TYPE",
            "sObject type 'Nope' is not supported.",
        ),
        (
            "SELECT Id FROM Account WHERE SystemModstamp >= 2024-01-01",
            "INVALID_FIELD",
            "value of filter criterion for field 'SystemModstamp' must be of type dateTime and should not be enclosed in quotes",
        ),
        (
            "SELECT Id FROM Account WHERE SystemModstamp >= '2024-01-01T00:00:00Z'",
            "INVALID_FIELD",
            "must be of type dateTime",
        ),
        (
            "SELECT Id FROM Account WHERE Description = 'x'",
            "INVALID_FIELD",
            "field 'Description' can not be filtered",
        ),
        (
            "SELECT Id FROM Account WHERE Id = '001x'",
            "INVALID_QUERY_FILTER_OPERATOR",
            "invalid ID field: 001x",
        ),
        (
            "SELECT Id FROM Account OFFSET 2001",
            "NUMBER_OUTSIDE_VALID_RANGE",
            "2000",
        ),
        (
            "SELECT FIELDS(ALL) FROM Account",
            "MALFORMED_QUERY",
            "LIMIT of at most 200",
        ),
        ("", "MALFORMED_QUERY", ""),
    ] {
        let reply = org.query(soql);
        assert_eq!((reply.status, reply.code().as_str()), (400, code), "{soql}");
        assert!(
            reply.message().contains(text),
            "{soql}: {}",
            reply.message()
        );
    }
    assert_eq!(
        org.query("SELECT FIELDS(ALL) FROM Account LIMIT 3").status,
        200
    );
}

#[test]
fn long_requests_are_refused_by_the_web_server() {
    let org = org();
    let fields = vec!["Name"; 4_000].join(",");
    let reply = org.query(&format!("SELECT {fields} FROM Account"));
    assert_eq!(reply.status, 414);
    let filler = "x".repeat(9_000);
    let target = format!("/services/data/v62.0/query?q={}", "y".repeat(8_000));
    let reply = org.call("GET", &target, &[("x-filler", &filler)], "");
    assert_eq!(reply.status, 431);
    assert!(reply.text.starts_with("<h1>Bad Message 431</h1>"));
}

#[test]
fn wide_windows_and_many_rows_time_out_when_the_org_is_slow() {
    let org = org();
    org.emulator
        .behave(|behaviour| behaviour.timeout_days = Some(10));
    let window = |from: &str| {
        org.query(&format!(
            "SELECT Id FROM Account WHERE SystemModstamp >= {from} AND SystemModstamp < 2026-03-01T00:00:00Z"
        ))
    };
    assert_eq!(window("2026-02-25T00:00:00Z").status, 200);
    assert_eq!(window("2026-01-25T00:00:00Z").code(), "QUERY_TIMEOUT");
    assert_eq!(org.query("SELECT Id FROM Account").code(), "QUERY_TIMEOUT");
    let id = org.job_id("SELECT Id FROM Account");
    let job = org.poll(&id);
    assert_eq!(job["state"], "Failed");
    assert!(
        job["errorMessage"]
            .as_str()
            .unwrap()
            .starts_with("QUERY_TIMEOUT")
    );
    org.emulator.behave(|behaviour| {
        behaviour.timeout_days = None;
        behaviour.timeout_rows = Some(1);
    });
    assert_eq!(org.query("SELECT Id FROM Account").code(), "QUERY_TIMEOUT");
}

// Bulk API 2.0.

#[test]
fn bulk_rest_and_world_agree_on_every_object_and_value() {
    let org = org_of(WorldOptions {
        nasty: true,
        ..WorldOptions::tiny(7, start())
    });
    let now = org.clock.now();
    let objects = org.emulator.with_world(|world| world.objects_at(now));
    assert!(objects.len() > 20);
    let mut seen = 0;
    for object in objects
        .iter()
        .filter(|object| object.bulk && object.queryable)
    {
        let fields = names(object);
        let soql = format!("SELECT {} FROM {}", fields.join(","), object.name);
        let id = org.job_id(&soql);
        assert_eq!(org.poll(&id)["state"], "JobComplete");
        let rows = org.download(&id, 7);
        let expected = org
            .emulator
            .with_world(|world| world.expected(&object.name, now));
        assert_eq!(rows.len(), expected.len(), "{}", object.name);
        seen += rows.len();
        let spelled = |row: &BTreeMap<String, String>| -> BTreeMap<String, Option<String>> {
            object
                .fields
                .iter()
                .filter(|field| field.computed.is_none() && fields.contains(&field.name))
                .map(|field| {
                    let text = row[&field.name].clone();
                    let value = match field.kind {
                        _ if text.is_empty() => None,
                        FieldKind::Int | FieldKind::Long => Some(canonical_number(&text)),
                        kind if kind.is_decimal() => Some(canonical_number(&text)),
                        FieldKind::Datetime => Some(Timestamp::parse(&text).unwrap().to_string()),
                        _ => Some(text),
                    };
                    (field.name.clone(), value)
                })
                .collect()
        };
        let mut actual: Vec<_> = rows.iter().map(spelled).collect();
        let mut wanted: Vec<BTreeMap<String, Option<String>>> = expected
            .into_iter()
            .map(|row| {
                row.payload
                    .into_iter()
                    .filter(|pair| fields.contains(&pair.0))
                    .collect()
            })
            .collect();
        actual.sort();
        wanted.sort();
        for (actual, wanted) in actual.iter().zip(&wanted) {
            for (name, value) in wanted {
                assert_eq!(actual.get(name), Some(value), "{}.{name}", object.name);
            }
        }
        assert!(actual == wanted, "{} differs", object.name);
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn rest_values_are_the_exact_literals_of_the_world() {
    let org = org_of(WorldOptions {
        nasty: true,
        ..WorldOptions::tiny(7, start())
    });
    let now = org.clock.now();
    for object in org.emulator.with_world(|world| world.objects_at(now)) {
        if !object.queryable {
            continue;
        }
        let numbers: Vec<&Field> = object
            .fields
            .iter()
            .filter(|field| field.kind.is_decimal())
            .collect();
        let (Some(first), true) = (numbers.first(), object.has_id()) else {
            continue;
        };
        let reply = org.query_all(&format!(
            "SELECT Id, {} FROM {} LIMIT 50",
            first.name, object.name
        ));
        assert_eq!(reply.status, 200, "{}", reply.text);
        let rows = org
            .emulator
            .with_world(|world| world.rows_at(&object.name, now));
        for row in rows.iter().take(50) {
            let value = org
                .emulator
                .with_world(|world| world.value(row, first, now));
            if let Value::Number(text) = value {
                let literal = format!("\"{}\":{text}", first.name);
                assert!(
                    reply.text.contains(&literal),
                    "{literal} of {}",
                    object.name
                );
            }
        }
    }
}

#[test]
fn locators_are_stable_and_pages_tile_in_any_order() {
    let org = org();
    org.emulator.behave(|behaviour| {
        behaviour.bulk_page_rows = 5;
        behaviour.chunk_rows = 4;
    });
    let id = org.job_id("SELECT Id, Name FROM Contact");
    let job = org.poll(&id);
    let total = usize::try_from(job["numberRecordsProcessed"].as_u64().unwrap()).unwrap();
    assert!(total > 30, "{total}");
    assert_eq!(job["isPkChunkingSupported"], true);
    let serial = org.download(&id, 3);
    assert_eq!(serial, org.download(&id, 1_000));
    assert_eq!(serial.len(), total);
    let ids: Vec<&String> = serial.iter().map(|row| &row["Id"]).collect();
    assert!(!ids.is_sorted(), "without ORDER BY there is no order");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), total);

    let mut links = Vec::new();
    let mut target = format!("/services/data/v62.0/jobs/query/{id}/resultPages");
    loop {
        let answer = org.get(&target).json();
        assert_eq!(answer["nextRecordsUrl"], answer["nextRecordUrl"]);
        let pages = answer["resultPages"].as_array().unwrap();
        assert!(pages.len() <= 5);
        links.extend(
            pages
                .iter()
                .map(|page| page["resultUrl"].as_str().unwrap().to_owned()),
        );
        if answer["done"] == true {
            assert!(answer["nextRecordsUrl"].is_null());
            break;
        }
        target = answer["nextRecordsUrl"].as_str().unwrap().to_owned();
    }
    assert_eq!(links.len(), total.div_ceil(5));
    let mut pages: Vec<Vec<_>> = links
        .iter()
        .rev()
        .map(|link| csv(&org.get(link).text))
        .collect();
    pages.reverse();
    assert_eq!(pages.concat(), serial);

    let reply = org.data(&format!("/jobs/query/{id}/results?locator=AAAA"));
    assert_eq!(reply.code(), "INVALID_QUERY_LOCATOR");
    org.emulator
        .behave(|behaviour| behaviour.result_pages = false);
    assert_eq!(
        org.data(&format!("/jobs/query/{id}/resultPages")).status,
        404
    );
    let ordered = org.job_id("SELECT Id FROM Contact ORDER BY Id");
    assert_eq!(org.poll(&ordered)["isPkChunkingSupported"], false);
    let ids: Vec<String> = org
        .download(&ordered, 10)
        .iter()
        .map(|row| row["Id"].clone())
        .collect();
    assert!(ids.is_sorted());
}

#[test]
fn columns_may_change_their_order_from_page_to_page() {
    let org = org();
    let id = org.job_id("SELECT Id, Name, Email FROM Contact");
    let plain = org.download(&id, 4);
    org.emulator
        .behave(|behaviour| behaviour.rotate_columns = true);
    assert_eq!(org.download(&id, 4), plain);
    let next = org.data(&format!("/jobs/query/{id}/results?maxRecords=1"));
    let next = next.header("sforce-locator").to_owned();
    let page = org.data(&format!(
        "/jobs/query/{id}/results?maxRecords=1&locator={next}"
    ));
    assert!(
        page.text.starts_with("\"Name\",\"Email\",\"Id\"\n"),
        "{}",
        page.text
    );
}

#[test]
fn bytes_of_attachments_are_behind_the_path_in_the_row() {
    let org = org();
    let now = org.clock.now();
    let body = [("Body", Value::text("aGVsbG8gb3Jn"))];
    let id = org
        .emulator
        .with_world(|world| world.insert("Attachment", &body, now))
        .unwrap();
    let page = org
        .query(&format!(
            "SELECT Id, Body FROM Attachment WHERE Id = '{id}'"
        ))
        .json();
    let path = page["records"][0]["Body"].as_str().unwrap();
    assert_eq!(
        path,
        format!("/services/data/v62.0/sobjects/Attachment/{id}/Body")
    );
    assert_eq!(org.get(path).text, "hello org");
    assert_eq!(
        org.job("SELECT Id, Body FROM Attachment").code(),
        "INVALIDENTITY"
    );
}

#[test]
fn pages_are_bounded_by_bytes_as_well() {
    let org = org();
    org.emulator
        .behave(|behaviour| behaviour.bulk_page_bytes = 100);
    let id = org.job_id("SELECT Id, Name FROM Contact");
    let reply = org.data(&format!("/jobs/query/{id}/results?maxRecords=1000"));
    assert!(reply.text.len() < 250, "{}", reply.text);
    assert_eq!(org.download(&id, 1_000).len(), org.download(&id, 1).len());
}

#[test]
fn a_job_goes_through_its_states_by_polls_and_by_time() {
    let org = org();
    org.emulator.behave(|behaviour| behaviour.job_polls = 2);
    let id = org.job_id("SELECT Id FROM Account");
    let reply = org.data(&format!("/jobs/query/{id}/results"));
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (412, "JOB_NOT_COMPLETE")
    );
    org.emulator
        .behave(|behaviour| behaviour.not_ready_status = 204);
    let reply = org.data(&format!("/jobs/query/{id}/results"));
    assert_eq!((reply.status, reply.text.as_str()), (204, ""));
    let states: Vec<Json> = (0..4).map(|_| org.poll(&id)["state"].clone()).collect();
    assert_eq!(
        states,
        ["InProgress", "InProgress", "JobComplete", "JobComplete"]
    );

    org.emulator.behave(|behaviour| {
        behaviour.job_polls = 0;
        behaviour.job_latency_ms = 60_000;
    });
    let id = org.job_id("SELECT Id FROM Account");
    assert_eq!(org.poll(&id)["state"], "UploadComplete");
    org.clock.advance(Duration::from_secs(30));
    assert_eq!(org.poll(&id)["state"], "InProgress");
    let delete = || {
        org.call(
            "DELETE",
            &format!("/services/data/v62.0/jobs/query/{id}"),
            &[],
            "",
        )
    };
    assert_eq!(delete().status, 400);
    org.clock.advance(Duration::from_secs(30));
    let job = org.poll(&id);
    assert_eq!(job["state"], "JobComplete");
    assert_eq!(job["totalProcessingTime"], 60_000);
    assert_eq!((delete().status, delete().status), (204, 404));
    assert_eq!(org.data(&format!("/jobs/query/{id}/results")).status, 404);
}

#[test]
fn jobs_can_be_aborted_listed_and_expire() {
    let org = org();
    org.emulator.behave(|behaviour| behaviour.job_polls = 1_000);
    let id = org.job_id("SELECT Id FROM Account");
    let target = format!("/services/data/v62.0/jobs/query/{id}");
    let reply = org.call("PATCH", &target, &[], "{\"state\":\"Aborted\"}");
    assert_eq!(reply.json()["state"], "Aborted");
    assert_eq!(
        org.data(&format!("/jobs/query/{id}/results")).code(),
        "INVALIDJOBSTATE"
    );
    let list = org.data("/jobs/query?jobType=V2Query").json();
    assert_eq!(
        (list["records"].as_array().unwrap().len(), &list["done"]),
        (1, &json!(true))
    );
    let other = org.get(&target.replace("v62.0", "v61.0"));
    assert_eq!(other.status, 409);
    for _ in 0..100 {
        org.clock.advance(Duration::from_secs(7_000));
        org.data("/limits");
    }
    assert_eq!(org.get(&target).status, 404);
}

#[test]
fn jobs_come_to_a_bad_end_by_plan() {
    let org = org();
    let fault = |object: Option<&str>, nth, outcome| JobFault {
        object: object.map(str::to_owned),
        nth,
        times: 1,
        outcome,
    };
    org.emulator.behave(|behaviour| {
        behaviour.job_faults = vec![
            fault(
                Some("Contact"),
                1,
                Outcome::Failed("InternalServerError : x".to_owned()),
            ),
            fault(Some("Contact"), 2, Outcome::Aborted),
            fault(Some("Account"), 1, Outcome::Never),
            fault(Some("Account"), 2, Outcome::Gone),
            fault(Some("Lead"), 1, Outcome::GoneAfterPages(2)),
        ];
    });
    let job = |object: &str| org.job_id(&format!("SELECT Id FROM {object}"));
    let state = |id: &str| org.poll(id)["state"].clone();
    let failed = org.poll(&job("Contact"));
    assert_eq!(
        (&failed["state"], &failed["errorMessage"]),
        (&json!("Failed"), &json!("InternalServerError : x"))
    );
    assert_eq!(state(&job("Contact")), "Aborted");
    assert_eq!(state(&job("Contact")), "JobComplete");
    let never = job("Account");
    org.clock.advance(Duration::from_secs(3_600));
    assert_eq!(state(&never), "InProgress");
    let gone = job("Account");
    assert_eq!(org.data(&format!("/jobs/query/{gone}")).status, 404);
    let lead = job("Lead");
    let page = || {
        org.data(&format!("/jobs/query/{lead}/results?maxRecords=1"))
            .status
    };
    assert_eq!((page(), page(), page(), page()), (200, 200, 404, 404));
}

#[test]
fn the_bulk_api_refuses_what_the_service_refuses() {
    let org = org_of(WorldOptions {
        nasty: true,
        ..WorldOptions::tiny(7, start())
    });
    org.emulator.behave(|behaviour| {
        behaviour.bulk_refused = vec!["Campaign".to_owned()];
        behaviour.not_queryable = vec!["Event".to_owned()];
    });
    for (soql, code, text) in [
        (
            "SELECT Id FROM Campaign",
            "INVALIDENTITY",
            "Entity 'Campaign' is not supported by the Bulk API.",
        ),
        (
            "SELECT BillingAddress FROM Account",
            "FUNCTIONALITY_NOT_ENABLED",
            "Selecting compound data not supported in Bulk Query",
        ),
        ("SELECT COUNT() FROM Account", "API_ERROR", "not supported"),
        (
            "SELECT Id FROM Account LIMIT 1 OFFSET 1",
            "API_ERROR",
            "OFFSET",
        ),
        (
            "SELECT Id FROM Account GROUP BY Id",
            "API_ERROR",
            "GROUP BY",
        ),
        (
            "SELECT Id FROM Event",
            "INVALID_TYPE_FOR_OPERATION",
            "does not support query",
        ),
        (
            "SELECT Nope FROM Account",
            "INVALID_FIELD",
            "No such column",
        ),
    ] {
        let reply = org.job(soql);
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, code),
            "{soql}: {}",
            reply.text
        );
        assert!(
            reply.message().contains(text),
            "{soql}: {}",
            reply.message()
        );
    }
    org.emulator
        .behave(|behaviour| behaviour.daily_bulk_jobs = 1);
    org.job_id("SELECT Id FROM Account");
    let reply = org.job("SELECT Id FROM Account");
    assert!(
        reply
            .message()
            .contains("Max bulk v2 query jobs (1) per 24 hrs has been reached")
    );
    org.emulator
        .behave(|behaviour| behaviour.bulk_disabled = true);
    assert_eq!(
        org.job("SELECT Id FROM Account").code(),
        "API_DISABLED_FOR_ORG"
    );
}

#[test]
fn an_empty_job_has_a_header_and_no_locator() {
    let org = org();
    let id = org.job_id("SELECT Id, Name FROM Account WHERE Name = 'nobody has this name'");
    let reply = org.data(&format!("/jobs/query/{id}/results"));
    assert_eq!(reply.text, "\"Id\",\"Name\"\n");
    assert_eq!(reply.header("sforce-numberofrecords"), "0");
    assert_eq!(reply.header("sforce-locator"), "null");
    let pages = org.data(&format!("/jobs/query/{id}/resultPages")).json();
    assert_eq!(pages["resultPages"].as_array().unwrap().len(), 1);
    let body = json!({"operation": "query", "query": "SELECT Id, Name FROM Account", "columnDelimiter": "PIPE",
        "lineEnding": "CRLF", "contentType": "CSV"});
    let id = org
        .call(
            "POST",
            "/services/data/v62.0/jobs/query",
            &[],
            &body.to_string(),
        )
        .json()["id"]
        .clone();
    let reply = org.data(&format!("/jobs/query/{}/results", id.as_str().unwrap()));
    assert!(reply.text.starts_with("\"Id\"|\"Name\"\r\n") && reply.text.ends_with("\"\r\n"));
}

#[test]
fn rows_that_commit_late_appear_with_an_older_stamp() {
    let org = org();
    let begin = org.clock.now();
    let late = Moment::late(begin, Duration::from_secs(300));
    let id = org
        .emulator
        .with_world(|world| world.insert("Account", &[("Name", Value::text("late"))], late))
        .unwrap();
    let seen = || {
        org.query("SELECT SystemModstamp FROM Account WHERE Name = 'late'")
            .json()
    };
    org.clock.advance(Duration::from_secs(299));
    assert_eq!(seen()["totalSize"], 0);
    org.clock.advance(Duration::from_secs(1));
    assert_eq!(
        seen()["records"][0]["SystemModstamp"],
        "2026-03-01T12:00:00.000+0000"
    );
    assert_eq!(
        org.data(&format!("/sobjects/Account/{id}")).json()["Name"],
        "late"
    );
}

// Bulk API 1.0.

#[test]
fn bulk_one_speaks_xml_for_csv_jobs() {
    let org = org();
    let base = "/services/async/61.0/job";
    let json = [("content-type", "application/json")];
    let body = "{\"operation\":\"queryAll\",\"object\":\"Account\",\"contentType\":\"CSV\",\"concurrencyMode\":0}";
    let reply = org.call("POST", base, &json, body);
    assert_eq!(
        (reply.status, &reply.json()["state"]),
        (201, &json!("Open"))
    );
    let job = reply.json()["id"].as_str().unwrap().to_owned();
    let reply = org.call(
        "POST",
        &format!("{base}/{job}/batch"),
        &[("content-type", "text/csv")],
        "SELECT Id, Name FROM Account ORDER BY Id",
    );
    assert_eq!(reply.status, 201);
    let between = |text: &str, name: &str| {
        let (_, after) = text.split_once(&format!("<{name}>")).unwrap();
        after.split('<').next().unwrap().to_owned()
    };
    let batch = between(&reply.text, "id");
    let reply = org.call(
        "POST",
        &format!("{base}/{job}"),
        &json,
        "{\"state\":\"Closed\"}",
    );
    assert_eq!(
        (reply.status, &reply.json()["state"]),
        (200, &json!("Closed"))
    );
    let reply = org.call("GET", &format!("{base}/{job}/batch/{batch}"), &json, "");
    assert_eq!(between(&reply.text, "state"), "Completed");
    assert!(
        org.get(&format!("{base}/{job}/batch"))
            .text
            .contains("<batchInfoList")
    );
    let reply = org.get(&format!("{base}/{job}/batch/{batch}/result"));
    let result = between(&reply.text, "result");
    let data = org.get(&format!("{base}/{job}/batch/{batch}/result/{result}"));
    assert_eq!(data.header("content-type"), "text/csv; charset=UTF-8");
    let rows = csv(&org
        .get(&format!("{base}/{job}/batch/{batch}/result/{result}"))
        .text);
    let job2 = org.job_id("SELECT Id, Name FROM Account ORDER BY Id");
    assert_eq!(rows, org.download(&job2, 1_000));
    let reply = org.call("GET", &format!("{base}/750000000000000AAA"), &json, "");
    assert_eq!(
        (reply.status, &reply.json()["exceptionCode"]),
        (400, &json!("InvalidJob"))
    );
}

#[test]
fn bulk_one_speaks_json_for_json_jobs_with_instants_as_numbers() {
    let org = org();
    let base = "/services/async/62.0/job";
    let json = [("content-type", "application/json")];
    let body = "{\"operation\":\"query\",\"object\":\"Account\",\"contentType\":\"JSON\"}";
    let job = org.call("POST", base, &json, body).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let soql = "SELECT Id, SystemModstamp FROM Account";
    let batch = org
        .call("POST", &format!("{base}/{job}/batch"), &json, soql)
        .json();
    assert_eq!(batch["state"], "Queued");
    let batch = batch["id"].as_str().unwrap().to_owned();
    let info = org.get(&format!("{base}/{job}/batch/{batch}")).json();
    assert_eq!(info["state"], "Completed");
    let results = org
        .get(&format!("{base}/{job}/batch/{batch}/result"))
        .json();
    let result = results[0].as_str().unwrap();
    let rows = org
        .get(&format!("{base}/{job}/batch/{batch}/result/{result}"))
        .json();
    assert!(rows[0]["SystemModstamp"].as_i64().unwrap() > 1_000_000_000_000);
    assert_eq!(rows[0]["attributes"]["type"], "Account");
    let bad = org
        .call(
            "POST",
            &format!("{base}/{job}/batch"),
            &json,
            "SELECT Nope FROM Account",
        )
        .json();
    let bad = bad["id"].as_str().unwrap().to_owned();
    let info = org.get(&format!("{base}/{job}/batch/{bad}")).json();
    assert_eq!(info["state"], "Failed");
    assert!(
        info["stateMessage"]
            .as_str()
            .unwrap()
            .contains("No such column")
    );
}

#[test]
fn bulk_one_splits_by_id_ranges_when_asked() {
    let org = org();
    let base = "/services/async/62.0/job";
    let headers = [
        ("content-type", "application/json"),
        ("sforce-enable-pkchunking", "true; chunkSize=10"),
    ];
    let body = "{\"operation\":\"queryAll\",\"object\":\"Contact\",\"contentType\":\"JSON\"}";
    let job = org.call("POST", base, &headers, body).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    org.call(
        "POST",
        &format!("{base}/{job}/batch"),
        &headers,
        "SELECT Id FROM Contact",
    );
    let batches = org.get(&format!("{base}/{job}/batch")).json();
    let batches = batches["batchInfo"].as_array().unwrap().clone();
    assert_eq!(batches[0]["state"], "NotProcessed");
    let rows: u64 = batches
        .iter()
        .map(|batch| batch["numberRecordsProcessed"].as_u64().unwrap())
        .sum();
    let total = org.query_all("SELECT COUNT() FROM Contact").json()["totalSize"]
        .as_u64()
        .unwrap();
    assert_eq!(rows, total);
    assert_eq!(batches.len() as u64, total.div_ceil(10) + 1);
    let mut stranger = org;
    stranger.token = "wrong".to_owned();
    let reply = stranger.call("GET", &format!("{base}/{job}"), &headers, "");
    assert_eq!(
        (reply.status, &reply.json()["exceptionCode"]),
        (400, &json!("InvalidSessionId"))
    );
}

// Replication, quota, bench, and the whole thing on a socket.

#[test]
fn deletions_and_changes_are_reported_within_their_days() {
    let org = org();
    let now = org.clock.now();
    let (gone, kept) = org.emulator.with_world(|world| {
        let gone = world.insert("Account", &[], now).unwrap();
        let kept = world.insert("Account", &[], now).unwrap();
        world
            .delete("Account", &gone, now.plus(Duration::from_secs(60)))
            .unwrap();
        (gone, kept)
    });
    org.clock.advance(Duration::from_secs(600));
    let window = "start=2026-03-01T11%3A55%3A00%2B00%3A00&end=2026-03-01T12%3A10%3A00.000Z";
    let deleted = org
        .data(&format!("/sobjects/Account/deleted/?{window}"))
        .json();
    let records = deleted["deletedRecords"].as_array().unwrap();
    assert!(
        records.iter().any(|record| record["id"] == *gone
            && record["deletedDate"] == "2026-03-01T12:01:00.000+0000")
    );
    assert!(deleted["latestDateCovered"].is_string());
    let updated = org
        .data(&format!("/sobjects/Account/updated/?{window}"))
        .json();
    let ids: Vec<&str> = updated["ids"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_str().unwrap())
        .collect();
    assert!(ids.contains(&&*kept) && !ids.contains(&&*gone));
    for (window, code) in [
        (
            "start=2026-01-01T00:00:00Z&end=2026-03-01T00:00:00Z",
            "INVALID_REPLICATION_DATE",
        ),
        (
            "start=2026-03-01T00:00:10Z&end=2026-03-01T00:00:50Z",
            "INVALID_REPLICATION_DATE",
        ),
        ("start=yesterday&end=2026-03-01T00:00:50Z", "INVALID_FIELD"),
    ] {
        assert_eq!(
            org.data(&format!("/sobjects/Account/deleted/?{window}"))
                .code(),
            code
        );
    }
}

#[test]
fn the_daily_quota_counts_every_call_and_stops_them() {
    let org = org();
    org.emulator
        .behave(|behaviour| behaviour.daily_api_requests = 20);
    assert_eq!(
        org.data("/sobjects").header("sforce-limit-info"),
        "api-usage=18/20"
    );
    assert_eq!(
        org.query("SELECT nonsense").header("sforce-limit-info"),
        "api-usage=19/20"
    );
    assert_eq!(
        org.data("/jobs/query/750").header("sforce-limit-info"),
        "api-usage=20/20"
    );
    let reply = org.data("/sobjects");
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (403, "REQUEST_LIMIT_EXCEEDED")
    );
    org.emulator.behave(|behaviour| {
        behaviour.per_app_usage = true;
        behaviour.daily_api_requests = 15_000;
    });
    let reply = org.data("/limits");
    assert_eq!(
        reply.header("sforce-limit-info"),
        "api-usage=21/15000; per-app-api-usage=4/250(appName=overlock)"
    );
    let limits = reply.json();
    assert_eq!(limits["DailyApiRequests"]["Remaining"], 15_000 - 21);
    assert_eq!(limits["DailyBulkApiBatches"]["Max"], 15_000);
    org.emulator
        .behave(|behaviour| behaviour.limits_forbidden = true);
    assert_eq!(org.data("/limits").status, 403);
}

#[test]
fn the_bench_object_answers_like_any_other() {
    let mut org = org();
    org.emulator = SalesforceEmulator::new(
        World::seeded(WorldOptions::tiny(7, start())),
        org.clock.clone(),
    )
    .with_bench(1_234);
    let reply = org.refresh("5Aep861canary.refresh.token");
    org.token = reply.json()["access_token"].as_str().unwrap().to_owned();
    let describe = org.data("/sobjects/Bench__c/describe").json();
    let fields: Vec<&str> = describe["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| field["name"].as_str().unwrap())
        .collect();
    assert_eq!(fields.len(), 40);
    let id = org.job_id(&format!("SELECT {} FROM Bench__c", fields.join(",")));
    assert_eq!(org.poll(&id)["numberRecordsProcessed"], 1_234);
    let rows = org.download(&id, 500);
    let ids: BTreeSet<&String> = rows.iter().map(|row| &row["Id"]).collect();
    assert_eq!(ids.len(), 1_234);
    assert_eq!(
        org.query("SELECT COUNT() FROM Bench__c").json()["totalSize"],
        1_234
    );
    let half = "SystemModstamp >= 2025-09-01T00:00:00Z";
    let half = org
        .query(&format!("SELECT Id, Amount__c FROM Bench__c WHERE {half}"))
        .json();
    let count = half["totalSize"].as_u64().unwrap();
    assert!((500..700).contains(&count), "{count}");
    let by_id: HashMap<&str, &BTreeMap<String, String>> =
        rows.iter().map(|row| (row["Id"].as_str(), row)).collect();
    for record in half["records"].as_array().unwrap() {
        assert!(by_id.contains_key(record["Id"].as_str().unwrap()));
    }
}

#[test]
fn a_sandbox_serves_over_a_socket_and_counts_what_faults_swallow() {
    use std::io::{Read, Write};
    let sandbox = SalesforceSandbox::start(SandboxOptions::tiny(7, start())).unwrap();
    let get = || {
        let mut stream =
            std::net::TcpStream::connect(("127.0.0.1", sandbox.server().port())).unwrap();
        let request =
            "GET /services/data/v62.0/limits HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        drop(stream.read_to_string(&mut text));
        text
    };
    assert!(get().contains("INVALID_SESSION_ID"));
    sandbox
        .faults()
        .add(Match::path("*/limits"), Fault::status(503));
    let text = get();
    assert!(
        text.starts_with("HTTP/1.1 503") && text.contains("text/html"),
        "{text}"
    );
    assert_eq!(sandbox.emulator().api_calls(), 1);
    assert_eq!(sandbox.requests().len(), 2);
    let config = sandbox.config(Login::Jwt);
    assert_eq!(config["login_url"], sandbox.base_url());
}
