//! Export ZOQL: what queries let through, and how they are refused.

use super::*;

fn ids(condition: &str) -> String {
    let tenant = Tenant::new();
    let lines = tenant.lines(&format!("select Id from Account where {condition}"));
    lines.get(1..).unwrap_or_default().join(" ")
}

#[test]
fn conditions_let_the_right_rows_through() {
    let cases = [
        ("Status = 'Active'", "a1 a3"),
        ("Status != 'Active'", "a2"),
        ("Account.Status <> 'Active'", "a2"),
        ("not Status = 'Active'", "a2"),
        ("Name = 'Say \"hi\"'", "a2"),
        ("MRR > 9", "a1"),
        ("MRR >= 9.00", "a1 a3"),
        ("MRR < 0", "a2"),
        ("MRR = '100.5'", "a1"),
        ("AutoPay = true", "a1"),
        ("AutoPay = 'false'", "a2 a3"),
        ("LastInvoiceDate is null", "a3"),
        ("LastInvoiceDate is not null", "a1 a2"),
        // Unknown is neither true nor false.
        ("LastInvoiceDate != '2026-01-31'", ""),
        ("not LastInvoiceDate = '2026-01-31'", ""),
        ("LastInvoiceDate <= '2026-01-31'", "a1 a2"),
        ("Id > 'a1'", "a2 a3"),
        (
            "Id > 'a1' and Id < 'a3' or Status = 'Active' and MRR = 9",
            "a2 a3",
        ),
        ("(Id = 'a1' or Id = 'a2') and (Status = 'Draft')", "a2"),
        ("Name like 'A%'", "a1"),
        ("Name like '%eta'", "a3"),
        ("BillToContact.City = 'Köln'", "a1"),
        ("BillToContact.Id is null", "a2 a3"),
        ("UpdatedDate >= '2026-02-10T10:30:00Z'", "a2 a3"),
        ("UpdatedDate > '2026-02-10T10:30:00Z'", "a3"),
        ("UpdatedDate < '2026-02-10T10:30:00Z'", "a1"),
        ("UpdatedDate = '2026-02-10T11:30:00+01:00'", "a2"),
        // Without a zone it is Los Angeles: 02:30 there.
        ("UpdatedDate = '2026-02-10T02:30:00'", "a2"),
        // A date is the whole day of Los Angeles.
        ("UpdatedDate = '2026-02-20'", "a3"),
        ("UpdatedDate > '2026-02-20'", ""),
        ("UpdatedDate > '2026-02-19'", "a3"),
        ("UpdatedDate >= 'now - 10 days'", "a3"),
        (
            "UpdatedDate < CreatedOn",
            "!There is no field named CreatedOn",
        ),
        ("Id = Id", "a1 a2 a3"),
        ("Secret = 'x'", "!There is no field named Secret"),
        ("MRR = 'x'", "!Invalid value for the field MRR"),
        ("Id = 'a1' and", "!Unexpected end of the query"),
        ("Id in ('a1')", "!Unexpected token in"),
    ];
    for (condition, expected) in cases {
        if let Some(cause) = expected.strip_prefix('!') {
            let query = format!("select Id from Account where {condition}");
            let refused = Tenant::new().submit(&[&query]);
            let wanted = format!(
                "There is a syntax error in one of the queries in the AQuA input (Error = {cause}, Query = {query})"
            );
            assert_eq!(refused["message"], wanted, "{condition}");
            assert_eq!(refused["errorCode"], "90005");
            assert_eq!(refused["status"], "error");
        } else {
            assert_eq!(ids(condition), expected, "{condition}");
        }
    }
}

#[test]
fn order_and_limit() {
    let cases = [
        ("order by Id desc", "a3 a2 a1"),
        ("order by MRR", "a2 a3 a1"),
        ("order by Status asc, Id desc", "a3 a1 a2"),
        ("order by LastInvoiceDate, Id", "a3 a1 a2"),
        ("order by Id limit 2", "a1 a2"),
        ("order by Id limit 1,1", "a2"),
        ("limit 0", ""),
    ];
    for (tail, expected) in cases {
        let lines = Tenant::new().lines(&format!("select Id from Account {tail}"));
        assert_eq!(lines.get(1..).unwrap().join(" "), expected, "{tail}");
    }
}

