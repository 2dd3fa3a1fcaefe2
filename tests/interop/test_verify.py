"""Shows that verify.py finds nothing in good tables, and each kind of damage.

    python test_verify.py

Good rows are inserted by plain SQL; then one thing at a time is damaged, and the findings must be the expected ones
and no others.
"""

import contextlib
import io
import json
import os
import pathlib
import sys
import tempfile

import verify
import warehouse
from harness import ROOT, environment

PLACE = '"LAB_0"."CRM"'
TABLE, COMMITS, HEADS = (PLACE + f'."{name}"' for name in ("ACCOUNT", "_OVERLOCK_COMMITS", "_OVERLOCK_HEADS"))
HEADER = {"database": "LAB_0", "schema": "CRM", "stream": "Account", "mode": "merge", "keys": ["Id"]}
HEADER |= {"version": "SystemModstamp", "deletes": "soft"}
OLD, NEW = "2026-03-01T08:00:00.000Z", "2026-03-02T09:00:00.123456Z"
LONG = "-12345678901234567890.123456789012345678"
EXTRA = '{"New__c": "1E3", "Count__c": 7}'

APPEND, REPLACE, HARD = {"mode": "append"}, {"mode": "replace"}, {"deletes": "hard"}


def row(key, stamp=NEW, name="'Acme'", deleted="FALSE", commit="c3"):
    """SQL that inserts a row; what is not given is the same in all rows."""
    return f"""INSERT INTO {TABLE} SELECT '{key}', '{stamp}'::TIMESTAMP_TZ, {LONG}, NULL, 0.1::FLOAT, TRUE,
        '2026-03-04'::DATE, '1969-12-31 23:59:59.999+00:00'::TIMESTAMP_TZ,
        PARSE_JSON('{{"a": [1, 2.50, true], "b": null}}'), {name}, NULL, {deleted}, PARSE_JSON('{EXTRA}'),
        '2026-03-03 00:00:00+00:00'::TIMESTAMP_TZ, '{commit}'"""


def version(key, stamp=NEW, name="Acme", deleted=False, current=True):
    values = {"Id": key, "SystemModstamp": stamp, "Amount__c": LONG + "000", "Real__c": "1E-1"}
    values |= {"IsWon": "true", "CloseDate": "2026-03-04", "CreatedDate": "1969-12-31T23:59:59.999+0000"}
    values |= {"JSON__c": '{"b":null,"a":[1.0,2.5,true]}', "Name": name, "Name__Text": None}
    values |= {"New__c": "1E3", "Count__c": "7", "Gone__c": None}
    return {"key": key, "stamp": stamp, "deleted": deleted, "current": current, "values": values}


def update(change, key="002"):
    return f"UPDATE {TABLE} SET {change} WHERE ID = '{key}'"


def delete(key):
    return f"DELETE FROM {TABLE} WHERE ID = '{key}'"


def aside(name, value):
    """SQL that puts one more value, as JSON, into _EXTRA of 002."""
    return update(f"_EXTRA = PARSE_JSON('{EXTRA[:-1]}, \"{name}\": {value}}}')")


def drop(column):
    return f"ALTER TABLE {TABLE} DROP COLUMN {column}"


def commit(name, parent):
    return f"INSERT INTO {COMMITS} VALUES ('crm', 'Account', 'ACCOUNT', '{name}', {parent})"


def no_commit(name):
    return f"DELETE FROM {COMMITS} WHERE ID = '{name}'"


GOOD = [
    f"""CREATE OR REPLACE TABLE {TABLE} (ID VARCHAR, SYSTEMMODSTAMP TIMESTAMP_TZ, AMOUNT__C NUMBER(38, 18),
    AMOUNT__C__TEXT VARCHAR, REAL__C FLOAT, ISWON BOOLEAN, CLOSEDATE DATE, CREATEDDATE TIMESTAMP_TZ,
    JSON__C VARIANT, NAME VARCHAR, NAME__TEXT VARCHAR, _DELETED BOOLEAN, _EXTRA VARIANT,
    _SYNCED_AT TIMESTAMP_TZ, _COMMIT_ID VARCHAR)""",
    *(
        f"CREATE OR REPLACE TABLE {book} (PIPELINE VARCHAR, STREAM VARCHAR, TABLE_NAME VARCHAR, ID VARCHAR, "
        "PARENT VARCHAR)"
        for book in (COMMITS, HEADS)
    ),
    commit("c2", "'c1'"),
    commit("c1", "NULL"),
    commit("c3", "'c2'"),
    f"INSERT INTO {COMMITS} VALUES ('crm', 'Contact', 'CONTACT', 'x1', NULL)",
    f"INSERT INTO {HEADS} VALUES ('crm', 'Account', 'ACCOUNT', 'c3', 'c2'), "
    "('crm', 'Contact', 'CONTACT', 'x1', NULL)",
    row("001A"),
    row("001a", name="NULL"),
    row("002", name="'it''s é'"),
    row("003", deleted="TRUE", commit="c1"),
]
VERSIONS = [
    version("001A", OLD, "Old", current=False),
    version("001A"),
    version("001a", name=None),
    version("002", name="it's é"),
    version("003", deleted=True),
    version("004", OLD, deleted=True, current=False),
]
OLD_ROWS = [row("001A", OLD, "'Old'", commit="c2"), row("004", OLD, deleted="TRUE", commit="c2")]
NO_AMOUNT = update("AMOUNT__C = NULL")
EXTRA_AS_TEXT = [drop("_EXTRA"), f"ALTER TABLE {TABLE} ADD COLUMN _EXTRA VARCHAR"]
EXTRA_AS_TEXT += [f"UPDATE {TABLE} SET _EXTRA = '{EXTRA}'"]
SECOND_HEAD = f"INSERT INTO {HEADS} SELECT * FROM {HEADS} WHERE STREAM = 'Account'"

