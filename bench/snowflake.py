#!/usr/bin/env python3
"""What a commit into Snowflake costs: `python3 bench/snowflake.py`.

Rows from the Salesforce emulator go to a server on loopback that answers as Snowflake would and takes files as S3 does
(bench/snowflake_server.py). Told are the statements of a commit of 1,000,000 rows, the peak resident set while a package
of 1 GB is uploaded, and what a run of 20 streams with nothing new sends. Nothing is asserted: machines are noisy.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import urllib.request

from run import BENCH, BINARY, ROOT, WORK, Emulator, Run, project, say, venv

DESTINATION = """
[destination.lake]
kind = "snowflake"
account = "bench"
user = "bench"
database = "RAW"
auth = {{ kind = "password", password = "cmd:printf not-a-secret" }}
test_url = "http://127.0.0.1:{port}"

[run]
seal_rows = 100000000
seal_bytes = 100000000000
"""

# Statements that no warehouse must run for (Step::needs_warehouse).
FREE = "create_ add_columns widen drop_ upload list begin commit rollback remove_staged show_".split()


class Snowflake:
    """The server; ends with this process."""

    def __init__(self, python):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([python, BENCH / "snowflake_server.py"], stdin=pipe, stdout=pipe, text=True)
        self.port = int(self.process.stdout.readline())

    def log(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/log", timeout=60) as answer:
            return json.loads(answer.read())

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=20)


def prepare(emulator, snowflake, folder, streams=("Bench__c",)):
    project(emulator, folder)
    file = folder / "overlock.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text[: text.index("[destination.lake]")] + DESTINATION.format(port=snowflake.port), encoding="utf-8")
    tables = "".join(f"\n[streams.{name}]\n" for name in streams)
    pipeline = folder / "pipelines" / "bench.toml"
    pipeline.write_text('source = "bench"\ndestination = "lake"\n' + tables, encoding="utf-8")
    return folder


def wakes(words):
    return [word for word in words if not any(word.startswith(free) for free in FREE)]


def load(rows, python, scratch, again=False):
    """One first load of so many rows: the run, its statements, the bytes of its files. `again`: of a second load."""
    say(f"# {rows} rows")
    emulator, snowflake = Emulator(rows), Snowflake(python)
    try:
        folder = prepare(emulator, snowflake, scratch / "project")
        run = Run([BINARY, "run", "bench", "-q", "--json"], folder)
        committed = json.loads(run.out)["streams"][0]["rows_committed"]
        assert committed == rows, run.out
        log = snowflake.log()
        if again:
            Run([BINARY, "run", "bench", "-q", "--json", "--full-refresh"], folder)
            log = snowflake.log()
        return run, log["words"], log["bytes"]
    finally:
        emulator.stop()
        snowflake.stop()


def idle(python, scratch):
    """Twenty streams of the emulator's small org, loaded until nothing is new; the statements of the last run."""
    command = [BINARY, "sandbox", "--port", "0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    info = json.loads(process.stdout.readline())
    emulator = Emulator.__new__(Emulator)
    emulator.process, emulator.info, emulator.base = process, info, info["url"]
    emulator.login = {"client_id": info["client_id"], "client_secret": info["client_secret"]}
    snowflake = Snowflake(python)
    try:
        folder = prepare(emulator, snowflake, scratch / "idle")
        listed = Run([BINARY, "discover", "bench", "--json"], folder).out
        names = [stream["stream"] for stream in json.loads(listed) if stream["incremental"]][:20]
        prepare(emulator, snowflake, folder, names)
        # The runs are seconds apart: what the overlap of windows reads again would be news in each of them.
        file = folder / "overlock.toml"
        text = file.read_text(encoding="utf-8").replace("poll_interval", 'lookback = "0s"\npoll_interval')
        file.write_text(text, encoding="utf-8")
        for number in range(4):
            Run([BINARY, "run", "bench", "-q", "--json"], folder)
            words = snowflake.log()["words"]
            say(f"run {number + 1} of {len(names)} streams: {len(words)} statements, {len(wakes(words))} need a warehouse")
        return len(names), words
    finally:
        emulator.stop()
        snowflake.stop()


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--large", type=int, default=10_000_000, help="rows that make about 1 GB of Parquet")
    arguments.add_argument("--no-build", action="store_true", help="take the release binary as it is")
    options = arguments.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    if not options.no_build:
        subprocess.run(["cargo", "build", "--release", "--locked", "--package", "overlock-cli"], cwd=ROOT, check=True)
    python = venv("peers", BENCH / "requirements.txt")
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="snowflake-", dir=WORK))
    try:
        for again in (False, True):
            _, words, size = load(options.rows, python, scratch, again)
            commit = words[words.index("look") :]
            proof = len(commit) - commit[::-1].index("look")
            name = "a commit" if again else "the first commit"
            print(
                f"- {name} of {options.rows} rows, {size / 1e6:.0f} MB: {proof} statements from the look to the proof,"
                f" {len(commit) - proof} to tidy up: {' '.join(commit)}"
            )
        large, _, size = load(options.large, python, scratch)
        print(f"- {options.large} rows, {size / 1e6:.0f} MB uploaded: peak resident set {large.peak:.0f} MB, {large.wall:.1f} s")
        count, words = idle(python, scratch)
        print(f"- {count} streams with nothing new: {' '.join(words)}; {len(wakes(words))} need a warehouse")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
