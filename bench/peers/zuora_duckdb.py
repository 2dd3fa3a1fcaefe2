"""DuckDB converts a result file of Zuora, already on disk, to Parquet: typed columns, zstd 1, the threads given."""

import json
import sys

import duckdb


def main() -> None:
    source, target, columns_file, threads = sys.argv[1:5]
    with open(columns_file, encoding="utf-8") as file:
        columns = json.load(file)
    # In the order of the file; the deleted column comes first and is Boolean.
    types = ", ".join(f"'{name}': '{kind}'" for name, kind in columns)
    connection = duckdb.connect(config={"threads": int(threads)})
    connection.execute(
        f"""COPY (SELECT * FROM read_csv('{source}', header = true, quote = '"', escape = '"', nullstr = '~\\N~',
                 timestampformat = '%Y-%m-%dT%H:%M:%S%z', columns = {{{types}}}))
            TO '{target}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE 250000)"""
    )
    print(connection.execute(f"SELECT count(*) FROM '{target}'").fetchone()[0])


main()
