"""Verifies a table that was loaded into Snowflake against all versions of its rows that the source ever had.

    python verify.py --host H --port P --protocol http --database DB EXPECTED.ndjson

Reads the table with Snowflake's own connector; none of overlock's code is involved. Exits with 0 and "ok: N
rows", or with 1 and what is lost, doubled, altered, invented, stale, or wrong in the books. From Python,
`verify(connection, path)` gives these findings as a list; open the connection with SESSION.

EXPECTED.ndjson begins with a header: {"database": "RAW", "schema": "CRM", "stream": "Account", "mode":
"merge", "keys": ["Id"], "version": "SystemModstamp", "deletes": "soft"}; or mode "append" or "replace",
version null, deletes "hard". Each further line is a version of a row: {"key": "001", "stamp":
"2026-03-02T09:00:00Z", "deleted": false, "current": true, "values": {"Id": "001", "Amount": "12.50"}},
values as text or null; `current` is what a complete sync must show now. A row without a current version is
purged: a merged table may show it as it was, a replaced one may not. Keys are compared as text. Names at the
source that become one column name are not supported.
"""

import argparse
import collections
import datetime
import decimal
import json
import re
import sys

SHOWN = 50
TEXT_LIMIT = 60
# Genuine Snowflake shows milliseconds otherwise.
SESSION = {"TIMESTAMP_TZ_OUTPUT_FORMAT": "YYYY-MM-DD HH24:MI:SS.FF6 TZHTZM"}
# Values of another type than their column's have one whose name ends so: AMOUNT__TEXT, AMOUNT__NUMBER_2.
OTHER_TYPE = "(__(BOOLEAN|NUMBER|FLOAT|TEXT|DATE|TIMESTAMP|TIME|BINARY|JSON|VARIANT)(_[0-9]+)*)?"


def normalized(name):
    """The name of a table or column for a name of the source: upper case, [A-Z_][A-Z0-9_]*."""
    name = re.sub("[^A-Za-z0-9_]", "_", name).upper()
    return name if re.match("[A-Z_]", name) else "_" + name


def quoted(*names):
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def shown(value):
    text = "NULL" if value is None else str(value)
    return text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + "..."


def moment(text):
    """An instant, to the microsecond; UTC unless the text says otherwise. None if it is no instant."""
    try:
        parsed = datetime.datetime.fromisoformat(re.sub(" ([Z+-])", r"\1", text))
        utc = datetime.timezone.utc
        return parsed.astimezone(utc) if parsed.tzinfo else parsed.replace(tzinfo=utc)
    except (TypeError, ValueError, OverflowError):
        return None


def as_json(text):
    """What JSON says, its numbers exact and never equal to booleans; other text is itself."""

    def number(digits):
        return ("number", decimal.Decimal(digits))

    try:
        # Python takes NaN and Infinity for JSON; `int` refuses them.
        return json.loads(text, parse_int=number, parse_float=number, parse_constant=int)
    except ValueError:
        return text


def canonical(kind, text):
    """A value as values of a column of that type are compared; the text itself if it does not parse."""
    try:
        if kind == "NUMBER" and decimal.Decimal(text).is_finite():
            return decimal.Decimal(text)
        if kind == "FLOAT":
            return float(text)
    except (ValueError, ArithmeticError):
        return text
    if kind.startswith("TIMESTAMP"):
        return moment(text) or text
    if kind in ("VARIANT", "OBJECT", "ARRAY"):
        return as_json(text)
    return text.lower() if kind == "BOOLEAN" else text


