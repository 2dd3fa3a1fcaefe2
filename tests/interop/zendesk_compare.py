"""Compares what a reader of the emulated account has with what the account's world says.

    zendesk_compare.py WORLD.jsonl --client tap|zenpy ROWS.jsonl
    zendesk_compare.py WORLD.jsonl --data DATA/SOURCE [--client tap|zenpy ROWS.jsonl]

The world's rows come from the emulator's own memory, not from an answer. Every row must be there once, none
may be invented, and no value may differ; only what the client itself is known to do is forgiven. Overlock's
side is read by pyarrow from the committed folders, following their manifests; there every field of the API
must be an equal column or in `_extra`. Exits with 1 and says what differs.
"""

import argparse
import datetime
import decimal
import json
import pathlib
import sys

SHOWN = 12

# Rows that a client is known to leave out, by a test on the world's record.
SKIPPED = {
    # It asks for events of type `Comment` alone.
    ("tap", "ticket_comments"): lambda record: record["type"] == "VoiceComment",
    # Without a time of update there is nothing to compare its bookmark with.
    ("tap", "group_memberships"): lambda record: record["updated_at"] is None,
    # The list knows neither deleted nor archived ones; only tests of these clients read them by id.
}
# Fields that a client changes or adds.
IGNORED = {
    # The client builds comments from audits and gives them what stands there.
    ("tap", "ticket_comments"): {"ticket_id", "via", "metadata"},
    # Ours takes the ticket from the parent, where the API says nothing or null.
    ("overlock", "ticket_comments"): {"ticket_id"},
    # The exact duplicate of custom_fields.
    ("overlock", "tickets"): {"fields"},
    # A count that moves with each ticket; both read it, at different instants.
    ("zenpy", "tags"): {"count"},
}
# Streams whose key is not `id`.
KEYS = {"tags": "name", "custom_objects": "key"}
# Streams of which Zendesk does not tell what is deleted: the last version stays in overlock's table.
KEPT = {"deleted_tickets", "satisfaction_ratings", "ticket_audits", "ticket_comments", "ticket_metrics", "user_identities", "articles"}
# Streams that overlock shows under another name or shape, or not at all.
NOT_IN_OVERLOCK = {"account_settings", "custom_objects"}


def instant(value):
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc)
    return datetime.datetime.fromisoformat(str(value).replace("Z", "+00:00")).astimezone(datetime.timezone.utc)


def is_instant(text):
    return isinstance(text, str) and len(text) >= 19 and text[4:5] == "-" and text[10:11] == "T"


def same(theirs, ours, loose):
    """Whether two values tell the same. `loose`: a client that leaves members out and changes types."""
    if isinstance(theirs, str) and isinstance(ours, (dict, list)):
        # JSON text in a column.
        try:
            theirs = json.loads(theirs, parse_float=decimal.Decimal)
        except ValueError:
            # Where its schema wants text, a client writes Python's own spelling.
            return loose and theirs == str(ours)
    if isinstance(theirs, str) and isinstance(ours, str) and theirs.startswith('"') and not loose:
        # A column of JSON that holds a plain text.
        theirs = json.loads(theirs)
    if isinstance(theirs, datetime.date) and not isinstance(theirs, datetime.datetime):
        theirs = theirs.isoformat()
    if isinstance(theirs, dict) and isinstance(ours, dict):
        if not loose and set(theirs) != set(ours):
            return False
        return all(same(value, ours.get(spelled(name, ours)), loose) for name, value in theirs.items())
    if isinstance(theirs, list) and isinstance(ours, list):
        return len(theirs) == len(ours) and all(same(a, b, loose) for a, b in zip(theirs, ours))
    if theirs is None or ours is None:
        return theirs is None and ours is None
    if isinstance(theirs, bool) or isinstance(ours, bool):
        return str(theirs).lower() == str(ours).lower()
    if isinstance(theirs, datetime.datetime) or (is_instant(theirs) and is_instant(ours)):
        try:
            return instant(theirs) == instant(ours)
        except ValueError:
            return theirs == ours
    numbers = (int, float, decimal.Decimal)
    if isinstance(theirs, numbers) and isinstance(ours, numbers):
        exact = decimal.Decimal(str(theirs)) == decimal.Decimal(str(ours))
        return exact or (loose and float(theirs) == float(ours))
    if isinstance(theirs, str) and isinstance(ours, numbers):
        return theirs == str(ours)
    return theirs == ours


def spelled(name, record):
    """The API's name for a member: one client calls `from`, a word of its language, `from_`."""
    return name.rstrip("_") if name not in record else name


def short(value):
    text = repr(value)
    return text if len(text) <= 70 else text[:67] + "..."


