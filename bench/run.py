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
    """One measured run of a command: wall and CPU seconds, peak resident MB, last line of stdout."""

    def __init__(self, command: list, cwd: pathlib.Path, env: dict | None = None, stdout=subprocess.PIPE):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.monotonic()
        process = subprocess.Popen([str(part) for part in command], cwd=cwd, env=env, stdout=stdout, stderr=subprocess.PIPE)
        out, err = process.communicate()
        self.wall = time.monotonic() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if process.returncode != 0:
            sys.exit(f"{command[0]} failed ({process.returncode}):\n{err.decode(errors='replace')[-3000:]}")
        self.out = (out or b"").decode()


def peak_mb(command: list, cwd: pathlib.Path) -> tuple[float, str]:
    """Peak resident set of one command, by a child that has no other children (ru_maxrss is a maximum)."""
    probe = (
        "import json,resource,subprocess,sys;"
        "p=subprocess.run(json.loads(sys.argv[1]),stdout=subprocess.PIPE,stderr=subprocess.PIPE);"
        "sys.stderr.buffer.write(p.stderr);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss*1024/1e6);"
        "sys.exit(p.returncode)"
    )
    done = subprocess.run([sys.executable, "-c", probe, json.dumps([str(p) for p in command])], cwd=cwd, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed:\n{done.stderr.decode(errors='replace')[-3000:]}")
    return float(done.stdout.split()[-1]), done.stdout.decode()


class Emulator:
    """`overlock sandbox` with rows served from memory; ends with this process."""

    def __init__(self, rows: int):
        self.process = subprocess.Popen(
            [BINARY, "sandbox", "--port", "0", "--bench-rows", str(rows), "--json"], stdout=subprocess.PIPE, text=True
        )
        self.info = json.loads(self.process.stdout.readline())
        self.base = self.info["base_url"]
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
            found, page = emulator.call(f"{jobs}/{job}/results?maxRecords=100000{query}", headers=headers)
            file.write(page if first else page[page.index(b"\n") + 1 :])
            locator, first = found["Sforce-Locator"], False


PROJECT = """version = 1

[source.bench]
connector = "salesforce"
login_url = "{base}"
auth = {{ kind = "client_credentials", client_id = "{client_id}", client_secret = "env:BENCH_SECRET" }}

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


def overlock_run(folder: pathlib.Path) -> list:
    shutil.rmtree(folder / "data", ignore_errors=True)
    shutil.rmtree(folder / ".overlock", ignore_errors=True)
    return [BINARY, "run", "bench", "-q", "--json"]


def median(values) -> float:
    return statistics.median(values)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--large", type=int, default=5_000_000, help="rows of the memory run; 0 leaves it out")
    arguments.add_argument("--pairs", type=int, default=5)
    arguments.add_argument("--tap-rows", type=int, default=20_000, help="rows for the Singer pipe; 0 leaves it out")
    options = arguments.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cargo", "build", "--release", "--locked", "--package", "overlock-cli"], cwd=ROOT, check=True)
    python = venv("peers", BENCH / "requirements.txt")
    lines = []

    say(f"# emulator with {options.rows} rows")
    emulator = Emulator(options.rows)
    try:
        columns = columns_of(emulator)
        soql = f"SELECT {','.join(name for name, _ in columns)} FROM Bench__c"
        scratch = pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir=WORK))
        columns_file, login_file, csv_file = scratch / "columns.json", scratch / "login.json", scratch / "rows.csv"
        columns_file.write_text(json.dumps(columns), encoding="utf-8")
        login_file.write_text(json.dumps(emulator.login), encoding="utf-8")
        download_csv(emulator, soql, csv_file)
        say(f"# {csv_file.stat().st_size / 1e6:.0f} MB of CSV, {len(columns)} columns")
        ours = project(emulator, scratch / "project")

        def run_ours() -> Run:
            return Run(overlock_run(ours), ours)

        def run_duckdb() -> Run:
            return Run([python, BENCH / "peers/duckdb_convert.py", csv_file, scratch / "duckdb.parquet", columns_file, "2"], scratch)

        def run_python() -> Run:
            return Run([python, BENCH / "peers/careful_python.py", emulator.base, login_file, columns_file, scratch / "python.parquet", soql], scratch)

        run_ours()  # Warm the page cache for all.
        last = None
        for name, peer in [("DuckDB 2.0, same CSV already on disk", run_duckdb), ("careful httpx + pyarrow", run_python)]:
            pairs = []
            for number in range(options.pairs):
                last, other = run_ours(), peer()
                rows = json.loads(last.out)["rows"] if last.out else options.rows
                assert int(other.out.split()[-1]) == options.rows, other.out
                pairs.append((last, other))
                say(f"{name} pair {number + 1}: {last.wall:.2f} s against {other.wall:.2f} s")
            wall = median(a.wall / b.wall for a, b in pairs)
            cpu = median(a.cpu / b.cpu for a, b in pairs)
            lines.append(
                f"| {name} | {median(a.wall for a, _ in pairs):.2f} s | {median(b.wall for _, b in pairs):.2f} s |"
                f" {wall:.2f} | {cpu:.2f} |"
            )
        result = json.loads(last.out)
        calls = result["calls"]

        say("# output equal to DuckDB's?")
        # Each commit is a folder; the parts are ordinary Parquet.
        check = (
            "import duckdb,sys;a,b=sys.argv[1:3];c=duckdb.connect();"
            "names=[r[0] for r in c.execute(f\"DESCRIBE SELECT * FROM '{a}'\").fetchall()];"
            "parts=', '.join('\"'+n+'\"' for n in names);"
            "x=c.execute(f\"SELECT count(*) FROM (SELECT {parts} FROM '{a}' EXCEPT ALL SELECT {parts} FROM read_parquet('{b}'))\").fetchone()[0];"
            "y=c.execute(f\"SELECT count(*) FROM read_parquet('{b}')\").fetchone()[0];print(x,y)"
        )
        different, ours_rows = subprocess.run(
            [python, "-c", check, scratch / "duckdb.parquet", f"{ours}/data/bench/Bench__c/*/*.parquet"],
            check=True, capture_output=True, text=True, env={**os.environ, "TZ": "UTC"},
        ).stdout.split()
        equal = f"{ours_rows} rows, {different} differ from DuckDB's output"

        peak, _ = peak_mb(overlock_run(ours), ours)
        one = median([run_ours().cpu for _ in range(3)]) / options.rows
    finally:
        emulator.stop()

    large_peak = None
    if options.large:
        say(f"# emulator with {options.large} rows")
        emulator = Emulator(options.large)
        try:
            ours = project(emulator, scratch / "project")
            large_peak, _ = peak_mb(overlock_run(ours), ours)
        finally:
            emulator.stop()

    tap = None
    if options.tap_rows:
        tap = singer(options.tap_rows, scratch)

    print(f"\nOn {os.cpu_count()} cores, {options.rows} rows x {len(columns)} fields, {options.pairs} pairs, medians:\n")
    print("| beside | overlock wall | its wall | wall ratio | CPU ratio |\n| --- | --- | --- | --- | --- |")
    print("\n".join(lines))
    print(f"\n- peak resident set: {peak:.0f} MB at {options.rows} rows", end="")
    print(f", {large_peak:.0f} MB at {options.large} rows ({large_peak / peak - 1:+.0%})" if large_peak else "")
    print(f"- HTTP calls: {calls} for {options.rows} rows, the login and the discovery included")
    print(f"- CPU: {one * 1e6:.2f} s per million rows")
    if tap:
        print(f"- `tap-salesforce | target-jsonl`: {tap * 1e6:.0f} CPU s per million rows (measured at {options.tap_rows}): {tap / one:.0f} times ours")
    print(f"- output: {equal}")
    shutil.rmtree(scratch, ignore_errors=True)


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
