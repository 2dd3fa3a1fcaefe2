#!/usr/bin/env python3
"""One command measures overlock beside its peers: `python3 bench/run.py`.

It builds the release binary, starts the Salesforce emulator with rows served from memory on loopback,
installs the pinned peers into target/bench, and runs each pair alternately. Medians of the paired runs go
to standard output as the table of bench/README.md. Nothing is asserted: machines are noisy.
"""

import argparse
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BENCH = ROOT / "bench"
WORK = ROOT / "target" / "bench"
BINARY = ROOT / "target" / "release" / "overlock"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def venv(name: str, requirements: pathlib.Path) -> pathlib.Path:
    """A virtual environment with exactly these requirements; quick when it is already there."""
    folder = WORK / name
    python = folder / "bin" / "python"
    stamp = folder / "requirements.txt"
    wanted = requirements.read_text(encoding="utf-8")
    if not (stamp.exists() and stamp.read_text(encoding="utf-8") == wanted):
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", requirements], check=True)
        stamp.write_text(wanted, encoding="utf-8")
    return python


class Run:
    """One measured run of a command: wall and CPU seconds, peak resident MB, what it printed."""

    def __init__(self, command: list, cwd: pathlib.Path, env: dict | None = None):
        name = " ".join(pathlib.Path(part).name for part in map(str, command[:2]))
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            start = time.monotonic()
            process = subprocess.Popen([str(part) for part in command], cwd=cwd, env=env, stdout=out, stderr=err)
            # The usage of this child and of all that it waited for; of no other child.
            _, status, usage = os.wait4(process.pid, 0)
            self.wall = time.monotonic() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            err.seek(0)
            self.out = out.read().decode()
            if process.returncode != 0:
                tail = err.read().decode(errors="replace")[-3000:]
                sys.exit(f"{name} ended with {process.returncode}:\n{self.out[-1000:]}\n{tail}")
        self.cpu = usage.ru_utime + usage.ru_stime
        # The kernel counts what this process held when it forked as the child's own, so it must hold less.
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if usage.ru_maxrss <= own:
            sys.exit(f"{name}: its peak cannot be told from that of this program, {own} KiB")
        self.peak = usage.ru_maxrss * 1024 / 1e6


class Emulator:
    """`overlock sandbox` with rows served from memory; ends with this process."""

    def __init__(self, rows: int):
        self.process = subprocess.Popen(
            [BINARY, "sandbox", "--port", "0", "--bench-rows", str(rows), "--json"], stdout=subprocess.PIPE, text=True
        )
        self.info = json.loads(self.process.stdout.readline())
        self.base = self.info["url"]
        self.login = {
            "grant_type": "client_credentials",
            "client_id": self.info["client_id"],
            "client_secret": self.info["client_secret"],
        }

    def call(self, path: str, data=None, headers=None):
        request = urllib.request.Request(self.base + path, data=data, headers=headers or {})
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.headers, answer.read()

    def token(self) -> dict:
        _, body = self.call("/services/oauth2/token", urllib.parse.urlencode(self.login).encode())
        return {"Authorization": "Bearer " + json.loads(body)["access_token"]}

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=20)


def columns_of(emulator: Emulator) -> list:
    """(name, DuckDB type) of each field of Bench__c, by the same rules as the connector."""
    _, body = emulator.call("/services/data/v62.0/sobjects/Bench__c/describe", headers=emulator.token())
    kinds = {"boolean": "BOOLEAN", "int": "BIGINT", "long": "BIGINT", "date": "DATE", "datetime": "TIMESTAMP"}
    columns = []
    for field in json.loads(body)["fields"]:
        kind = field["type"]
        if kind in ("double", "percent"):
            columns.append((field["name"], f"DECIMAL(38,{field['scale']})"))
        elif kind == "currency":
            columns.append((field["name"], f"DECIMAL(38,{min(18, field['scale'] + 6)})"))
        else:
            columns.append((field["name"], kinds.get(kind, "VARCHAR")))
    return columns


def download_csv(emulator: Emulator, soql: str, target: pathlib.Path) -> None:
    """The same CSV as the emulator serves, joined into one file with one header."""
    headers = emulator.token()
    jobs = "/services/data/v62.0/jobs/query"
    body = json.dumps({"operation": "queryAll", "query": soql}).encode()
    _, answer = emulator.call(jobs, body, {**headers, "Content-Type": "application/json"})
    job = json.loads(answer)["id"]
    while json.loads(emulator.call(f"{jobs}/{job}", headers=headers)[1])["state"] != "JobComplete":
        time.sleep(0.2)
    locator, first = None, True
    with open(target, "wb") as file:
        while locator != "null":
            query = "" if locator is None else f"&locator={locator}"
            path = f"{jobs}/{job}/results?maxRecords=100000{query}"
            request = urllib.request.Request(emulator.base + path, headers=headers)
            with urllib.request.urlopen(request, timeout=300) as page:
                if not first:
                    page.readline()
                # Never a whole page in memory: see Run.peak.
                shutil.copyfileobj(page, file, 1 << 20)
                locator, first = page.headers["Sforce-Locator"], False


