#!/usr/bin/env python3
"""Invoice items from an emulated Zuora tenant to Parquet, beside DuckDB and tap-zuora.

`python3 bench/zuora.py` builds the release binary, starts the emulator with invoice items made while they are sent
on loopback, installs the pinned peers into target/bench, and runs each pair alternately. Medians of the paired runs
go to standard output as the table of bench/README.md. Nothing is asserted about time: machines are noisy.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import urllib.parse
import urllib.request
import xml.etree.ElementTree

from run import BENCH, BINARY, ROOT, WORK, Run, median, say, spread, venv

OBJECT = "InvoiceItem"
NULL = "~\\N~"

PROJECT = """version = 1

[source.bench]
connector = "zuora"
base_url = "{url}"
auth = {{ kind = "oauth", client_id = "{client_id}", client_secret = "env:BENCH_SECRET" }}
# As DuckDB gets it: how fast gzip is inflated is not what is measured here.
format = "{format}"
# The emulator's jobs are complete when they are first looked at.
poll_interval = "5ms"

[destination.lake]
kind = "local"
path = "data"
"""

# Kinds of Describe and the types that the connector gives them.
KINDS = {"boolean": "BOOLEAN", "integer": "BIGINT", "date": "DATE", "datetime": "TIMESTAMPTZ", "decimal": "DECIMAL(38,9)"}


class Emulator:
    """`overlock sandbox zuora` with made-up invoice items and without limits; ends with this process."""

    def __init__(self, rows: int):
        self.process = subprocess.Popen(
            [BINARY, "sandbox", "zuora", "--port", "0", "--bench-rows", str(rows), "--scale", "1", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        self.info = json.loads(self.process.stdout.readline())
        self.url = self.info["url"]
        form = {"grant_type": "client_credentials", "client_id": self.info["client_id"], "client_secret": self.info["client_secret"]}
        answer = self.open("/oauth/token", urllib.parse.urlencode(form).encode())
        self.headers = {"Authorization": "Bearer " + json.load(answer)["access_token"]}

    def open(self, path: str, data=None, headers=None):
        request = urllib.request.Request(self.url + path, data=data, headers=headers or {})
        return urllib.request.urlopen(request, timeout=600)

    def columns(self) -> dict:
        """Name and DuckDB type of each field, by the same rules as the connector."""
        tree = xml.etree.ElementTree.parse(self.open(f"/v1/describe/{OBJECT}", headers=self.headers))
        return {field.findtext("name"): KINDS.get(field.findtext("type"), "VARCHAR") for field in tree.find("fields")}

    def download(self, columns: dict, target: pathlib.Path) -> list:
        """The file as the connector asks for it; returns the columns in its order."""
        query = {
            "name": "bench", "type": "zoqlexport", "apiVersion": "96.0",
            "query": f"select {', '.join(columns)} from {OBJECT}",
            "deleted": {"column": "Deleted", "format": "Boolean", "forceExport": True},
        }
        job = {
            "format": "csv", "version": "1.0", "name": "bench", "encrypted": "none", "useQueryLabels": True,
            "dateTimeUtc": True, "nullReplacement": NULL, "queries": [query],
        }
        headers = {**self.headers, "Content-Type": "application/json"}
        made = json.load(self.open("/v1/batch-query/", json.dumps(job).encode(), headers))
        while True:
            job = json.load(self.open(f"/v1/batch-query/jobs/{made['id']}", headers=self.headers))
            if job["status"] == "completed":
                break
        with self.open(f"/v1/file/{job['batches'][0]['fileId']}", headers=self.headers) as answer, open(target, "wb") as file:
            header = answer.readline()
            file.write(header)
            # Never the whole file in memory: see Run.peak.
            shutil.copyfileobj(answer, file, 1 << 20)
        names = [name.split(".")[1] for name in header.decode().strip().split(",")]
        return [(name, "BOOLEAN" if name == "Deleted" else columns[name]) for name in names]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=20)


def project(emulator: Emulator, folder: pathlib.Path, streams: list, form: str = "csv") -> pathlib.Path:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "pipelines").mkdir(parents=True)
    (folder / "overlock.toml").write_text(PROJECT.format(format=form, **emulator.info), encoding="utf-8")
    tables = "".join(f"[streams.{name}]\n" for name in streams)
    (folder / "pipelines" / "bench.toml").write_text(f'source = "bench"\ndestination = "lake"\n\n{tables}', encoding="utf-8")
    os.environ["BENCH_SECRET"] = emulator.info["client_secret"]
    return folder


def run_overlock(folder: pathlib.Path, rows: int | None) -> Run:
    """A first run: no state, no data. The number of rows it committed is checked."""
    shutil.rmtree(folder / "data", ignore_errors=True)
    shutil.rmtree(folder / ".overlock", ignore_errors=True)
    run = Run([BINARY, "run", "bench", "-q", "--json"], folder)
    ended = json.loads(run.out)
    for stream in ended["streams"]:
        assert rows is None or stream["rows_committed"] == rows, f"overlock committed {stream['rows_committed']} of {rows}: {run.out}"
    run.calls = ended["runs"][0]["calls"]
    return run


def many(scratch: pathlib.Path) -> str:
    """A first run and an idle run of a hundred objects: jobs and calls as the emulator counts them."""
    emulator = Emulator(1_000)
    try:
        folder = project(emulator, scratch / "hundred", [])
        found = json.loads(Run([BINARY, "discover", "bench", "--json"], folder).out)
        # One that is listed and cannot be asked for (tables have small letters).
        refused = "BookingTransaction"
        names = [stream["stream"] for stream in found if stream["stream"][0].isupper() and stream["stream"] != refused][:100]
        assert len(names) == 100, names
        folder = project(emulator, scratch / "hundred", names)
        told = []
        for _ in range(2):
            before = json.load(emulator.open("/__stats"))
            Run([BINARY, "run", "bench", "-q"], folder)
            after = json.load(emulator.open("/__stats"))
            calls = {kind: count - before["calls"].get(kind, 0) for kind, count in after["calls"].items()}
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(calls.items()) if count and kind != "other")
            told.append(f"{after['jobs'] - before['jobs']} jobs, {sum(calls.values())} calls ({kinds})")
        return f"first run {told[0]}; the next one {told[1]}"
    finally:
        emulator.stop()


def tap(rows: int, scratch: pathlib.Path) -> float:
    """CPU seconds per row of tap-zuora over AQuA on the same emulator, its output discarded."""
    say(f"# tap-zuora with {rows} rows")
    python = venv("tap-zuora", ROOT / "tests/interop/requirements-tap-zuora.txt")
    emulator = Emulator(rows)
    try:
        folder = scratch / "tap"
        folder.mkdir(exist_ok=True)
        config = {
            "api_type": "AQUA", "auth_type": "OAUTH", "username": emulator.info["client_id"],
            "password": emulator.info["client_secret"], "partner_id": "salesforce", "start_date": "2000-01-01T00:00:00Z",
        }
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        env = {**os.environ, "ZUORA_EMULATOR": emulator.url}
        command = [python, ROOT / "tests/interop/zuora_tap.py", "--config", "config.json"]
        found = subprocess.run([*command, "--discover"], cwd=folder, env=env, check=True, capture_output=True)
        catalog = json.loads(found.stdout)
        catalog["streams"] = [stream for stream in catalog["streams"] if stream["tap_stream_id"] == OBJECT]
        for entry in catalog["streams"][0]["metadata"]:
            # It takes lines for rows, and ends at a text that has a line break: it goes without that column.
            if not entry["breadcrumb"] or (entry["metadata"].get("inclusion") == "available" and entry["breadcrumb"][-1] != "Memo__c"):
                entry["metadata"]["selected"] = True
        (folder / "catalog.json").write_text(json.dumps(catalog), encoding="utf-8")
        sync = " ".join(f"'{part}'" for part in [*command, "--catalog", "catalog.json"])
        run = Run(["bash", "-o", "pipefail", "-c", f"{sync} | grep -c '\"RECORD\"'"], folder, env)
        assert int(run.out) == rows, f"the tap wrote {run.out} of {rows} rows"
        return run.cpu / rows
    finally:
        emulator.stop()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--large", type=int, default=5_000_000, help="rows of the second memory run; 0 leaves it out")
    arguments.add_argument("--pairs", type=int, default=5)
    arguments.add_argument("--tap-rows", type=int, default=20_000, help="rows for tap-zuora; 0 leaves it out")
    arguments.add_argument("--no-build", action="store_true", help="take the release binary as it is")
    options = arguments.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    if not options.no_build:
        subprocess.run(["cargo", "build", "--release", "--locked", "--package", "overlock-cli"], cwd=ROOT, check=True)
    python = venv("peers", BENCH / "requirements.txt")
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=WORK))
    try:
        measure(options, python, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def measure(options, python: pathlib.Path, scratch: pathlib.Path) -> None:
    say(f"# emulator with {options.rows} rows")
    emulator = Emulator(options.rows)
    try:
        columns_file, csv_file, parquet = scratch / "columns.json", scratch / "rows.csv", scratch / "duckdb.parquet"
        columns = emulator.download(emulator.columns(), csv_file)
        columns_file.write_text(json.dumps(columns), encoding="utf-8")
        megabytes = csv_file.stat().st_size / 1e6
        say(f"# {megabytes:.0f} MB of CSV, {len(columns)} columns")
        ours = project(emulator, scratch / "project", [OBJECT])
        duckdb = [python, BENCH / "peers/zuora_duckdb.py", csv_file, parquet, columns_file, "2"]
        run_overlock(ours, options.rows)
        pairs = []
        for number in range(options.pairs):
            mine, other = run_overlock(ours, options.rows), Run(duckdb, scratch)
            assert int(other.out.split()[-1]) == options.rows, other.out
            pairs.append((mine, other))
            say(f"DuckDB, pair {number + 1}: {mine.wall:.2f} s and {other.wall:.2f} s, ratio {mine.wall / other.wall:.2f}")
        say("# comparing the output with DuckDB's")
        # By meaning: instants as microseconds, and the deleted column under our name.
        same = [(name, "TIMESTAMP" if kind == "TIMESTAMPTZ" else kind) for name, kind in columns if name != "Deleted"]
        columns_file.write_text(json.dumps(same), encoding="utf-8")
        table = f"{ours}/data/bench/{OBJECT}/*/*.parquet"
        equal = Run([python, BENCH / "compare.py", parquet, table, columns_file], scratch).out.strip()
        packed = run_overlock(project(emulator, scratch / "packed", [OBJECT], "gzip"), options.rows)
    finally:
        emulator.stop()

    hundred = many(scratch)

    large = []
    if options.large:
        say(f"# emulator with {options.large} rows")
        emulator = Emulator(options.large)
        try:
            ours = project(emulator, scratch / "project", [OBJECT])
            for _ in range(min(3, options.pairs)):
                large.append(run_overlock(ours, options.large))
                say(f"{options.large} rows: {large[-1].wall:.2f} s, peak {large[-1].peak:.0f} MB")
        finally:
            emulator.stop()

    mine = [ours for ours, _ in pairs]
    walls = [a.wall / b.wall for a, b in pairs]
    one = median(run.cpu for run in mine) / options.rows
    peaks = [run.peak for run in mine]
    print(
        f"\n{os.cpu_count()} cores, {options.rows} rows x {len(columns)} fields, {megabytes:.0f} MB of CSV,"
        f" {options.pairs} pairs, medians:\n"
    )
    print("| beside | overlock wall | its wall | ratio of walls (spread) | ratio of CPU | overlock peak | its peak |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print(
        f"| DuckDB 2.0, the same CSV already on disk | {median(a.wall for a, _ in pairs):.2f} s | {median(b.wall for _, b in pairs):.2f} s |"
        f" **{median(walls):.2f}** ({spread(walls)}) | {median(a.cpu / b.cpu for a, b in pairs):.2f} |"
        f" {median(peaks):.0f} MB | {median(b.peak for _, b in pairs):.0f} MB |"
    )
    print(f"\n- peak resident set: {median(peaks):.0f} MB ({min(peaks):.0f}-{max(peaks):.0f}) at {options.rows} rows")
    if large:
        more, wall = median(run.peak for run in large), median(run.wall for run in large)
        print(f"- peak resident set: {more:.0f} MB at {options.large} rows ({more / median(peaks) - 1:+.0%}), wall {wall:.2f} s")
    print(f"- HTTP calls: {max(run.calls for run in mine)} for {options.rows} rows, login and description included")
    print(f"- a hundred objects: {hundred}")
    print(f"- as gzip files: {packed.wall:.2f} s, {packed.cpu:.2f} CPU s, peak {packed.peak:.0f} MB (one run)")
    print(f"- CPU: {one * 1e6:.2f} s per million rows")
    print(f"- output: {equal}", flush=True)
    if options.tap_rows:
        theirs = tap(options.tap_rows, scratch)
        print(
            f"- tap-zuora 1.6.1, output discarded: {theirs * 1e6:.0f} CPU s per million rows"
            f" (measured at {options.tap_rows}): {theirs / one:.0f} times ours"
        )


if __name__ == "__main__":
    main()
