"""dlt with its defaults, nested values kept as JSON: extract, normalize and load to Parquet files."""

import os
import sys

import dlt
from dlt.sources.helpers import requests

from zendesk_columns import NESTED


def main() -> None:
    base, token, folder = sys.argv[1:4]
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

    @dlt.resource(name="tickets", primary_key="id", write_disposition="append",
                  columns={name: {"data_type": "json"} for name in NESTED})
    def tickets():
        parameters = {"start_time": 0, "per_page": 1000}
        while True:
            answer = requests.get(
                base + "/api/v2/incremental/tickets/cursor.json", params=parameters, headers={"Authorization": "Bearer " + token}
            )
            page = answer.json()
            for ticket in page["tickets"]:
                ticket.pop("fields", None)
            yield page["tickets"]
            if page["end_of_stream"]:
                return
            parameters = {"cursor": page["after_cursor"], "per_page": 1000}

    pipeline = dlt.pipeline(
        "bench", pipelines_dir=folder + "/state", dataset_name="desk",
        destination=dlt.destinations.filesystem(bucket_url="file://" + folder + "/out"),
    )
    pipeline.run(tickets(), loader_file_format="parquet")
    print(pipeline.last_trace.last_normalize_info.row_counts["tickets"])


main()
