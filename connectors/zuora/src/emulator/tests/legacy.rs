//! The export of data sources, the action query, and what is ours.

use super::*;

#[test]
fn an_export_goes_from_submission_to_file() {
    let mut tenant = Tenant::with(|behaviour| {
        behaviour.job_polls = 2;
        behaviour.token_secs = 0;
    });
    tenant.log_in();
    let query = "select Id, UpdatedDate from Account where UpdatedDate >= '2026-02-01T00:00:00Z' and UpdatedDate < '2026-02-15T00:00:00Z'";
    let made = tenant.post(
        "/v1/object/export",
        &json!({"Query": query, "Format": "csv"}),
    );
    assert_eq!(
        (made.status, made.json()["Success"].clone()),
        (200, json!(true))
    );
    let path = format!("/v1/object/export/{}", made.json()["Id"].as_str().unwrap());
    assert_eq!(tenant.get(&path).json()["Status"], "Pending");
    let done = tenant.get(&path).json();
    assert_eq!(done["Status"], "Completed");
    assert_eq!(done["CreatedDate"], "2026-03-01T04:00:00.000-08:00");
    let file = format!("/v1/files/{}", done["FileId"].as_str().unwrap());
    let text = tenant.get(&file).text();
    assert_eq!(done["Size"], text.len());
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert!(
        lines[0].starts_with("2026-02-01,a1") || lines[1].starts_with("a1,2026-02-01"),
        "{text}"
    );
    assert!(text.contains("2026-02-10T02:30:00-08:00"), "{text}");
    // Such files are kept for a week.
    tenant.pass(6 * 86_400);
    assert_eq!(tenant.get(&file).status, 200);
    tenant.pass(86_400);
    assert_eq!(tenant.get(&file).status, 404);
    let zip = json!({"Query": "select Id from Account", "Format": "csv", "Zip": true});
    let made = tenant.post("/v1/object/export", &zip).json();
    let path = format!("/v1/object/export/{}", made["Id"].as_str().unwrap());
    tenant.get(&path);
    let done = tenant.get(&path).json();
    let file = tenant.get(&format!("/v1/files/{}", done["FileId"].as_str().unwrap()));
    let (name, text) = aqua::unzip(&file.bytes);
    assert_eq!(
        (name.as_str(), text.as_str()),
        ("Account.csv", "Account.Id\na1\na2\na3\n")
    );
}

#[test]
fn exports_refuse_what_they_do_not_know() {
    let tenant = Tenant::with(|behaviour| behaviour.export_lacks = vec!["Account.MRR".to_owned()]);
    let cases = [
        ("select Id from ChargeMetrics", "noSuchDataSource"),
        ("select Id from Nothing", "noSuchDataSource"),
        ("select MRR from Account", "There is no field named MRR"),
        (
            "select Secret from Account",
            "There is no field named Secret",
        ),
        ("select", "ZOQL syntax"),
    ];
    for (query, message) in cases {
        let refused = tenant.post(
            "/v1/object/export",
            &json!({"Query": query, "Format": "csv"}),
        );
        assert_eq!(
            (refused.status, refused.json()["Success"].clone()),
            (400, json!(false))
        );
        assert!(
            refused.json()["Errors"][0]["Message"]
                .as_str()
                .unwrap()
                .contains(message),
            "{query}"
        );
    }
    assert_eq!(tenant.get("/v1/object/export/none").status, 404);
}

