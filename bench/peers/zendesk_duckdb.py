"""DuckDB converts pages of JSON, already on disk, to Parquet with zstd: the engine limit without HTTP."""

import sys

import duckdb

from zendesk_columns import TYPES


def main() -> None:
    pages, target, threads = sys.argv[1:4]
    ticket = ", ".join(f'"{name}" {kind}' for name, kind in TYPES.items())
    chosen = ", ".join(f't."{name}"' + (f'::VARCHAR AS "{name}"' if kind == "JSON" else "") for name, kind in TYPES.items())
    connection = duckdb.connect(config={"threads": int(threads)})
    connection.execute(
        f"""COPY (SELECT {chosen} FROM (
                SELECT unnest(tickets) AS t FROM read_json('{pages}/*.json', format = 'unstructured',
                    columns = {{tickets: 'STRUCT({ticket})[]'}}, maximum_object_size = 67108864)))
            TO '{target}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE 250000)"""
    )
    print(connection.execute(f"SELECT count(*) FROM '{target}'").fetchone()[0])


main()