def load_world(path):
    """Records by stream and key, and those whose last change no increment can see."""
    world, silent = {}, set()
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line, parse_float=decimal.Decimal)
            world.setdefault(row["stream"], {})[row["key"]] = row["record"]
            if row["silent"]:
                silent.add((row["stream"], row["key"]))
    return world, silent


def load_client(name, path):
    """Rows by stream and key, the newest of each: it stands last."""
    streams = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            message = json.loads(line, parse_float=decimal.Decimal)
            if message.get("type", "RECORD") != "RECORD":
                continue
            stream, record = message["stream"], message["record"]
            for event in record.get("events") or [] if name == "tap" else []:
                if event.get("type") == "Comment":
                    # The client writes what it adds to comments into the audit as well.
                    for added in ("created_at", "via", "metadata", "ticket_id"):
                        event.pop(added, None)
            key = str(record[KEYS.get(stream, "id")])
            rows = streams.setdefault(stream, {})
            known = rows.get(key, {}).get("generated_timestamp")
            if known is None or record.get("generated_timestamp", known) >= known:
                rows[key] = record
    return streams


def against_world(name, stream, theirs, ours):
    """Problems of one stream of a client."""
    skipped = SKIPPED.get((name, stream), lambda record: False)
    ignored = IGNORED.get((name, stream), set())
    problems = []
    for key in sorted(set(ours) - set(theirs)):
        if not skipped(ours[key]):
            problems.append(f"{stream}: {key} is lost")
    for key in sorted(set(theirs) - set(ours)):
        problems.append(f"{stream}: {key} is invented")
    for key in sorted(set(theirs) & set(ours)):
        for field, value in theirs[key].items():
            if field in ignored or field.startswith("_"):
                continue
            # The client knows fields by names of its own; what the API does not send it shows as null.
            wanted = ours[key].get(field)
            if not same(value, wanted, loose=True):
                problems.append(f"{stream}: {key}.{field} is {short(value)}, the world says {short(wanted)}")
    return problems


def committed(folder):
    """Rows of one stream that overlock has committed, by key, and the problems of reading them."""
    from compare import Table

    table = Table(folder)
    problems = [f"{folder.name}: {key} is there twice" for key in table.doubled]
    rows = {}
    for key, (_, row) in table.rows.items():
        if row.get("_deleted") and folder.name not in ("tickets", "users", "organizations", "groups", "brands", "ticket_metric_events"):
            continue
        rows[str(key[0] if isinstance(key, tuple) else key)] = row
    return rows, problems


def against_overlock(stream, world, rows, silent):
    """Every row and every field of the API must be in overlock's table; of `silent` rows only the row."""
    ignored = IGNORED.get(("overlock", stream), set())
    problems = []
    for key, record in world.items():
        own = rows.get(key)
        if own is None:
            problems.append(f"{stream}: {key} is lost")
            continue
        if (stream, key) in silent:
            continue
        for field, value in record.items():
            if field in ignored:
                continue
            if field not in own:
                if value is not None:
                    problems.append(f"{stream}: {key}.{field} is in no column and not in _extra")
            elif not same(own[field], value, loose=False):
                problems.append(f"{stream}: {key}.{field} is {short(own[field])}, the world says {short(value)}")
    if stream not in KEPT:
        problems += [f"{stream}: {key} is invented" for key in sorted(set(rows) - set(world))]
    return problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("world", type=pathlib.Path)
    parser.add_argument("--client", nargs=2, metavar=("NAME", "ROWS"))
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--increment", action="store_true", help="forgive changes that no increment can see")
    parser.add_argument("--only", default="", help="streams, separated by commas")
    arguments = parser.parse_args()
    world, silent = load_world(arguments.world)
    only = set(filter(None, arguments.only.split(",")))
    problems, rows, streams = [], 0, 0
    client = load_client(*arguments.client) if arguments.client else {}
    for stream, theirs in sorted(client.items()):
        if only and stream not in only:
            continue
        rows, streams = rows + len(theirs), streams + 1
        problems += against_world(arguments.client[0], stream, theirs, world.get(stream, {}))
    if arguments.data:
        for stream in sorted(only or set(world) - NOT_IN_OVERLOCK):
            folder = arguments.data / stream
            if not folder.is_dir():
                problems.append(f"{stream}: the stream is missing")
                continue
            own, found = committed(folder)
            rows, streams = rows + len(own), streams + 1
            unseen = silent if arguments.increment else set()
            problems += found + against_overlock(stream, world.get(stream, {}), own, unseen)
            # The client's rows are the world's, which has just been shown: only their keys are left.
            for key in sorted(set(client.get(stream, {})) - set(own)):
                problems.append(f"{stream}: {key} of {arguments.client[0]} is lost")
    for problem in problems[:SHOWN]:
        print(problem)
    print(f"{streams} streams, {rows} rows, {len(problems)} problems")
    sys.exit(1 if problems or not rows else 0)


if __name__ == "__main__":
    main()