PROJECT = """version = 1

[source.bench]
connector = "salesforce"
login_url = "{base}"
auth = {{ kind = "client_credentials", client_id = "{client_id}", client_secret = "env:BENCH_SECRET" }}
# The emulator's jobs are complete at once. How long Salesforce prepares one is not what is measured here,
# and the other clients look again at once, too.
poll_interval = "5ms"

[destination.lake]
kind = "local"
path = "data"
"""

PIPELINE = """source = "bench"
destination = "lake"

[streams.Bench__c]
"""


def project(emulator: Emulator, folder: pathlib.Path) -> pathlib.Path:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "pipelines").mkdir(parents=True)
    (folder / "overlock.toml").write_text(PROJECT.format(base=emulator.base, **emulator.login), encoding="utf-8")
    (folder / "pipelines" / "bench.toml").write_text(PIPELINE, encoding="utf-8")
    os.environ["BENCH_SECRET"] = emulator.login["client_secret"]
    return folder


def run_overlock(folder: pathlib.Path, rows: int) -> Run:
    """A first run: no state, no data. The number of rows it committed is checked."""
    shutil.rmtree(folder / "data", ignore_errors=True)
    shutil.rmtree(folder / ".overlock", ignore_errors=True)
    run = Run([BINARY, "run", "bench", "-q", "--json"], folder)
    ended = json.loads(run.out)
    committed = ended["streams"][0]["rows_committed"]
    assert committed == rows, f"overlock committed {committed} of {rows} rows: {run.out}"
    run.calls = ended["runs"][0]["calls"]
    return run


def median(values) -> float:
    return statistics.median(list(values))


