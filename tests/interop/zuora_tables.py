"""Writes tables as overlock commits them from the world's rows, so that the comparison can be tried on them.

    zuora_tables.py WORLD.jsonl FOLDER [lost|doubled|bare|altered|rounded|invented|undeleted]

None of overlock's code is involved. Numbers are decimals, instants are timestamps, a number that fits no column
stands in `_extra`. The last argument names a damage, done to one row of `Invoice`.
"""

import datetime
import decimal
import json
import pathlib
import sys

import pyarrow
import pyarrow.parquet

MONEY = pyarrow.decimal128(38, 9)
STREAM = "Invoice"
FINEST = decimal.Decimal("0.000000001")


def shape(values):
    """The Arrow type of a column."""
    values = [value for value in values if value is not None]
    if values and all(isinstance(value, bool) for value in values):
        return pyarrow.bool_()
    if values and all(isinstance(value, (int, decimal.Decimal)) and not isinstance(value, bool) for value in values):
        return MONEY
    texts = [value for value in values if isinstance(value, str)]
    if texts and all(len(value) >= 20 and value[10:11] == "T" and value.endswith("Z") for value in texts):
        return pyarrow.timestamp("us", "UTC")
    return pyarrow.string()


def cell(kind, value):
    if value is None:
        return None
    if pyarrow.types.is_timestamp(kind):
        return datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    if kind == MONEY:
        return decimal.Decimal(value)
    return value if isinstance(value, (str, bool)) else str(value)


def fits(kind, value):
    return kind != MONEY or value is None or decimal.Decimal(value) % FINEST == 0


def write(folder, records, stamp):
    """Records with a mark of deletion."""
    names = list(dict.fromkeys(name for record, _ in records for name in record))
    kinds = {name: shape([record.get(name) for record, _ in records]) for name in names}
    columns = {name: [] for name in names}
    extras = []
    for record, _ in records:
        extra = {name: value for name, value in record.items() if not fits(kinds[name], value)}
        for name, kind in kinds.items():
            columns[name].append(None if name in extra else cell(kind, record.get(name)))
        # As text, so that no digit is lost.
        pairs = ",".join(f"{json.dumps(name)}:{value}" for name, value in extra.items())
        extras.append("{" + pairs + "}" if extra else None)
    fields = [pyarrow.field(name, kind) for name, kind in kinds.items()]
    fields += [pyarrow.field("_extra", pyarrow.string()), pyarrow.field("_deleted", pyarrow.bool_())]
    arrays = [pyarrow.array(columns[name], kind) for name, kind in kinds.items()]
    arrays += [pyarrow.array(extras, pyarrow.string()), pyarrow.array([gone for _, gone in records], pyarrow.bool_())]
    root = folder / "root"
    root.mkdir(parents=True)
    pyarrow.parquet.write_table(pyarrow.table(arrays, schema=pyarrow.schema(fields)), root / "part-0.parquet")
    manifest = {
        "id": "c1", "mode": "merge", "files": [{"name": "part-0.parquet", "rows": len(records)}],
        "rows_read": len(records), "primary_key": ["Id"], "replication_key": stamp,
    }
    (root / "manifest.json").write_text(json.dumps(manifest))


def damaged(records, damage):
    spot = len(records) // 2
    row = dict(records[spot][0])
    if damage == "lost":
        return records[:spot] + records[spot + 1:]
    if damage == "doubled":
        return [*records, (row, False)]
    if damage == "invented":
        return [*records, (row | {"Id": "7" * 32}, False)]
    if damage == "undeleted":
        return [*records, (row | {"Id": next(name for name in GONE)}, False)]
    if damage == "bare":
        return [({name: value for name, value in record.items() if name != "Amount"}, gone) for record, gone in records]
    change = {
        "altered": {"InvoiceNumber": "another number"},
        # One unit of the last digit: a double would not notice it.
        "rounded": {"Amount": decimal.Decimal(row["Amount"]) + FINEST},
    }[damage]
    return [*records[:spot], (row | change, False), *records[spot + 1:]]


GONE = {}


def main():
    world, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    damage = sys.argv[3] if len(sys.argv) > 3 else ""
    about, streams = {}, {}
    with world.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line, parse_float=decimal.Decimal)
            if "object" in row:
                about[row["object"]] = row
                continue
            if row["stream"] == STREAM and row["deleted"]:
                GONE[row["key"]] = row["record"]
            streams.setdefault(row["stream"], []).append((row["record"], row["deleted"]))
    for name, records in streams.items():
        if name == STREAM and damage:
            # Deleted rows would lie in the way of a damage to one that is not.
            records = damaged([record for record in records if not record[1]], damage)
        write(folder / name, records, about[name]["stamp"])


if __name__ == "__main__":
    main()
