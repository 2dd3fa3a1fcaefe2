//! Statements against a tenant's tables: rows are picked, put in order, shown.
//!
//! Without `ORDER BY` rows come in an order that means nothing, so that nobody comes to rely on one.

use std::cmp::Ordering;

use chrono_tz::Tz;
use overlock_core::Timestamp;

use super::super::cell::Cell;
use super::super::model::Row;
use super::super::world::World;
use super::bind::Binder;
use super::bound::Filter;
use super::table::{Column, UNREADABLE, columns, table};
use super::tree::{Query, Statement};

/// What a query runs in.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Scope<'a> {
    pub(in super::super) world: &'a World,
    pub(in super::super) at: Timestamp,
    /// Only rows of this entity.
    pub(in super::super) entity: Option<usize>,
    /// The zone of the tenant.
    pub(in super::super) zone: Tz,
    pub(in super::super) read_deleted: bool,
    /// Most rows that a table may give after the condition.
    pub(in super::super) input_rows: Option<u64>,
    /// Literals of instants with six digits fail the query.
    pub(in super::super) microsecond_literals_fail: bool,
}

/// Columns and rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Outcome {
    pub(in super::super) columns: Vec<String>,
    pub(in super::super) rows: Vec<Vec<Cell>>,
}

/// Runs a statement; the error is what a failed job says.
pub(in super::super) fn run(statement: &Statement, scope: Scope<'_>) -> Result<Outcome, String> {
    match statement {
        Statement::ShowTables => {
            let tables = scope
                .world
                .objects()
                .filter_map(|object| object.table.as_deref());
            let mut names: Vec<&str> = tables.chain(UNREADABLE.iter().copied()).collect();
            names.sort_unstable();
            names.dedup();
            let rows = names
                .into_iter()
                .map(|name| vec![Cell::Text(name.to_owned())]);
            Ok(Outcome {
                columns: vec!["Table".to_owned()],
                rows: rows.collect(),
            })
        }
        Statement::Describe(name) => {
            let object = table(name, scope.world)?;
            let text = |text: &str| Cell::Text(text.to_owned());
            let line = |column: Column| {
                let (kind, spelling) = (column.kind.name(), column.spelling.as_str());
                vec![text(&column.name), text(kind), text(""), text(spelling)]
            };
            let names = ["Column", "Type", "Extra", "Comment"];
            Ok(Outcome {
                columns: names.map(str::to_owned).to_vec(),
                rows: columns(object, scope.at).into_iter().map(line).collect(),
            })
        }
        Statement::Select(query) => select(query, scope),
    }
}

/// The table that a statement reads, in lower case.
pub(in super::super) fn table_name(statement: &Statement) -> Option<&str> {
    match statement {
        Statement::ShowTables => None,
        Statement::Describe(name) => Some(&name.text),
        Statement::Select(query) => Some(&query.table.text),
    }
}

fn select(query: &Query, scope: Scope<'_>) -> Result<Outcome, String> {
    let object = table(&query.table, scope.world)?;
    let zone = scope.zone;
    let binder = Binder {
        query,
        columns: columns(object, scope.at),
        zone,
    };
    let items = binder.items()?;
    let filter = query
        .filter
        .as_ref()
        .map(|filter| binder.filter(filter))
        .transpose()?;
    let mut order = Vec::new();
    for key in &query.order {
        let bound = binder.key(&key.expression, &items)?;
        order.push((bound, key.descending, key.nulls_first));
    }
    let aggregate = items.iter().any(|(_, bound)| bound.aggregates());
    if aggregate && !items.iter().all(|(_, bound)| bound.aggregates()) {
        return Err(format!(
            "{}: select list must be aggregate expressions or appear in GROUP BY clause",
            query.table.at
        ));
    }
    if query.microseconds && scope.microsecond_literals_fail {
        return Err(too_many_input_rows(&query.table.text));
    }
    // The contract names the select list; the vendor's own guides also review deleted rows by a filter alone.
    let both = items.iter().any(|(_, bound)| bound.mentions_deleted())
        || filter.as_ref().is_some_and(Filter::mentions_deleted);
    let mut rows: Vec<&Row> = scope.world.rows(&object.name, scope.at);
    rows.retain(|row| {
        (both || row.deleted == scope.read_deleted)
            && (object.deletes || !row.deleted)
            && scope.entity.is_none_or(|entity| row.entity == entity)
            && filter
                .as_ref()
                .is_none_or(|filter| filter.holds(row, zone) == Some(true))
    });
    let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    if scope.input_rows.is_some_and(|limit| count > limit) {
        return Err(too_many_input_rows(&query.table.text));
    }
    let limit = query.limit.unwrap_or(usize::MAX);
    let columns = items.iter().map(|(name, _)| name.clone()).collect();
    let line = |rows: &[&Row]| {
        items
            .iter()
            .map(|(_, bound)| bound.value(rows, zone))
            .collect()
    };
    if aggregate {
        let rows = std::iter::once(line(&rows)).take(limit).collect();
        return Ok(Outcome { columns, rows });
    }
    let mut keyed: Vec<(Vec<Cell>, &Row)> = rows
        .into_iter()
        .map(|row| {
            (
                order.iter().map(|key| key.0.value(&[row], zone)).collect(),
                row,
            )
        })
        .collect();
    keyed.sort_by_cached_key(|(_, row)| row.id.bytes().rev().collect::<Vec<u8>>());
    keyed.sort_by(|left, right| {
        let pairs = left.0.iter().zip(&right.0).zip(&order);
        pairs
            .map(|((left, right), key)| sort_order(left, right, key.1, key.2, zone))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    });
    let rows = keyed
        .into_iter()
        .take(limit)
        .map(|(_, row)| line(&[row]))
        .collect();
    Ok(Outcome { columns, rows })
}