# Good in spite of changes: name, header, SQL.
RIGHT = [
    ("a purged row stays as it was", {}, [row("004", OLD, deleted="TRUE")]),
    ("good", {}, []),
    ("no version", {"version": None}, []),
    ("replace", REPLACE, []),
    ("replace without the deleted", REPLACE, [delete("003")]),
    ("hard", HARD, [delete("003")]),
    ("append", APPEND, OLD_ROWS),
    ("append, no version", APPEND | {"version": None}, [*OLD_ROWS, row("001A")]),
    ("other type", {}, [NO_AMOUNT, update(f"AMOUNT__C__TEXT = '{LONG}000'")]),
    ("number in _EXTRA", {}, [update("REAL__C = NULL"), aside("Real__c", "0.1")]),
    ("text in _EXTRA", {}, [NO_AMOUNT, aside("Amount__c", f'"{LONG}"')]),
    ("_EXTRA as text", {}, EXTRA_AS_TEXT),
    ("_EXTRA as text in a VARIANT", {}, [f"UPDATE {TABLE} SET _EXTRA = TO_VARIANT('{EXTRA}')"]),
    ("without _COMMIT_ID", {}, [drop("_COMMIT_ID"), drop("_SYNCED_AT")]),
]

# Damage of rows under merge: SQL, then how the findings begin.
ROWS = [
    ([delete("001a")], ["lost 001a"]),
    ([delete("003")], ["lost 003"]),
    ([f"DROP TABLE {TABLE}"], ["lost 001A", "lost 001a", "lost 002", "lost 003"]),
    ([row("001A")], ["doubled 001A"]),
    ([row("001A", OLD, "'Old'")], ["doubled 001A", "stale 001A"]),
    ([row("009")], ["invented 009"]),
    ([row("009").replace("'009'", "NULL")], ["invented NULL"]),
    ([update(f"SYSTEMMODSTAMP = '{OLD}', NAME = 'Old'", "001A")], ["stale 001A: 2026-03-01 08:00:00"]),
    ([row("004", OLD)], ["altered 004: _DELETED is false, not true"]),
    ([update("SYSTEMMODSTAMP = '2026-03-02 09:00:00.123457Z'")], ["invented 002 at 2026-03-02 09"]),
    ([update("SYSTEMMODSTAMP = NULL")], ["lost value 002: SystemModstamp"]),
    ([update("_SYNCED_AT = NULL")], ["altered 002: _SYNCED_AT is NULL"]),
    ([update("_DELETED = FALSE", "003")], ["altered 003: _DELETED is false, not true"]),
    ([update("_DELETED = NULL", "003")], ["altered 003: _DELETED is false, not true"]),
    ([update("_DELETED = TRUE")], ["altered 002: _DELETED is true, not false"]),
]