#[test]
fn select_lists() {
    let tenant = Tenant::new();
    tenant
        .emulator
        .behave(|behaviour| behaviour.shuffled_columns = false);
    let cases = [
        (
            "ID, account.name",
            "Account.Id,Account.Name|a1,\"Acme, Inc.\"",
        ),
        (
            "Id, Name as \"Nick\"",
            "Account.Id,Account.Nick|a1,\"Acme, Inc.\"",
        ),
        (
            "Id, BillToContact.Id, BillToContact.City",
            "Account.Id,BillToContact.Id,BillToContact.City|a1,c1,Köln",
        ),
        (
            "BillToContact.*",
            "BillToContact.Id,BillToContact.UpdatedDate,BillToContact.City|c1,2026-02-01T00:00:00+0000,Köln",
        ),
        (
            "count(Id), min(MRR), max(UpdatedDate)",
            "Account.count(id),Account.min(mrr),Account.max(updateddate)|3,-0.01,2026-02-20T23:59:59+0000",
        ),
        (
            "count(*), sum(MRR)",
            "Account.count(*),Account.sum(mrr)|3,109.49",
        ),
    ];
    for (list, expected) in cases {
        let lines = tenant.lines(&format!("select {list} from account order by Id"));
        let shown = lines.get(..2).unwrap_or_default().join("|");
        assert_eq!(shown, expected, "{list}");
    }
    let refused = [
        ("Id, Id", "Duplicate column Account.Id"),
        ("Id, Account.Id", "Duplicate column Account.Id"),
        ("Nope", "There is no field named Nope"),
        ("Nope.Id", "There is no field named Nope.Id"),
        (
            "BillToContact.Nope",
            "There is no field named BillToContact.Nope",
        ),
        (
            "Id, count(Id)",
            "A field stands next to an aggregate without group by",
        ),
        ("", "Unexpected token from"),
    ];
    for (list, cause) in refused {
        let answer = tenant.submit(&[&format!("select {list} from Account")]);
        let message = answer["message"].as_str().unwrap();
        assert!(
            message.contains(&format!("(Error = {cause}, Query")),
            "{message}"
        );
        assert!(answer["id"].is_string());
    }
    let answer = tenant.submit(&["select Id from Nothing"]);
    assert!(
        answer["message"]
            .as_str()
            .unwrap()
            .contains("There is no object named Nothing")
    );
    let answer = tenant.submit(&[&format!(
        "select Id from Account where Id = '{}'",
        "x".repeat(20_000)
    )]);
    assert!(
        answer["message"]
            .as_str()
            .unwrap()
            .contains("longer than 20000")
    );
}

#[test]
fn star_selects_what_can_be_exported() {
    let tenant = Tenant::new();
    let lines = tenant.lines("select * from Account limit 1");
    assert_eq!(lines[0].split(',').count(), 8);
    assert!(!lines[0].contains("Secret"));
    assert!(lines[0].contains("Account.Mrr"), "{}", lines[0]);
    assert_eq!(lines.len(), 2);
}

#[test]
fn a_hundred_thousand_rows_are_no_trouble() {
    let mut world = world();
    for number in 0..100_000 {
        let row = row(
            &format!("n{number:06}"),
            "2026-02-15T00:00:00Z",
            &[("Amount", Value::Number("1".to_owned()))],
            &[("Account", "a2")],
        );
        world.put("Invoice", row, time("2026-02-15T00:00:00Z"));
    }
    let tenant = Tenant::of(world);
    let query = "select Id, Amount, UpdatedDate, Account.Id from Invoice where UpdatedDate >= '2026-02-10T00:00:00Z'";
    assert_eq!(tenant.lines(query).len(), 100_001);
}
