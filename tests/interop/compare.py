"""Compares the rows that a public client read with the rows that overlock committed, or with another client's.

    compare.py CLIENT.jsonl --data DATA/SOURCE [--only STREAM,...]
    compare.py CLIENT.jsonl --rows OTHER.jsonl

Overlock's side is read by pyarrow from the committed folders, following their manifests from `root`; none
of overlock's own code is involved. Every row of the client must be there once, with the same values. Only
what the client itself is known to change is forgiven: its numbers are floats, also those of columns of any
type, its dates carry a midnight, it drops NUL and turns every line end inside a value into LF. Exits with 1
and says what differs.
"""

import argparse
import datetime
import decimal
import json
import pathlib
import sys

TEXT_LIMIT = 60
SHOWN = 10


class Table:
    """The committed rows of one stream by key, newest version of each."""

    def __init__(self, folder):
        import pyarrow.parquet as parquet

        self.rows, self.types, self.doubled, self.commits = {}, {}, [], 0
        parent, seen = "root", set()
        while (folder / parent / "manifest.json").exists():
            manifest = json.loads((folder / parent / "manifest.json").read_text())
            assert manifest["id"] not in seen, f"{folder}: commits in a circle"
            seen.add(manifest["id"])
            self.commits += 1
            versions = set()
            if manifest["mode"] == "replace":
                self.rows = {}
            counted = 0
            for part in manifest["files"]:
                table = parquet.read_table(folder / parent / part["name"])
                assert table.num_rows == part["rows"], f"{folder}: rows of {part['name']}"
                counted += table.num_rows
                self.types.update((field.name, field.type) for field in table.schema)
                for row in table.to_pylist():
                    # Values that fit no column, such as more digits than the scale has, are kept aside.
                    if row.get("_extra"):
                        row |= json.loads(row["_extra"], parse_float=decimal.Decimal)
                    self.take(manifest, row, versions)
            assert counted == manifest["rows_read"], f"{folder}: rows_read of {manifest['id']}"
            parent = manifest["id"]

    def take(self, manifest, row, versions):
        key = tuple(row[name] for name in manifest["primary_key"])
        order = row.get(manifest["replication_key"]) if manifest["replication_key"] else None
        if key and order is not None and (key, order) in versions:
            self.doubled.append((key, order))
        versions.add((key, order))
        key = key or len(self.rows)
        before = self.rows.get(key)
        if before is None or order is None or before[0] is None or order >= before[0]:
            self.rows[key] = (order, row)


def client_rows(path, only):
    """Rows of a Singer message file or of simple_client.py, by stream."""
    streams, keys = {}, {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            message = json.loads(line, parse_float=decimal.Decimal)
            kind = message.get("type", "RECORD")
            if kind == "SCHEMA":
                keys[message["stream"]] = message["key_properties"]
                streams.setdefault(message["stream"], [])
            elif kind == "RECORD":
                streams.setdefault(message["stream"], []).append(message["record"])
    wanted = {name: rows for name, rows in streams.items() if not only or name in only}
    return wanted, keys


def instant(value):
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc)
    text = str(value).replace("Z", "+00:00")
    if text[-5] in "+-" and text[-3] != ":":
        text = f"{text[:-2]}:{text[-2:]}"
    return datetime.datetime.fromisoformat(text).astimezone(datetime.timezone.utc)


def same(theirs, ours):
    """Whether the client's value (JSON) tells the same as ours (Arrow, or another client's JSON)."""
    if theirs is None or ours is None:
        return theirs is None and ours is None
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return str(theirs).lower() == str(ours).lower()
    if isinstance(ours, (int, float, decimal.Decimal)):
        exact = decimal.Decimal(repr(ours) if isinstance(ours, float) else ours)
        try:
            number = decimal.Decimal(theirs)
        except (decimal.InvalidOperation, TypeError):
            return False
        # The client went through a double; ours did not.
        return number == exact or float(number) == float(exact)
    if isinstance(ours, datetime.datetime):
        return instant(theirs) == instant(ours)
    if isinstance(ours, datetime.date):
        return str(theirs)[:10] == ours.isoformat() and str(theirs)[10:] in ("", "T00:00:00.000000Z")
    if isinstance(ours, str) and isinstance(theirs, (int, decimal.Decimal)):
        # The client makes numbers of values of any type: `007` becomes 7.0, `true` becomes 1.0.
        word = {"true": "1", "false": "0"}.get(ours, ours)
        try:
            return float(theirs) == float(word)
        except ValueError:
            return False
    if theirs == ours or (isinstance(theirs, str) and plain(theirs) == plain(ours)):
        return True
    try:
        # Two clients spell the same instant or day differently.
        return len(theirs) >= 10 and theirs[4] == "-" and instant(theirs) == instant(ours)
    except (ValueError, TypeError, IndexError, AttributeError):
        return False


def plain(text):
    return text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")


def short(value):
    text = repr(value)
    return text if len(text) <= TEXT_LIMIT else text[: TEXT_LIMIT - 3] + "..."


def compare_stream(name, theirs, key_names, ours, doubled, columns, ignored):
    """Problems of one stream as text."""
    problems = [f"{name}: {key} is there twice" for key in doubled]
    seen = {}
    for row in theirs:
        # A client may read a row again; its newest version counts.
        seen[tuple(row.get(key) for key in key_names)] = row
    for key, row in seen.items():
        own = ours.get(key)
        if own is None:
            problems.append(f"{name}: {key} is lost")
            continue
        for column, value in row.items():
            if column in ignored or f"{name}.{column}" in ignored:
                continue
            if isinstance(value, dict) or column not in columns:
                if isinstance(value, dict) or value is None:
                    continue  # A compound: its parts are compared.
                problems.append(f"{name}: column {column} is missing")
            elif not same(value, own.get(column)):
                problems.append(
                    f"{name}: {key}.{column} is {short(own.get(column))}, the client says {short(value)}"
                )
    return len(seen), problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("client", type=pathlib.Path)
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--rows", type=pathlib.Path)
    parser.add_argument("--only", default="", help="streams, separated by commas")
    parser.add_argument("--ignore", default="", help="columns (or STREAM.COLUMN) that no client can agree on")
    arguments = parser.parse_args()
    only = set(filter(None, arguments.only.split(",")))
    ignored = set(arguments.ignore.split(","))
    streams, keys = client_rows(arguments.client, only)
    others, _ = client_rows(arguments.rows, only) if arguments.rows else ({}, {})
    problems, total, extra = [], 0, 0
    for name, theirs in sorted(streams.items()):
        key_names = keys.get(name) or ["Id"]
        if arguments.data:
            if not (arguments.data / name).is_dir():
                problems += [f"{name}: the stream is missing"] if theirs else []
                continue
            table = Table(arguments.data / name)
            ours = {key: row for key, (_, row) in table.rows.items()}
            doubled, columns = table.doubled, set(table.types)
            if not table.types and theirs:
                columns = set(theirs[0])
        else:
            if name not in others:
                continue
            ours = {tuple(row[key] for key in key_names): row for row in others[name]}
            doubled, columns = [], {column for row in others[name] for column in row}
        count, found = compare_stream(name, theirs, key_names, ours, doubled, columns, ignored)
        total += count
        extra += len(ours) - len({tuple(row.get(key) for key in key_names) for row in theirs} & set(ours))
        problems += found
    for problem in problems[:SHOWN]:
        print(problem)
    print(
        f"{len(streams)} streams, {total} rows of the client, {extra} more of ours, "
        f"{len(problems)} problems"
    )
    sys.exit(1 if problems or not total else 0)


if __name__ == "__main__":
    main()