# Damage of values.
VALUES = [
    (
        [update("AMOUNT__C = AMOUNT__C + 0.000000000000000001")],
        [f"altered 002: Amount__c is -12345678901234567890.123456789012345677, not {LONG}"],
    ),
    ([update("REAL__C = 0.10000000000000002")], ["altered 002: Real__c is 0.10000000000000002, not 1E-1"]),
    ([update("ISWON = FALSE")], ["altered 002: IsWon is false, not true"]),
    ([update("CLOSEDATE = '2026-03-03'")], ["altered 002: CloseDate is 2026-03-03, not 2026-03-04"]),
    ([update("CREATEDDATE = '1970-01-01 00:00:00Z'")], ["altered 002: CreatedDate is 1970-01-01"]),
    ([update("CREATEDDATE = NULL")], ["lost value 002: CreatedDate 1969-12-31"]),
    ([update("""JSON__C = PARSE_JSON('{"a": [1, 2.5, 1], "b": null}')""")], ["altered 002: JSON__c is {"]),
    ([update("""JSON__C = PARSE_JSON('{"a": [1, 2.5, true]}')""")], ["altered 002: JSON__c is {"]),
    ([update("NAME = 'it''s e'")], ["altered 002: Name is it's e, not it's é"]),
    ([update("NAME = 'Acme '", "001A")], ["altered 001A: Name is Acme , not Acme"]),
    ([update("NAME = ''", "001a")], ["altered 001a: Name is , not NULL"]),
    (
        [update("NAME = NULL, NAME__TEXT = 'Acme'", "001A")],
        ["lost value 001A: Name Acme", "altered 001A: Name__Text is Acme, not NULL"],
    ),
    ([NO_AMOUNT, update("AMOUNT__C__TEXT = '5'")], ["altered 002: Amount__c is 5, not -1234"]),
    ([NO_AMOUNT, aside("Amount__c", '"5"')], ["lost value 002: Amount__c -1234"]),
    ([aside("Gone__c", "0")], ["altered 002: Gone__c is in _EXTRA, not NULL"]),
    ([update("""_EXTRA = PARSE_JSON('{"Count__c": 7}')""")], ["lost value 002: New__c 1E3"]),
    ([update("""_EXTRA = PARSE_JSON('{"New__c": "1E3", "Count__c": 8}')""")], ["lost value 002: Count__c 7"]),
    ([update("_EXTRA = NULL")], ["lost value 002: New__c 1E3", "lost value 002: Count__c 7"]),
    ([update("_EXTRA = PARSE_JSON('[1]')")], ["altered 002: _EXTRA is [1], not an object"]),
]

# Damage under other headers.
OTHERS = [
    (HARD, [], ["stale 003: the source has deleted it"]),
    (REPLACE, [row("004", OLD, deleted="TRUE")], ["stale 004: the source has deleted it"]),
    (REPLACE, [delete("002")], ["lost 002"]),
    (REPLACE, [update("_DELETED = FALSE", "003")], ["altered 003: _DELETED is false, not true"]),
    (APPEND, [*OLD_ROWS, delete("002")], [f"lost 002 at {NEW}"]),
    (APPEND | HARD, [delete("003")], [f"lost 003 at {NEW}"]),
    (APPEND, [delete("001A"), *OLD_ROWS], [f"lost 001A at {NEW}"]),
    (APPEND, [*OLD_ROWS, OLD_ROWS[0]], ["doubled 001A at 2026-03-01"]),
    (APPEND, [row("002", OLD)], ["invented 002 at 2026-03-01"]),
    (APPEND, [row("009")], ["invented 009"]),
    (APPEND, [row("001A", OLD, "'Other'")], ["altered 001A: Name is Other, not Old"]),
    (APPEND, [update("SYSTEMMODSTAMP = NULL")], ["invented 002 at NULL", f"lost 002 at {NEW}"]),
]

# Damage of the books.
BOOKS = [
    ([update("_COMMIT_ID = 'x1'")], ["chain: 1 rows are of the commit x1, which is not in it"]),
    ([update("_COMMIT_ID = NULL")], ["chain: 1 rows are of the commit NULL"]),
    ([commit("c4", "'c1'")], ["chain: c4 on c1 is not under c3"]),
    ([commit("c4", "NULL")], ["chain: c4 on NULL is not under c3"]),
    ([no_commit("c2")], ["chain: c2 is not there", "chain: c1 on NULL is not under c3"]),
    ([no_commit("c1")], ["chain: c1 is not there", "chain: 1 rows are of the commit c1"]),
    ([no_commit("c3")], ["chain: c3 is not there", "chain: c1 on", "chain: c2 on", "chain: 3 rows"]),
    ([commit("c4", "'c5'"), commit("c5", "'c4'")], ["chain: c4 on c5 is not", "chain: c5 on c4 is not"]),
    ([commit("c3", "'c2'")], ["chain: c3 is there 2 times"]),
    ([no_commit("c1"), commit("c1", "'c3'")], ["chain: c3 is in a circle"]),
    ([f"UPDATE {HEADS} SET ID = 'c2' WHERE STREAM = 'Account'"], ["chain: c3 on c2 is not under c2"]),
    ([f"UPDATE {HEADS} SET ID = NULL"], ["chain: 3 commits have 0 heads"]),
    ([f"DROP TABLE {HEADS}"], ["chain: 3 commits have 0 heads"]),
    ([SECOND_HEAD], ["chain: 3 commits have 2 heads"]),
    ([f"DROP TABLE {COMMITS}"], ["chain: c3 is not there", "chain: 3 rows are of", "chain: 1 rows are of"]),
]