#[test]
fn action_queries_answer_in_pages() {
    let mut world = world();
    for number in 0..4_500 {
        let row = row(&format!("n{number:06}"), "2026-02-15T00:00:00Z", &[], &[]);
        world.put("Contact", row, time("2026-02-15T00:00:00Z"));
    }
    let tenant = Tenant::of(world);
    let ask = |text: &str| tenant.post("/v1/action/query", &json!({"queryString": text}));
    let mut page = ask("select Id from Contact").json();
    let mut sizes = Vec::new();
    loop {
        assert_eq!(page["size"], 4_501);
        sizes.push(page["records"].as_array().unwrap().len());
        if page["done"] == true {
            break;
        }
        page = tenant
            .post(
                "/v1/action/queryMore",
                &json!({"queryLocator": page["queryLocator"]}),
            )
            .json();
    }
    assert_eq!(sizes, [2_000, 2_000, 501]);
    let first = ask("select Id from Contact").json();
    tenant.pass(15 * 60);
    let late = tenant.post(
        "/v1/action/queryMore",
        &json!({"queryLocator": first["queryLocator"]}),
    );
    assert_eq!(late.status, 400);
    let one =
        ask("select Id, Name, MRR, LastInvoiceDate, UpdatedDate from Account where Name = 'Zeta'");
    assert_eq!(
        one.text(),
        "{\"size\":1,\"records\":[{\"Id\":\"a3\",\"Name\":\"Zeta\",\"MRR\":9,\
         \"UpdatedDate\":\"2026-02-20T15:59:59.000-08:00\"}],\"done\":true}"
    );
    for refused in [
        "select * from Account",
        "select Id from Account order by Id",
        "select BillToContact.Id from Account",
        "select Nope from Account",
    ] {
        assert_eq!(ask(refused).status, 400, "{refused}");
    }
}

#[test]
fn rate_plans_that_amendments_removed_are_left_out() {
    let mut world = world();
    world.add_object(object(
        "RatePlan",
        &[("AmendmentType", Kind::Picklist)],
        &[],
    ));
    for (id, kind) in [
        ("r1", Value::Null),
        ("r2", text("RemoveProduct")),
        ("r3", text("NewProduct")),
    ] {
        world.put(
            "RatePlan",
            row(id, "2026-02-01T00:00:00Z", &[("AmendmentType", kind)], &[]),
            time("2026-02-01T00:00:00Z"),
        );
    }
    let tenant = Tenant::of(world);
    let answer = tenant
        .post(
            "/v1/action/query",
            &json!({"queryString": "select Id from RatePlan"}),
        )
        .json();
    assert_eq!(answer["records"], json!([{"Id": "r1"}, {"Id": "r3"}]));
}

#[test]
fn request_bodies_can_be_packed() {
    use std::io::Write as _;
    let tenant = Tenant::new();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let body = job(&["select Id from Account"]).to_string();
    encoder.write_all(body.as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    let headers = [("Content-Encoding", "gzip")];
    let answer = tenant.send("POST", "/v1/batch-query/", &headers, packed);
    assert_eq!(answer.json()["status"], "submitted");
    let answer = tenant.send("POST", "/v1/batch-query/", &headers, body);
    assert_eq!(answer.status, 400);
}

#[test]
fn stats_and_clock_are_ours() {
    let tenant = Tenant::new();
    tenant.submit(&["select Id from Account"]);
    let stats = tenant.get("/__stats").json();
    assert_eq!(
        (stats["logins"].clone(), stats["jobs"].clone()),
        (json!(1), json!(1))
    );
    assert_eq!(stats["calls"]["submit"], 1);
    let turned = tenant.post("/__clock", &json!({"advance": 60})).json();
    assert_eq!(turned["now"], "2026-03-01T12:01:00Z");
    assert_eq!(tenant.get("/v1/nothing").status, 404);
}

#[test]
fn a_sandbox_is_configured_by_its_own_words() {
    use super::super::sandbox::{Login, SandboxOptions, ZuoraSandbox};
    let sandbox = ZuoraSandbox::start_with(world(), SandboxOptions::tiny(1, time(START))).unwrap();
    let config = sandbox.config(Login::OAuth);
    assert_eq!(config["base_url"], sandbox.base_url());
    assert_eq!(config["auth"]["kind"], "oauth");
    assert_eq!(sandbox.config(Login::Keys)["auth"]["kind"], "keys");
    assert!(
        sandbox
            .canaries()
            .iter()
            .all(|canary| canary.contains("canary"))
    );
}
