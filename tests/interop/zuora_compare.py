"""Compares what a reader of the emulated tenant has with what the tenant's world says.

    zuora_compare.py WORLD.jsonl --client aqua|rest ROWS.jsonl
    zuora_compare.py WORLD.jsonl --data DATA/SOURCE [--client aqua|rest ROWS.jsonl]

The world's rows come from the emulator's own memory, not from an answer. Every row must be there once, none may be
invented, and no value may differ; only what the client itself is known to do is forgiven. Overlock's side is read
by pyarrow from the committed folders, following their manifests; there every field that can be exported must be an
equal column or in `_extra`, numbers to the last digit, and every row of the client must be there too. Exits with 1
and says what differs.
"""

import argparse
import datetime
import decimal
import json
import pathlib
import sys

SHOWN = 12

# Columns that change without a new stamp, as the vendor documents: no increment sees them.
UNSTAMPED = {
    "RatePlanCharge": {
        "ChargedThroughDate", "ProcessedThroughDate", "AccountingCode", "RevRecCode", "RevRecTriggerCondition",
        "RevenueRecognitionRuleName",
    },
    "InvoiceItem": {"ProductName", "ProductDescription"},
    "InvoiceAdjustment": {"CustomerName", "CustomerNumber"},
    "InvoiceItemAdjustment": {"CustomerName", "CustomerNumber"},
}


class Stream:
    """An object of the world: what can be read of it, and its rows by id."""

    def __init__(self, about):
        self.name = about["object"]
        self.fields = about["fields"] + about["relations"]
        self.stamp, self.deletes = about["stamp"], about["deletes"]
        self.readable = {"aqua": about["aqua"], "rest": about["data_source"]}
        self.rows, self.deleted = {}, {}


def load_world(path):
    streams = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line, parse_float=decimal.Decimal)
            if "object" in row:
                streams[row["object"]] = Stream(row)
            else:
                stream = streams[row["stream"]]
                (stream.deleted if row["deleted"] else stream.rows)[row["key"]] = row["record"]
    return streams


def load_client(path):
    """Rows by stream and id, the newest of each: it stands last. And the streams it has asked for."""
    streams = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            message = json.loads(line, parse_float=decimal.Decimal)
            if message["type"] == "SCHEMA":
                streams.setdefault(message["stream"], {})
            elif message["type"] == "RECORD":
                streams[message["stream"]][message["record"]["Id"]] = message["record"]
    return streams


def instant(value):
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc)
    return datetime.datetime.fromisoformat(str(value).replace("Z", "+00:00")).astimezone(datetime.timezone.utc)


def is_instant(value):
    return isinstance(value, datetime.datetime) or (
        isinstance(value, str) and len(value) >= 19 and value[4:5] == "-" and value[10:11] == "T"
    )


def same(theirs, world, loose):
    """Whether a value tells what the world says. `loose`: the client's, whose numbers went through a double."""
    # Files write an empty text as they write nothing.
    if theirs in (None, "") or world in (None, ""):
        return theirs in (None, "") and world in (None, "")
    if isinstance(world, bool) or isinstance(theirs, bool):
        return isinstance(world, bool) and str(theirs).lower() == str(world).lower()
    if isinstance(world, (int, decimal.Decimal)):
        try:
            number = decimal.Decimal(str(theirs))
        except decimal.InvalidOperation:
            return False
        return number == world or (loose and float(number) == float(world))
    if isinstance(theirs, datetime.date) and not isinstance(theirs, datetime.datetime):
        theirs = theirs.isoformat()
    if is_instant(theirs) and is_instant(world):
        return instant(theirs) == instant(world)
    if loose and is_instant(theirs) and theirs[10:] == "T00:00:00.000000Z":
        # The client shows a day with a midnight.
        theirs = theirs if is_instant(world) else theirs[:10]
    if isinstance(theirs, str) and isinstance(world, str):
        return theirs.replace("\0", "") == world.replace("\0", "")
    return theirs == world


def short(value):
    text = repr(value)
    return text if len(text) <= 70 else text[:67] + "..."