def main():
    port, connection = start()
    folder = pathlib.Path(tempfile.mkdtemp())
    cases = [(name, header, sql, []) for name, header, sql in RIGHT]
    cases += [(wanted[0], {}, sql, wanted) for sql, wanted in ROWS + VALUES + BOOKS]
    cases += [(f"{wanted[0]} under {header}", header, sql, wanted) for header, sql, wanted in OTHERS]
    failed = 0
    for name, header, damage, wanted in cases:
        run(connection, GOOD + damage)
        found = verify.verify(connection, write(folder, HEADER | header, VERSIONS))
        failed += tell(name, same(found, wanted), f"{found} instead of {wanted}")
    failed += tell("units", *units())
    failed += tell("command line", *command_line(connection, port, folder))
    print(f"{failed} failed" if failed else f"all {len(cases) + 2} as expected")
    sys.stdout.flush()
    # Not by the usual way: the database's library complains at length about what it leaves to the system.
    os._exit(1 if failed else 0)


def start():
    python = environment(ROOT / "target" / "interop", "snowflake")
    if pathlib.Path(sys.executable) != python:
        os.execv(python, [str(python), __file__])
    stand_in = warehouse.StandIn()
    run(stand_in.connection, ['CREATE DATABASE "LAB_0"', f"CREATE SCHEMA {PLACE}"])
    return stand_in.port, stand_in.connection

def run(connection, statements):
    with connection.cursor() as cursor:
        for sql in statements:
            cursor.execute(sql)


def write(folder, header, versions):
    path = folder / "expected.ndjson"
    lines = [json.dumps(line, ensure_ascii=False) for line in [header, *versions]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def same(found, wanted):
    """Whether each finding begins as one that is wanted, in any order."""
    left = list(wanted)
    for finding in found:
        hit = next((one for one in left if finding.startswith(one)), None)
        if hit is None:
            return False
        left.remove(hit)
    return not left


def tell(name, holds, text):
    print(f"ok: {name}" if holds else f"FAILED: {name}: {text}")
    return 0 if holds else 1


def units():
    equal = [
        ("NUMBER", "1000.000", "1E3"),
        ("FLOAT", "1e300", "1E+300"),
        ("BOOLEAN", "TRUE", "true"),
        ("TIMESTAMP_TZ", "2026-03-02 14:30:00.120000 +0530", "2026-03-02T09:00:00.12Z"),
        ("TIMESTAMP_TZ", "2026-03-02 04:00:00.12 -0500", "2026-03-02T09:00:00.120Z"),
        ("TIMESTAMP_NTZ", "2026-03-02 09:00:00", "2026-03-02T09:00:00Z"),
        ("TIMESTAMP_TZ", "2026-03-02 09:00:00.000 Z", "2026-03-02T09:00:00Z"),
        ("VARIANT", '"not json"', "not json"),
        ("VARIANT", "12345678901234567890.10", "12345678901234567890.1"),
    ]
    different = [
        ("NUMBER", "0.1", "0.1000000000000000055511151231257827"),
        ("NUMBER", "sNaN", "1"),
        ("NUMBER", "1", "one"),
        ("TEXT", "1.0", "1.00"),
        ("VARIANT", "true", "1"),
        ("VARIANT", "NaN", "1"),
        ("VARIANT", '"12"', "12"),
        ("TIMESTAMP_TZ", "2026-03-02 09:00:00.000001+00", "2026-03-02T09:00:00Z"),
        ("TIMESTAMP_TZ", "2026-03-02 09:00:00+01", "2026-03-02T09:00:00Z"),
    ]
    names = {"Amount__c": "AMOUNT__C", "a.b": "A_B", "2nd": "_2ND", "": "_", "größe": "GR__E"}
    wrong = [name for name, column in names.items() if verify.normalized(name) != column]
    for kind, one, other in equal + different:
        is_equal = verify.canonical(kind, one) == verify.canonical(kind, other)
        if is_equal != ((kind, one, other) in equal):
            wrong.append((kind, one, other))
    return not wrong, str(wrong)


def command_line(connection, port, folder):
    run(connection, GOOD)
    options = ["--host", "127.0.0.1", "--port", str(port), "--protocol", "http", "--database", "LAB_0"]
    many = VERSIONS + [version(f"1{number:02}") for number in range(60)]
    said = []
    for versions in (VERSIONS, many):
        sys.argv = ["verify.py", *options, str(write(folder, HEADER, versions))]
        with contextlib.redirect_stdout(io.StringIO()) as output:
            code = verify.main()
        said.append((code, output.getvalue().splitlines()))
    lost = [f"lost 1{number:02}" for number in range(50)]
    return said == [(0, ["ok: 4 rows"]), (1, [*lost, "and 10 more"])], str(said)


main()