class Table:
    """A table as the connector reads it, every value as text."""

    def __init__(self, connection, header, names):
        self.connection, self.header = connection, header
        own = normalized(header["stream"])
        self.kinds = self.read_kinds(own)
        self.rows = self.read(own, list(self.kinds))
        # The columns where values of each name of the source may be.
        self.places = {}
        plain = {normalized(name): name for name in names}
        for name in names:
            found = [one for one in self.kinds if re.fullmatch(normalized(name) + OTHER_TYPE, one)]
            self.places[name] = [one for one in found if plain.get(one, name) == name]

    def ask(self, sql, parameters):
        with self.connection.cursor() as cursor:
            return cursor.execute(sql, parameters).fetchall()

    def read_kinds(self, table):
        """Type by column; empty if there is no such table."""
        place = quoted(self.header["database"], "INFORMATION_SCHEMA", "COLUMNS")
        condition = "TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION"
        sql = f"SELECT COLUMN_NAME, DATA_TYPE FROM {place} WHERE {condition}"
        return dict(self.ask(sql, (self.header["schema"], table)))

    def read(self, table, columns, condition="", parameters=None):
        """Rows as dictionaries; none if there is no such table."""
        if not self.read_kinds(table):
            return []
        # NULL timestamps can come as 1970 unless they are cast.
        cells = ", ".join(f"{quoted(column)}::VARCHAR" for column in columns)
        place = quoted(self.header["database"], self.header["schema"], table)
        rows = self.ask(f"SELECT {cells} FROM {place} {condition}", parameters)
        return [dict(zip(columns, row)) for row in rows]

    def cells(self, row, name):
        """Type and text wherever a row has a value for a name of the source."""
        return [(self.kinds[one], row[one]) for one in self.places[name] if row[one] is not None]

    def text(self, row, name):
        """The value of a row for a name of the source; None if the name is None."""
        return next((text for _, text in self.cells(row, name)), None) if name else None


def differences(table, row, version):
    """How a row differs from a version of it."""
    key, findings = version["key"], []
    extra = as_json(row.get("_EXTRA") or "{}")
    # A stand-in may show what was loaded as text as a JSON string.
    extra = as_json(extra) if isinstance(extra, str) else extra
    if not isinstance(extra, dict):
        return [f"altered {key}: _EXTRA is {shown(row['_EXTRA'])}, not an object"]
    for name, value in version["values"].items():
        cells, aside = table.cells(row, name), extra.get(name)
        if value is None:
            is_kept = not cells and aside is None
        elif cells:
            is_kept = any(canonical(kind, text) == canonical(kind, value) for kind, text in cells)
        elif isinstance(aside, str):
            kinds = ["TEXT"] + [table.kinds[one] for one in table.places[name]]
            is_kept = any(canonical(kind, aside) == canonical(kind, value) for kind in kinds)
        else:
            is_kept = aside is not None and aside == as_json(value)
        if not is_kept and (cells or value is None):
            found = cells[0][1] if cells else "in _EXTRA"
            findings.append(f"altered {key}: {name} is {shown(found)}, not {shown(value)}")
        elif not is_kept:
            findings.append(f"lost value {key}: {name} {shown(value)} is in no column and not in _EXTRA")
    found, wanted = (row.get("_DELETED") or "false").lower(), str(version["deleted"]).lower()
    if found != wanted:
        findings.append(f"altered {key}: _DELETED is {found}, not {wanted}")
    return findings


def is_purged(versions):
    """Whether the source does not even tell any more that a row was deleted; what was merged before stays."""
    return not any(version["current"] for version in versions)