def spread(values) -> str:
    values = sorted(values)
    return f"{values[0]:.2f}-{values[-1]:.2f}"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--large", type=int, default=5_000_000, help="rows of the second memory run; 0 leaves it out")
    arguments.add_argument("--pairs", type=int, default=5)
    arguments.add_argument("--tap-rows", type=int, default=20_000, help="rows for the Singer pipe; 0 leaves it out")
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
    lines, all_ours = [], []
    say(f"# emulator with {options.rows} rows")
    emulator = Emulator(options.rows)
    try:
        columns = columns_of(emulator)
        soql = f"SELECT {','.join(name for name, _ in columns)} FROM Bench__c"
        columns_file, login_file, csv_file = scratch / "columns.json", scratch / "login.json", scratch / "rows.csv"
        columns_file.write_text(json.dumps(columns), encoding="utf-8")
        login_file.write_text(json.dumps(emulator.login), encoding="utf-8")
        download_csv(emulator, soql, csv_file)
        megabytes = csv_file.stat().st_size / 1e6
        say(f"# {megabytes:.0f} MB of CSV, {len(columns)} columns")
        ours = project(emulator, scratch / "project")
        peers = [
            ("DuckDB 2.0, the same CSV already on disk",
             [python, BENCH / "peers/duckdb_convert.py", csv_file, scratch / "duckdb.parquet", columns_file, "2"]),
            ("careful httpx + pyarrow",
             [python, BENCH / "peers/careful_python.py", emulator.base, login_file, columns_file, scratch / "python.parquet", soql]),
        ]
        run_overlock(ours, options.rows)  # The emulator renders its pages, the disk cache gets warm.
        for name, command in peers:
            pairs = []
            for number in range(options.pairs):
                mine, other = run_overlock(ours, options.rows), Run(command, scratch)
                assert int(other.out.split()[-1]) == options.rows, other.out
                pairs.append((mine, other))
                say(f"{name}, pair {number + 1}: {mine.wall:.2f} s and {other.wall:.2f} s, ratio {mine.wall / other.wall:.2f}")
            all_ours += [mine for mine, _ in pairs]
            walls = [mine.wall / other.wall for mine, other in pairs]
            lines.append(
                f"| {name} | {median(a.wall for a, _ in pairs):.2f} s | {median(b.wall for _, b in pairs):.2f} s |"
                f" **{median(walls):.2f}** ({spread(walls)}) | {median(a.cpu / b.cpu for a, b in pairs):.2f} |"
                f" {median(a.peak for a, _ in pairs):.0f} MB | {median(b.peak for _, b in pairs):.0f} MB |"
            )
        parquet = f"{ours}/data/bench/Bench__c/*/*.parquet"
        written = sum(path.stat().st_size for path in ours.glob("data/bench/Bench__c/*/*.parquet")) / 1e6
        say("# comparing the output with DuckDB's")
        equal = Run([python, BENCH / "compare.py", scratch / "duckdb.parquet", parquet, columns_file], scratch).out.strip()
    finally:
        emulator.stop()

    large = []
    if options.large:
        say(f"# emulator with {options.large} rows")
        emulator = Emulator(options.large)
        try:
            ours = project(emulator, scratch / "project")
            for _ in range(min(3, options.pairs)):
                large.append(run_overlock(ours, options.large))
                say(f"{options.large} rows: {large[-1].wall:.2f} s, peak {large[-1].peak:.0f} MB")
        finally:
            emulator.stop()

    one = median(run.cpu for run in all_ours) / options.rows
    peaks = [run.peak for run in all_ours]

    print(
        f"\n{os.cpu_count()} cores, {options.rows} rows x {len(columns)} fields, {megabytes:.0f} MB of CSV,"
        f" {options.pairs} pairs each, medians:\n"
    )
    print("| beside | overlock wall | its wall | ratio of walls (spread) | ratio of CPU | overlock peak | its peak |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print("\n".join(lines))
    print(f"\n- peak resident set: {median(peaks):.0f} MB ({min(peaks):.0f}-{max(peaks):.0f}) at {options.rows} rows")
    if large:
        more = median(run.peak for run in large)
        wall = median(run.wall for run in large)
        print(f"- peak resident set: {more:.0f} MB at {options.large} rows ({more / median(peaks) - 1:+.0%}), wall {wall:.2f} s")
    print(f"- HTTP calls: {max(run.calls for run in all_ours)} for {options.rows} rows, login and discovery included")
    print(f"- CPU: {one * 1e6:.2f} s per million rows; Parquet written: {written:.0f} MB")
    print(f"- output: {equal}", flush=True)
    if options.tap_rows:
        tap = singer(options.tap_rows, scratch)
        print(
            f"- `tap-salesforce | target-jsonl`: {tap * 1e6:.0f} CPU s per million rows"
            f" (measured at {options.tap_rows}): {tap / one:.0f} times ours"
        )


def singer(rows: int, scratch: pathlib.Path) -> float:
    """CPU seconds per row of `tap-salesforce | target-jsonl` over Bulk API 1.0 on the same emulator."""
    say(f"# Singer pipe with {rows} rows")
    tap_python = venv("tap", ROOT / "tests/interop/requirements-tap.txt")
    target_python = venv("target", BENCH / "requirements-target.txt")
    emulator = Emulator(rows)
    try:
        folder = scratch / "singer"
        folder.mkdir(exist_ok=True)
        config = {
            "refresh_token": emulator.info["refresh_token"], "client_id": emulator.login["client_id"],
            "client_secret": emulator.login["client_secret"], "start_date": "2000-01-01T00:00:00Z",
            "api_type": "BULK", "select_fields_by_default": True,
        }
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        env = {**os.environ, "SF_EMULATOR": emulator.base, "PYTHONPATH": str(ROOT / "tests/interop/shim")}
        tap = tap_python.parent / "tap-salesforce"
        found = subprocess.run([tap, "-c", "config.json", "--discover"], cwd=folder, env=env, check=True, capture_output=True)
        catalog = json.loads(found.stdout)
        catalog["streams"] = [stream for stream in catalog["streams"] if stream["stream"] == "Bench__c"]
        for entry in catalog["streams"][0]["metadata"]:
            if not entry["breadcrumb"]:
                entry["metadata"].update({"selected": True, "replication-method": "INCREMENTAL", "replication-key": "SystemModstamp"})
            elif entry["metadata"].get("inclusion") == "available":
                entry["metadata"]["selected"] = True
        (folder / "catalog.json").write_text(json.dumps(catalog), encoding="utf-8")
        (folder / "target.json").write_text(json.dumps({"destination_path": str(folder)}), encoding="utf-8")
        pipe = f"'{tap}' -c config.json --properties catalog.json | '{target_python.parent}/target-jsonl' -c target.json"
        run = Run(["bash", "-o", "pipefail", "-c", pipe], folder, env)
        written = sum(len(re.findall(b"\n", path.read_bytes())) for path in folder.glob("Bench__c*.jsonl"))
        assert written == rows, f"the tap wrote {written} of {rows} rows"
        return run.cpu / rows
    finally:
        emulator.stop()


if __name__ == "__main__":
    main()
