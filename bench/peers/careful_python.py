"""A careful pipeline by hand: httpx with prefetch, pyarrow.csv with explicit types, Parquet with zstd.

Speaks Bulk API 2.0: create, poll, resultPages, pages, delete. Downloads the next page while the last one
is being converted.
"""

import json
import queue
import sys
import threading
import time

import httpx
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

ARROW = {
    "VARCHAR": pa.string(),
    "BOOLEAN": pa.bool_(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
}


def arrow_type(kind: str) -> pa.DataType:
    if kind.startswith("DECIMAL("):
        precision, scale = kind[8:-1].split(",")
        return pa.decimal128(int(precision), int(scale))
    return ARROW[kind]


def main() -> None:
    base, secret_file, columns_file, target, soql = sys.argv[1:6]
    with open(columns_file, encoding="utf-8") as file:
        columns = json.load(file)
    with open(secret_file, encoding="utf-8") as file:
        login = json.load(file)
    client = httpx.Client(base_url=base, timeout=120, headers={"Accept-Encoding": "identity"})
    token = client.post("/services/oauth2/token", data=login).raise_for_status().json()
    client.headers["Authorization"] = "Bearer " + token["access_token"]
    jobs = "/services/data/v62.0/jobs/query"
    job = client.post(jobs, json={"operation": "queryAll", "query": soql}).raise_for_status().json()["id"]
    while client.get(f"{jobs}/{job}").raise_for_status().json()["state"] != "JobComplete":
        time.sleep(0.5)
    urls, link = [], f"{jobs}/{job}/resultPages"
    while link:
        answer = client.get(link).raise_for_status().json()
        urls += [page["resultUrl"] for page in answer["resultPages"]]
        link = None if answer["done"] else answer.get("nextRecordsUrl") or answer.get("nextRecordUrl")

    pages: queue.Queue = queue.Queue(maxsize=1)

    def download() -> None:
        for url in urls:
            answer = client.get(url).raise_for_status()
            pages.put((answer.content, int(answer.headers["Sforce-NumberOfRecords"])))
        pages.put(None)

    threading.Thread(target=download, daemon=True).start()
    types = {name: arrow_type(kind) for name, kind in columns}
    writer, total = None, 0
    while (page := pages.get()) is not None:
        body, expected = page
        table = csv.read_csv(
            pa.py_buffer(body),
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=types, strings_can_be_null=True, null_values=[""], quoted_strings_can_be_null=True,
                true_values=["true"], false_values=["false"],
                timestamp_parsers=["%Y-%m-%dT%H:%M:%S.000Z", csv.ISO8601],
            ),
        )
        assert table.num_rows == expected, (table.num_rows, expected)
        writer = writer or pq.ParquetWriter(target, table.schema, compression="zstd", compression_level=1)
        writer.write_table(table, row_group_size=250_000)
        total += table.num_rows
    writer.close()
    client.delete(f"{jobs}/{job}")
    print(total)


main()