def row_findings(table, versions):
    header, findings, seen = table.header, [], collections.Counter()
    is_append, known, current = header["mode"] == "append", collections.defaultdict(list), {}
    for version in versions:
        # A key that is not among the values stands for itself.
        row_id = tuple(version["values"].get(name, version["key"]) for name in header["keys"])
        version["at"] = moment(version["stamp"]) if header["version"] else None
        known[row_id].append(version)
        is_gone = version["deleted"] and header["deletes"] == "hard" and not is_append
        if version["current"] and not is_gone:
            current[row_id] = version
    for row in table.rows:
        row_id = tuple(table.text(row, name) for name in header["keys"])
        stamp, label = table.text(row, header["version"]), " ".join(map(shown, row_id))
        at = moment(stamp)
        same = [one for one in known[row_id] if one["at"] == at]
        seen[row_id, at if is_append else None] += 1
        # Without stamps an append may add the same row each time.
        if seen[row_id, at if is_append else None] == 2 and (header["version"] or not is_append):
            findings.append(f"doubled {label}" + (f" at {stamp}" if is_append else ""))
        if row.get("_SYNCED_AT", "none") is None:
            findings.append(f"altered {label}: _SYNCED_AT is NULL")
        if not known[row_id]:
            findings.append(f"invented {label}")
        elif not same and (stamp or is_append):
            findings.append(f"invented {label} at {shown(stamp)}")
        elif is_append:
            findings += min((differences(table, row, one) for one in same), key=len)
        elif row_id not in current and header["mode"] == "merge" and is_purged(known[row_id]):
            findings += min((differences(table, row, one) for one in same), key=len, default=[])
        elif row_id not in current:
            findings.append(f"stale {label}: the source has deleted it")
        elif at and at < current[row_id]["at"]:
            findings.append(f"stale {label}: {stamp} is older than {current[row_id]['stamp']}")
        else:
            findings += differences(table, row, current[row_id])
    for row_id, version in current.items():
        # A complete read may leave out what is deleted.
        may_be_absent = header["mode"] == "replace" and version["deleted"]
        if not seen[row_id, version["at"] if is_append else None] and not may_be_absent:
            findings.append(f"lost {version['key']}" + (f" at {version['stamp']}" if is_append else ""))
    return findings


def book_findings(table):
    """Whether the commits of the stream are one line that ends at its head, and have all rows."""
    by_stream = 'WHERE "STREAM" = %s', (table.header["stream"],)
    commits = table.read("_OVERLOCK_COMMITS", ["ID", "PARENT"], *by_stream)
    heads = [row["ID"] for row in table.read("_OVERLOCK_HEADS", ["ID"], *by_stream) if row["ID"]]
    ids = collections.Counter(row["ID"] for row in commits)
    parents = {row["ID"]: row["PARENT"] for row in commits}
    findings = [f"chain: {one} is there {count} times" for one, count in ids.items() if count > 1]
    if len(heads) != 1 and (heads or commits):
        findings.append(f"chain: {len(commits)} commits have {len(heads)} heads")
    elif heads:
        line, at = [], heads[0]
        while at in parents and at not in line:
            line.append(at)
            at = parents[at]
        if at is not None:
            wrong = "in a circle" if at in line else "not there"
            findings.append(f"chain: {at} is {wrong}, under the head {heads[0]}")
        beside = [one for one in parents if one not in line]
        findings += [f"chain: {one} on {shown(parents[one])} is not under {heads[0]}" for one in beside]
    rows_of = collections.Counter(row["_COMMIT_ID"] for row in table.rows if "_COMMIT_ID" in row)
    for one, count in rows_of.items():
        if one not in ids:
            findings.append(f"chain: {count} rows are of the commit {shown(one)}, which is not in it")
    return findings


def examine(connection, path):
    """The findings, and how many rows the table has."""
    with open(path, encoding="utf-8") as lines:
        header, *versions = [json.loads(line) for line in lines if line.strip()]
    assert header["mode"] in ("merge", "append", "replace") and header["keys"], f"cannot verify {header}"
    names = {name for version in versions for name in version["values"]}
    names |= {name for name in [*header["keys"], header["version"]] if name}
    table = Table(connection, header, names)
    return row_findings(table, versions) + book_findings(table), len(table.rows)


def verify(connection, expected_path):
    return examine(connection, expected_path)[0]


def main():
    import snowflake.connector

    parser = argparse.ArgumentParser(description="Verifies a table that was loaded into Snowflake.")
    for name in ["--host", "--port", "--protocol", "--database"]:
        parser.add_argument(name, required=True)
    parser.add_argument("expected")
    options = vars(parser.parse_args())
    expected = options.pop("expected")
    options |= {"port": int(options["port"]), "session_parameters": SESSION}
    who = {"user": "verifier", "password": "verifier", "account": "verifier"}
    with snowflake.connector.connect(**who, **options) as connection:
        findings, rows = examine(connection, expected)
    print("\n".join(findings[:SHOWN]) if findings else f"ok: {rows} rows")
    if len(findings) > SHOWN:
        print(f"and {len(findings) - SHOWN} more")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
