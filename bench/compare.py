"""Compares two sets of Parquet files value by value, row by row, joined by Id; instants as microseconds."""

import json
import sys

import duckdb


def main() -> None:
    theirs, ours, columns_file = sys.argv[1:4]
    with open(columns_file, encoding="utf-8") as file:
        columns = json.load(file)
    wanted = []
    for name, kind in columns:
        a, b = f'a."{name}"', f'b."{name}"'
        if kind == "TIMESTAMP":
            a, b = f"epoch_us({a})", f"epoch_us({b})"
        wanted.append(f'count(*) FILTER ({a} IS DISTINCT FROM {b})')
    connection = duckdb.connect()

    def one(query: str) -> tuple:
        return connection.execute(query).fetchone()

    ids = [one(f"SELECT count(*), count(DISTINCT Id) FROM read_parquet('{path}')") for path in (theirs, ours)]
    joined, extra, *differing = one(
        f"""SELECT count(*), count(b._extra), {", ".join(wanted)}
            FROM read_parquet('{theirs}') a JOIN read_parquet('{ours}') b ON a."Id" = b."Id" """
    )
    assert ids[0] == ids[1] == (joined, joined), (ids, joined)
    wrong = {name: count for (name, _), count in zip(columns, differing) if count}
    assert not wrong and extra == 0, f"rows that differ, by column: {wrong}; with _extra: {extra}"
    print(f"{joined} rows, all {len(columns)} columns equal to DuckDB's, nothing in _extra")


main()