fn too_many_input_rows(table: &str) -> String {
    format!(
        "The number of input records of table {table} exceeds the maximum limit after filtering"
    )
}

fn sort_order(
    left: &Cell,
    right: &Cell,
    descending: bool,
    nulls_first: bool,
    zone: Tz,
) -> Ordering {
    match (left.is_null(), right.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) if nulls_first => Ordering::Less,
        (false, true) if !nulls_first => Ordering::Less,
        (true, false) | (false, true) => Ordering::Greater,
        (false, false) => {
            let order = left.compare(right, zone).unwrap_or(Ordering::Equal);
            if descending { order.reverse() } else { order }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::query_bench::{NOW, tenant, time};
    use super::super::parse::parse;
    use super::super::table::UNAVAILABLE;
    use super::*;

    fn outcome(text: &str, read_deleted: bool) -> Result<Vec<String>, String> {
        let world = tenant();
        let scope = Scope {
            world: &world,
            at: time(NOW),
            entity: None,
            zone: Tz::America__Los_Angeles,
            read_deleted,
            input_rows: None,
            microsecond_literals_fail: false,
        };
        let outcome = parse(text).and_then(|statement| run(&statement, scope))?;
        let line = |row: &Vec<Cell>| row.iter().map(Cell::json).collect::<Vec<_>>().join(" ");
        Ok(outcome.rows.iter().map(line).collect())
    }

    #[test]
    fn conditions_pick_rows() {
        for (condition, expected) in [
            ("name = 'Acme'", "a1"),
            ("name = 'It''s \"Beta\", Inc'", "a2"),
            ("name LIKE 'Acme%'", "a1 a4"),
            ("name LIKE '_cme'", "a1"),
            ("name NOT LIKE 'Acme%'", "a2"),
            ("balance > 9007199254740993", "a1"),
            ("balance BETWEEN -1 AND 7.00", "a2 a4"),
            ("balance != 7", "a1 a2"),
            ("billcycleday = 31", "a1"),
            // What compares with a null is unknown, and so is its opposite.
            ("NOT billcycleday = 31", ""),
            ("billcycleday IS NULL OR billcycleday <> 31", "a2 a4"),
            ("billcycleday IS NOT NULL AND autopay", "a1"),
            ("billcycleday = null", ""),
            ("autopay = false", "a2 a4"),
            ("id IN ('a1', 'a4', 'a9')", "a1 a4"),
            ("id > 'a1' AND id < 'a4'", "a2"),
            ("lastinvoicedate = DATE '2024-11-10'", "a1"),
            (
                "updateddate >= TIMESTAMP '2024-11-11 08:00:00.000 +00:00'",
                "a2 a4",
            ),
            (
                "updateddate > TIMESTAMP '2024-11-11 09:00:00.000 +01:00'",
                "a4",
            ),
            // Without a zone a literal is meant in the tenant's: eight hours behind.
            ("updateddate < TIMESTAMP '2024-11-11 00:00:00'", "a1"),
            ("updateddate >= DATE '2024-11-11'", "a2 a4"),
            ("billtocontactid = 'c1'", "a1"),
            ("deleted = true", "a3"),
            ("a.id = 'a1'", "a1"),
        ] {
            let found = outcome(
                &format!("SELECT id FROM account a WHERE {condition} ORDER BY id"),
                false,
            );
            assert_eq!(
                found.unwrap().join(" ").replace('"', ""),
                expected,
                "{condition}"
            );
        }
    }

    #[test]
    fn deleted_rows_come_when_asked_for() {
        for (text, read_deleted, expected) in [
            ("SELECT count(*) FROM account", false, "3"),
            ("SELECT count(*) FROM account", true, "1"),
            (
                "SELECT id, deleted FROM account WHERE id > 'a1' ORDER BY 1 DESC",
                false,
                "\"a4\" false,\"a3\" true,\"a2\" false",
            ),
            (
                "SELECT id, deleted FROM account WHERE id = 'a3'",
                true,
                "\"a3\" true",
            ),
            ("SELECT id FROM emailhistory", false, "\"e1\""),
            ("SELECT id FROM emailhistory", true, ""),
        ] {
            assert_eq!(
                outcome(text, read_deleted).unwrap().join(","),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn values_keep_every_digit_and_their_zone() {
        for (text, expected) in [
            (
                "SELECT balance FROM account WHERE id = 'a1'",
                "9007199254740993.000000001",
            ),
            (
                "SELECT CAST(balance AS varchar) FROM account WHERE id = 'a2'",
                "\"-0.010\"",
            ),
            (
                "SELECT updateddate FROM account WHERE id = 'a1'",
                "\"2024-11-10T09:35:45.000-08:00\"",
            ),
            (
                "SELECT at_timezone(updateddate, 'UTC') FROM account WHERE id = 'a1'",
                "\"2024-11-10T17:35:45.000Z\"",
            ),
            (
                "SELECT max(at_timezone(updateddate, 'UTC')), min(id), count(billcycleday) FROM account",
                "\"2024-11-13T00:00:00.000Z\" \"a1\" 1",
            ),
            ("SELECT min(balance) FROM account WHERE id = 'none'", "null"),
            (
                "SELECT billcycleday FROM account ORDER BY billcycleday LIMIT 1",
                "31",
            ),
            (
                "SELECT name AS id FROM account ORDER BY id LIMIT 1",
                "\"Acme\"",
            ),
        ] {
            assert_eq!(outcome(text, false).unwrap().join(","), expected, "{text}");
        }
    }

    #[test]
    fn metadata_names_tables_and_types() {
        let tables = outcome("SHOW TABLES", false).unwrap().join(" ");
        for (name, expected) in [
            ("account", true),
            ("hidden", false),
            ("archived_invoice", true),
        ] {
            assert_eq!(tables.contains(&format!("\"{name}\"")), expected, "{name}");
        }
        let described = outcome("DESCRIBE account", false).unwrap();
        assert_eq!(
            described,
            outcome("SHOW COLUMNS FROM owl.data.account", false).unwrap()
        );
        for line in [
            "\"balance\" \"decimal(22,9)\" \"\" \"Balance\"",
            "\"billcycleday\" \"bigint\" \"\" \"BillCycleDay\"",
            "\"updateddate\" \"timestamp with time zone\" \"\" \"UpdatedDate\"",
            "\"billtocontactid\" \"varchar\" \"\" \"BillToContactId\"",
            "\"deleted\" \"boolean\" \"\" \"Deleted\"",
        ] {
            assert!(
                described.iter().any(|found| found == line),
                "{line}: {described:?}"
            );
        }
        assert!(!described.iter().any(|line| line.contains("statushistory")));
        let log = outcome("DESCRIBE emailhistory", false).unwrap();
        assert!(!log.iter().any(|line| line.contains("deleted")));
    }

    #[test]
    fn errors_are_the_engines() {
        for (text, expected) in [
            (
                "SELECT x FROM account",
                "line 1:8: Column 'x' cannot be resolved",
            ),
            (
                "SELECT b.id FROM account a",
                "line 1:8: Column 'b.id' cannot be resolved",
            ),
            (
                "SELECT deleted FROM emailhistory",
                "line 1:8: Column 'deleted' cannot be resolved",
            ),
            (
                "SELECT id FROM hidden",
                "line 1:16: Table owl.data.hidden does not exist",
            ),
            ("SELECT id FROM secret", "failed to process object secret"),
            ("SELECT id FROM archived_invoice", UNAVAILABLE),
            (
                "SELECT id FROM account WHERE updateddate > '2024-01-01'",
                "line 1:30: '>' cannot be applied to timestamp with time zone, varchar",
            ),
            (
                "SELECT id FROM account WHERE balance = '7'",
                "line 1:30: '=' cannot be applied to decimal(22,9), varchar",
            ),
            (
                "SELECT id FROM account WHERE name",
                "line 1:30: WHERE clause must evaluate to a boolean: actual type varchar",
            ),
            (
                "SELECT id, count(*) FROM account",
                "line 1:26: select list must be aggregate expressions or appear in GROUP BY clause",
            ),
            (
                "SELECT id FROM account ORDER BY 2",
                "line 1:33: ORDER BY position is not in select list",
            ),
        ] {
            assert_eq!(outcome(text, false).unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn without_an_order_rows_do_not_come_by_id() {
        let mut world = tenant();
        let like = world.row("Account", "a1", time(NOW)).unwrap().clone();
        for number in 10..40 {
            let mut row = like.clone();
            row.id = format!("b{number}");
            row.values.insert(
                "Id".to_owned(),
                super::super::super::model::Value::Text(row.id.clone()),
            );
            world.put("Account", row, time("2024-11-10T00:00:00Z"));
        }
        let scope = Scope {
            world: &world,
            at: time(NOW),
            entity: Some(0),
            zone: Tz::UTC,
            read_deleted: false,
            input_rows: None,
            microsecond_literals_fail: false,
        };
        let statement = parse("SELECT id FROM account").unwrap();
        let rows = run(&statement, scope).unwrap().rows;
        assert_eq!(
            rows.len(),
            32,
            "the account of the other entity is left out"
        );
        let texts: Vec<String> = rows.iter().map(|row| row[0].json()).collect();
        assert!(!texts.is_sorted());
    }
}
