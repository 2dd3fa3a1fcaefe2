#!/usr/bin/env python3
"""Tickets from an emulated Zendesk account to Parquet, beside DuckDB, a careful Python pipeline and dlt.

`python3 bench/zendesk.py` builds the release binary, starts the emulator with tickets served from memory on
loopback, installs the pinned peers into target/bench, and runs each pair alternately. Medians of the paired runs go
to standard output as the table of bench/README.md. Nothing is asserted about time: machines are noisy.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import urllib.request

from run import BENCH, BINARY, ROOT, WORK, Run, median, say, spread, venv

PROJECT = """version = 1

[source.bench]
connector = "zendesk"
base_url = "{url}"
auth = {{ kind = "client_credentials", client_id = "{client_id}", client_secret = "env:BENCH_SECRET" }}

[destination.lake]
kind = "local"
path = "data"
"""


class Emulator:
    """`overlock sandbox zendesk` with tickets served from memory and without limits; ends with this process."""

    def __init__(self, rows: int):
        self.process = subprocess.Popen(
            [BINARY, "sandbox", "zendesk", "--port", "0", "--bench-rows", str(rows), "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        self.info = json.loads(self.process.stdout.readline())
        self.url, self.token = self.info["url"], self.info["access_token"]

    def page(self, query: str) -> bytes:
        request = urllib.request.Request(
            f"{self.url}/api/v2/incremental/tickets/cursor.json?per_page=1000&{query}",
            headers={"Authorization": "Bearer " + self.token},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.read()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=20)


def download(emulator: Emulator, folder: pathlib.Path) -> float:
    """The pages as they are served, one file each; returns their megabytes."""
    folder.mkdir(parents=True)
    query, number, total = "start_time=0", 0, 0
    while query:
        body = emulator.page(query)
        (folder / f"{number:05}.json").write_bytes(body)
        # Only the tail is read: a whole page as Python values would be counted as the child's memory. See Run.peak.
        tail = json.loads(b"{" + body[body.rindex(b"]") + 2 :])
        query = None if tail["end_of_stream"] else "cursor=" + urllib.request.quote(tail["after_cursor"], safe="")
        number, total = number + 1, total + len(body)
    return total / 1e6


def project(emulator: Emulator, folder: pathlib.Path, streams: list) -> pathlib.Path:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "pipelines").mkdir(parents=True)
    (folder / "overlock.toml").write_text(PROJECT.format(**emulator.info), encoding="utf-8")
    tables = "".join(f"[streams.{name}]\n" for name in streams)
    (folder / "pipelines" / "bench.toml").write_text(f'source = "bench"\ndestination = "lake"\n\n{tables}', encoding="utf-8")
    os.environ["BENCH_SECRET"] = emulator.info["client_secret"]
    return folder


def run_overlock(folder: pathlib.Path, rows: int) -> Run:
    """A first run: no state, no data. The number of rows it committed is checked."""
    shutil.rmtree(folder / "data", ignore_errors=True)
    shutil.rmtree(folder / ".overlock", ignore_errors=True)
    run = Run([BINARY, "run", "bench", "-q", "--json"], folder)
    ended = json.loads(run.out)
    for stream in ended["streams"]:
        assert stream["rows_committed"] == rows, f"overlock committed {stream['rows_committed']} of {rows}: {run.out}"
    run.calls = ended["runs"][0]["calls"]
    return run


def compare(python: pathlib.Path, scratch: pathlib.Path, theirs: pathlib.Path, ours: str) -> str:
    return Run([python, BENCH / "compare_zendesk.py", theirs, ours], scratch).out.strip()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=200_000)
    arguments.add_argument("--large", type=int, default=1_000_000, help="tickets of the second memory run; 0 leaves it out")
    arguments.add_argument("--pairs", type=int, default=5)
    arguments.add_argument("--dlt-pairs", type=int, default=3)
    arguments.add_argument("--no-build", action="store_true", help="take the release binary as it is")
    options = arguments.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    if not options.no_build:
        subprocess.run(["cargo", "build", "--release", "--locked", "--package", "overlock-cli"], cwd=ROOT, check=True)
    python = venv("zendesk", BENCH / "requirements-zendesk.txt")
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=WORK))
    try:
        measure(options, python, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def measure(options, python: pathlib.Path, scratch: pathlib.Path) -> None:
    lines, all_ours = [], []
    say(f"# emulator with {options.rows} tickets")
    emulator = Emulator(options.rows)
    try:
        megabytes = download(emulator, scratch / "pages")
        say(f"# {megabytes:.0f} MB of JSON")
        ours = project(emulator, scratch / "project", ["tickets"])
        duckdb = scratch / "duckdb.parquet"
        peers = [
            ("DuckDB 2.0, the same JSON already on disk", options.pairs,
             [python, BENCH / "peers/zendesk_duckdb.py", scratch / "pages", duckdb, "2"]),
            ("careful httpx + orjson + pyarrow", options.pairs,
             [python, BENCH / "peers/zendesk_python.py", emulator.url, emulator.token, scratch / "python.parquet"]),
            ("dlt 1.31.0, its defaults", options.dlt_pairs,
             [python, BENCH / "peers/zendesk_dlt.py", emulator.url, emulator.token, scratch / "dlt"]),
        ]
        run_overlock(ours, options.rows)
        for name, count, command in peers:
            pairs = []
            for number in range(count):
                shutil.rmtree(scratch / "dlt", ignore_errors=True)
                (scratch / "dlt").mkdir()
                mine, other = run_overlock(ours, options.rows), Run(command, scratch)
                assert int(other.out.split()[-1]) == options.rows, other.out
                pairs.append((mine, other))
                say(f"{name}, pair {number + 1}: {mine.wall:.2f} s and {other.wall:.2f} s, ratio {mine.wall / other.wall:.3f}")
            if not pairs:
                continue
            all_ours += [mine for mine, _ in pairs]
            walls = [mine.wall / other.wall for mine, other in pairs]
            lines.append(
                f"| {name} | {median(a.wall for a, _ in pairs):.2f} s | {median(b.wall for _, b in pairs):.2f} s |"
                f" **{median(walls):.3f}** ({spread(walls)}) | {median(a.cpu / b.cpu for a, b in pairs):.3f} |"
                f" {median(a.peak for a, _ in pairs):.0f} MB | {median(b.peak for _, b in pairs):.0f} MB |"
            )
        say("# comparing the output with DuckDB's")
        equal = compare(python, scratch, duckdb, f"{ours}/data/bench/tickets/*/*.parquet") if options.pairs else "not compared"
    finally:
        emulator.stop()

    large = None
    if options.large:
        say(f"# emulator with {options.large} tickets")
        emulator = Emulator(options.large)
        try:
            ours = project(emulator, scratch / "project", ["tickets"])
            runs = [run_overlock(ours, options.large) for _ in range(3)]
            both = project(emulator, scratch / "both", ["tickets", "ticket_metrics"])
            with_metrics = run_overlock(both, options.large)
            large = runs, with_metrics
        finally:
            emulator.stop()

    peaks = [run.peak for run in all_ours]
    print(
        f"\n{os.cpu_count()} cores, {options.rows} tickets, {megabytes:.0f} MB of JSON, {options.pairs} pairs each"
        f" ({options.dlt_pairs} with dlt), medians:\n"
    )
    print("| beside | overlock wall | its wall | ratio of walls (spread) | ratio of CPU | overlock peak | its peak |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print("\n".join(lines))
    print(f"\n- peak resident set: {median(peaks):.0f} MB ({min(peaks):.0f}-{max(peaks):.0f}) at {options.rows} tickets")
    print(f"- HTTP calls: {max(run.calls for run in all_ours)} for {options.rows} tickets, login included")
    if large:
        runs, with_metrics = large
        more = median(run.peak for run in runs)
        print(
            f"- peak resident set: {more:.0f} MB at {options.large} tickets ({more / median(peaks) - 1:+.0%}),"
            f" wall {median(run.wall for run in runs):.2f} s"
        )
        print(
            f"- with ticket_metrics: {with_metrics.calls} calls for {options.large} tickets and as many metrics, login"
            f" included; wall {with_metrics.wall:.2f} s, peak {with_metrics.peak:.0f} MB"
        )
    print(f"- output: {equal}", flush=True)


if __name__ == "__main__":
    main()
