"""Writes tables as overlock commits them from the world's rows, so that the comparison can be tried on them.

    zendesk_tables.py WORLD.jsonl FOLDER [lost|doubled|bare|altered|invented]

None of overlock's code is involved. Nested values are JSON text, instants are timestamps, a value that fits no
column stands in `_extra`. The last argument names a damage, done to one row of `tickets`.
"""

import datetime
import decimal
import json
import pathlib
import sys

import pyarrow
import pyarrow.parquet


def plain(value):
    """JSON text as the API wrote it, numbers with all their digits."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{plain(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(plain, value)) + "]"
    return str(value) if isinstance(value, decimal.Decimal) else json.dumps(value)


def shape(name, value):
    """The Arrow type of a value."""
    if isinstance(value, bool):
        return pyarrow.bool_()
    if isinstance(value, int):
        return pyarrow.int64()
    if name.endswith("_at") and isinstance(value, str) and value[10:11] == "T":
        return pyarrow.timestamp("us", "UTC")
    return pyarrow.string()


def cell(kind, value):
    if pyarrow.types.is_timestamp(kind):
        return datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    return plain(value) if isinstance(value, (dict, list, decimal.Decimal)) else value


def write(folder, records, key):
    kinds = {}
    for record in records:
        for name, value in record.items():
            if value is not None:
                kinds.setdefault(name, shape(name, value))
    columns = {name: [] for name in kinds}
    extras, deleted = [], []
    for record in records:
        extra = {}
        for name, kind in kinds.items():
            value = record.get(name)
            fits = value is None or shape(name, value) == kind
            columns[name].append(cell(kind, value) if fits and value is not None else None)
            if not fits:
                extra[name] = value
        extras.append(plain(extra) if extra else None)
        deleted.append(record.get("status") == "deleted")
    fields = [pyarrow.field(name, kind) for name, kind in kinds.items()]
    fields += [pyarrow.field("_extra", pyarrow.string()), pyarrow.field("_deleted", pyarrow.bool_())]
    arrays = [pyarrow.array(columns[name], kind) for name, kind in kinds.items()]
    table = pyarrow.table([*arrays, pyarrow.array(extras, pyarrow.string()), deleted], schema=pyarrow.schema(fields))
    root = folder / "root"
    root.mkdir(parents=True)
    pyarrow.parquet.write_table(table, root / "part-0.parquet")
    version = next((name for name in ("generated_timestamp", "updated_at") if name in kinds), None)
    manifest = {
        "id": "c1", "mode": "merge", "files": [{"name": "part-0.parquet", "rows": len(records)}],
        "rows_read": len(records), "primary_key": [key], "replication_key": version,
    }
    (root / "manifest.json").write_text(json.dumps(manifest))


def main():
    world, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    damage = sys.argv[3] if len(sys.argv) > 3 else ""
    streams = {}
    with world.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line, parse_float=decimal.Decimal)
            streams.setdefault(row["stream"], []).append(row["record"])
    for name, records in streams.items():
        if name == "tickets":
            spot = len(records) // 2
            row = dict(records[spot])
            if damage == "lost":
                records.pop(spot)
            elif damage == "doubled":
                records.append(row)
            elif damage == "invented":
                records.append(row | {"id": 77_777_777})
            elif damage == "altered":
                records[spot] = row | {"custom_fields": row["custom_fields"][1:]}
            elif damage == "bare":
                records[:] = [{key: value for key, value in row.items() if key != "x_flag"} for row in records]
        write(folder / name, records, {"tags": "name", "custom_objects": "key"}.get(name, "id"))


if __name__ == "__main__":
    main()
