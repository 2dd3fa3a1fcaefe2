"""Compares DuckDB's tickets with ours value by value, joined by id; JSON by its meaning, instants as microseconds."""

import pathlib
import sys

import duckdb

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "peers"))
from zendesk_columns import TYPES  # noqa: E402


def main() -> None:
    theirs, ours = sys.argv[1:3]
    connection = duckdb.connect()
    wanted = []
    for name, kind in TYPES.items():
        a, b = f'a."{name}"', f'b."{name}"'
        if kind == "TIMESTAMP":
            a, b = f"epoch_us({a})", f"epoch_us({b})"
        elif kind == "JSON":
            # A JSON null is a null to us.
            a, b = (f"nullif(json({side})::VARCHAR, 'null')" for side in (a, b))
        wanted.append(f"count(*) FILTER ({a} IS DISTINCT FROM {b})")

    def one(query: str) -> tuple:
        return connection.execute(query).fetchone()

    ids = [one(f"SELECT count(*), count(DISTINCT id) FROM read_parquet('{path}')") for path in (theirs, ours)]
    joined, *differing = one(
        f"""SELECT count(*), {", ".join(wanted)}
            FROM read_parquet('{theirs}') a JOIN read_parquet('{ours}') b ON a.id = b.id"""
    )
    assert ids[0] == ids[1] == (joined, joined), (ids, joined)
    wrong = {name: count for name, count in zip(TYPES, differing) if count}
    assert not wrong, f"rows that differ, by column: {wrong}"
    print(f"{joined} tickets, all {len(TYPES)} columns equal to DuckDB's")


main()