def against_world(stream, theirs, increment):
    """Problems of one stream of the client."""
    unseen = UNSTAMPED.get(stream.name, set()) if increment else set()
    problems = []
    for key in sorted(set(stream.rows) - set(theirs)):
        # The client leaves out what has no stamp to compare its bookmark with.
        if stream.stamp is None or stream.rows[key].get(stream.stamp) is not None:
            problems.append(f"{stream.name}: {key} is lost")
    for key, row in sorted(theirs.items()):
        deleted = row.get("Deleted") is True
        world = (stream.deleted if deleted else stream.rows).get(key)
        if world is None:
            # Rows of objects without deletes vanish without a word.
            if stream.deletes or not increment:
                problems.append(f"{stream.name}: {key} is invented")
            continue
        for field, value in row.items():
            if field == "Deleted" or field in unseen:
                continue
            if field not in world:
                problems.append(f"{stream.name}: {key}.{field} is invented")
            elif not same(value, world[field], loose=True):
                problems.append(f"{stream.name}: {key}.{field} is {short(value)}, the world says {short(world[field])}")
    return problems


def committed(folder):
    """Rows of one stream that overlock has committed, by id, and the problems of reading them."""
    from compare import Table

    table = Table(folder)
    problems = [f"{folder.name}: {key} is there twice" for key in table.doubled]
    rows = {}
    for key, (_, row) in table.rows.items():
        rows[row["Id"] if row.get("Id") else key] = row
    return rows, problems


def against_overlock(stream, rows, increment):
    """Every live row and every field of it must be in overlock's table, and nothing that never was."""
    unseen = UNSTAMPED.get(stream.name, set()) if increment else set()
    problems = []
    for key, world in stream.rows.items():
        own = rows.get(key)
        if own is None:
            problems.append(f"{stream.name}: {key} is lost")
            continue
        if own.get("_deleted"):
            problems.append(f"{stream.name}: {key} is marked as deleted, and is not")
        for field in stream.fields:
            value = world.get(field)
            if field in unseen:
                continue
            if field not in own:
                if value is not None:
                    problems.append(f"{stream.name}: {key}.{field} is in no column and not in _extra")
            elif not same(own[field], value, loose=False):
                problems.append(f"{stream.name}: {key}.{field} is {short(own[field])}, the world says {short(value)}")
    for key in sorted(set(rows) - set(stream.rows)):
        if key in stream.deleted:
            if not rows[key].get("_deleted"):
                problems.append(f"{stream.name}: {key} is deleted, and not marked so")
        elif not increment or (stream.deletes and not rows[key].get("_deleted")):
            problems.append(f"{stream.name}: {key} is invented")
    return problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("world", type=pathlib.Path)
    parser.add_argument("--client", nargs=2, metavar=("MODE", "ROWS"))
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--increment", action="store_true", help="forgive changes that no increment can see")
    parser.add_argument("--only", default="", help="streams, separated by commas")
    arguments = parser.parse_args()
    world = load_world(arguments.world)
    only = set(filter(None, arguments.only.split(",")))
    mode, path = arguments.client or (None, None)
    client = load_client(path) if path else {}
    problems, rows, streams = [], 0, 0
    for name in sorted(set(client) | {name for name in world if mode and world[name].readable[mode]}):
        if only and name not in only:
            continue
        if name not in client:
            problems.append(f"{name}: the client has not found the stream")
            continue
        theirs = client[name]
        rows, streams = rows + len(theirs), streams + 1
        problems += against_world(world[name], theirs, arguments.increment)
    if arguments.data:
        for name in sorted(only or {name for name in world if world[name].readable["aqua"]}):
            folder = arguments.data / name
            if not folder.is_dir():
                if world[name].rows:
                    problems.append(f"{name}: the stream is missing")
                continue
            own, found = committed(folder)
            rows, streams = rows + len(own), streams + 1
            problems += found + against_overlock(world[name], own, arguments.increment)
            # The client's rows are the world's, which has just been shown: only their ids are left.
            for key in sorted(set(client.get(name, {})) - set(own)):
                if not client[name][key].get("Deleted"):
                    problems.append(f"{name}: {key} of the client is lost")
    for problem in problems[:SHOWN]:
        print(problem)
    print(f"{streams} streams, {rows} rows, {len(problems)} problems")
    sys.exit(1 if problems or not rows else 0)


if __name__ == "__main__":
    main()
