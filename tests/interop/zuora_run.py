"""Runs the field's own Zuora client, as published, against the emulator, and compares its rows.

    python3 tests/interop/zuora_run.py                     everything
    python3 tests/interop/zuora_run.py tap-aqua agree      some checks
    python3 tests/interop/zuora_run.py --overlock PATH     with `overlock sync` on the same data

Environments are made once under target/interop from the pinned requirements and kept. Everything listens on
127.0.0.1 and ends with this program. Exits with 1 if a check fails, and says which.
"""

import argparse
import datetime
import json
import os
import pathlib
import sys
import time

from harness import ROOT, Failed, check, emulator, environment, run

HERE = pathlib.Path(__file__).resolve().parent
EMULATOR = "cargo run --quiet -p overlock-zuora --features emulator --example emulator_zuora --"
FIVE_DAYS = 5 * 86_400


class Run:
    """One run: the emulator, the environments, the scratch folder, what was read so far."""

    def __init__(self, arguments, where, scratch, command):
        self.arguments = arguments
        self.command = command
        self.where = where
        self.base_url = where["base_url"]
        self.login = where["login"]
        self.scratch = scratch
        self.venvs = arguments.venvs
        self.read = {}
        self.start = self.oldest()

    def world(self):
        """What the emulator's world holds now, written by the emulator itself."""
        path = self.scratch / "world.jsonl"
        tell(self.where, f"dump {path}")
        return path

    def rows(self):
        """What that file tells, line by line: each object, and after it its rows."""
        with self.world().open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)

    def objects(self):
        """What the world's objects are like, by name."""
        return {row["object"]: row for row in self.rows() if "object" in row}

    def oldest(self):
        """A second before the oldest stamp: the client loses rows of the very instant it starts from."""
        stamps, key = [], None
        for row in self.rows():
            if "object" in row:
                key = row["stamp"]
            else:
                stamps.append(row["record"].get(key))
        oldest = min(filter(None, stamps), default=None)
        check(oldest, "no row of the world has a stamp")
        before = datetime.datetime.fromisoformat(oldest.replace("Z", "+00:00")) - datetime.timedelta(seconds=1)
        return before.strftime("%Y-%m-%dT%H:%M:%SZ")

    def compare(self, mode, rows, *more):
        command = [sys.executable, HERE / "zuora_compare.py", self.world(), "--client", mode, rows, *more]
        return run(command).strip().splitlines()[-1]


def tell(where, line):
    check("process" in where, "only an emulator that was started here can be told something")
    where["process"].stdin.write(f"{line}\n".encode())
    where["process"].stdin.flush()
    check(where["process"].stdout.readline().strip(), "the emulator did not answer")


def tap(run_, mode, state=None):
    """tap-zuora: discover, select everything, sync; from a state, only what has changed. Returns its new state."""
    python = environment(run_.venvs, "tap-zuora")
    folder = run_.scratch / f"tap-{mode}{'-later' if state else ''}"
    folder.mkdir(parents=True)
    settings = {
        "aqua": {
            "api_type": "AQUA", "auth_type": "OAUTH", "partner_id": "salesforce",
            "username": run_.login["client_id"], "password": run_.login["client_secret"],
        },
        "rest": {
            "api_type": "REST", "auth_type": "BASIC", "sandbox": "true",
            "username": run_.login["user"], "password": run_.login["password"],
        },
    }[mode]
    config, catalog_path, out = folder / "config.json", folder / "catalog.json", folder / "out.jsonl"
    state_path = folder / "state.json"
    config.write_text(json.dumps(settings | {"start_date": run_.start}))
    state_path.write_text(json.dumps(state or {}))
    env = {"ZUORA_EMULATOR": run_.base_url, "TZ": "UTC"}
    command = [python, HERE / "zuora_tap.py", "--config", config]
    catalog = json.loads(run([*command, "--discover"], env=env))
    objects = run_.objects()
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            # It offers deleted rows of every object, and fails on those that have none, unless it knows them by name.
            barren = entry["breadcrumb"] == ["properties", "Deleted"] and not objects[stream["stream"]]["deletes"]
            if not entry["breadcrumb"] or entry["metadata"].get("inclusion") == "available":
                entry["metadata"]["selected"] = not barren
    catalog_path.write_text(json.dumps(catalog))
    run([*command, "--catalog", catalog_path, "--state", state_path], env=env, stdout=out, timeout=600)
    with out.open(encoding="utf-8") as lines:
        messages = [json.loads(line) for line in lines]
    count = sum(message["type"] == "RECORD" for message in messages)
    states = [message["value"] for message in messages if message["type"] == "STATE"]
    check(count > 0, "no record was read")
    check(states and "Account" in states[-1].get("bookmarks", {}), "no bookmark of Account was written")
    print(f"  {mode}: discovered {len(catalog['streams'])} streams, read {count} records", flush=True)
    run_.read[mode] = out
    return states[-1]


def agree(run_):
    """The rows of both modes are those of the world: none lost, none invented, none altered."""
    check(len(run_.read) > 1, "the client has not read in both modes")
    for mode, rows in run_.read.items():
        print(f"  {mode} against the world: {run_.compare(mode, rows)}")


def later(run_):
    """Five days later the client reads changes alone, deleted rows among them, and has the world again."""
    with emulator([*run_.command, "--behind-secs", str(FIVE_DAYS + 86_400)]) as where:
        scratch = run_.scratch / "later"
        scratch.mkdir()
        second = Run(run_.arguments, where, scratch, run_.command)
        state = tap(second, "aqua")
        first = second.read["aqua"]
        tell(where, f"advance {FIVE_DAYS}")
        tap(second, "aqua", state)
        changes = second.read["aqua"]
        text = changes.read_text(encoding="utf-8")
        check(changes.stat().st_size < first.stat().st_size, "the second read was not one of changes alone")
        check('"Deleted": true' in text, "no deleted row was read")
        both = scratch / "both.jsonl"
        both.write_text(first.read_text(encoding="utf-8") + text, encoding="utf-8")
        print(f"  the client against the world, five days later: {second.compare('aqua', both, '--increment')}")


def teeth(run_):
    """The comparison itself: a lost, an altered and an invented row must be found."""
    check("aqua" in run_.read, "the client has not read anything to tamper with")
    rows = run_.read["aqua"]
    lines = rows.read_text(encoding="utf-8").splitlines()
    record = '{"type": "RECORD", "stream": "Invoice",'
    spots = [at for at, line in enumerate(lines) if line.startswith(record) and '"Deleted": false' in line]
    check(spots, "no record of Invoice was found")
    spot = spots[len(spots) // 2]
    message = json.loads(lines[spot])
    rest = [line for at, line in enumerate(lines) if at != spot]

    def changed(**fields):
        return [*lines, json.dumps({**message, "record": {**message["record"], **fields}})]

    for what, tampered, said in [
        ("lost", rest, "is lost"),
        ("altered", changed(InvoiceNumber="another number"), "the world says"),
        ("a cent off", changed(Amount=message["record"]["Amount"] + 0.01), "the world says"),
        ("nulled", changed(AccountId=None), "the world says"),
        ("invented", changed(Id="7" * 32), "is invented"),
        ("marked as deleted", changed(Deleted=True), "is invented"),
        ("widened", changed(Whim=1), "is invented"),
        ("of a lost stream", [line for line in lines if '"stream": "Payment"' not in line], "has not found the stream"),
    ]:
        path = rows.with_name(f"{what.replace(' ', '-')}.jsonl")
        path.write_text("\n".join(tampered), encoding="utf-8")
        expect(what, said, lambda: run_.compare("aqua", path))
    # The other half, which reads overlock's tables, on tables made from the world.
    python, world = environment(run_.venvs, "verify"), run_.world()
    for what, said in [
        ("", ""), ("lost", "is lost"), ("doubled", "is there twice"), ("invented", "is invented"),
        ("altered", "the world says"), ("rounded", "the world says"), ("bare", "is in no column"),
        ("undeleted", "not marked so"),
    ]:
        data = run_.scratch / "tables" / (what or "good")
        run([python, HERE / "zuora_tables.py", world, data, *([what] if what else [])])
        if what:
            expect(what, said, lambda: compare_tables(run_, world, data))
        else:
            compare_tables(run_, world, data, "--client", "aqua", rows)


def expect(what, said, act):
    try:
        act()
    except Failed as error:
        check(said in str(error), f"what is {what}: {error}")
        print(f"  what is {what} is found")
        return
    raise Failed(f"what is {what} was not found")


def compare_tables(run_, world, data, *more):
    python = environment(run_.venvs, "verify")
    only = ["--only", run_.arguments.streams] if run_.arguments.streams else []
    command = [python, HERE / "zuora_compare.py", world, "--data", data, *only, *more]
    return run(command, env={"PYTHONPATH": str(HERE)}).strip().splitlines()[-1]


def overlock(run_):
    """Overlock's committed rows: all that the world has and the client has read, every field of it, to the digit."""
    data = run_.arguments.data or sync(run_)
    check(run_.read, "no client has read anything to compare with")
    for mode, rows in run_.read.items():
        said = compare_tables(run_, run_.world(), data, "--client", mode, rows)
        print(f"  overlock against the world and {mode}: {said}")


def sync(run_):
    """Runs the binary on the same emulator; returns the folder of committed tables."""
    check(run_.arguments.overlock, "give the binary with --overlock")
    project = run_.scratch / "project"
    project.mkdir(exist_ok=True)
    (project / "overlock.toml").write_text(
        f"""version = 1

[source.billing]
connector = "zuora"
base_url = "{run_.base_url}"
start_date = "{run_.start}"
auth = {{ kind = "oauth", client_id = "{run_.login['client_id']}", client_secret = "env:ZU_SECRET" }}

[destination.lake]
kind = "local"
path = "data"
"""
    )
    chosen = run_.arguments.streams.split(",") if run_.arguments.streams else None
    wanted = chosen or [name for name, about in run_.objects().items() if about["aqua"]]
    streams = [part for name in wanted for part in ("--stream", name)]
    env = {"ZU_SECRET": run_.login["client_secret"]}
    run([run_.arguments.overlock, "sync", "billing", *streams], env=env, cwd=project, timeout=600)
    return project / "data" / "billing"


def increment(run_):
    """Five days later: a second sync brings only changes, and shows what the world holds then."""
    with emulator([*run_.command, "--behind-secs", str(FIVE_DAYS + 86_400)]) as where:
        scratch = run_.scratch / "increment"
        scratch.mkdir()
        second = Run(run_.arguments, where, scratch, run_.command)
        sync(second)
        tell(where, f"advance {FIVE_DAYS}")
        data = sync(second)
        # A client that knows nothing yet reads everything as it is now.
        tap(second, "aqua")
        rows = second.read["aqua"]
        said = compare_tables(second, second.world(), data, "--increment", "--client", "aqua", rows)
        print(f"  overlock against the world and the client, five days later: {said}")


CHECKS = {
    "tap-aqua": lambda run_: tap(run_, "aqua"),
    "tap-rest": lambda run_: tap(run_, "rest"),
    "agree": agree,
    "later": later,
    "teeth": teeth,
    "overlock": overlock,
    "increment": increment,
}


def main():
    parser = argparse.ArgumentParser(description="A real Zuora client against the emulator.")
    parser.add_argument("checks", nargs="*", choices=[[], *CHECKS], default=[])
    parser.add_argument("--venvs", type=pathlib.Path, default=ROOT / "target" / "interop")
    parser.add_argument("--emulator", default=EMULATOR, help="command that starts the emulator")
    parser.add_argument("--overlock", type=pathlib.Path, help="the binary to compare with")
    parser.add_argument("--data", type=pathlib.Path, help="tables that overlock has committed")
    parser.add_argument("--streams", default="", help="streams to compare with overlock's, separated by commas")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--accounts", default="12")
    arguments = parser.parse_args()
    if arguments.overlock:
        arguments.overlock = arguments.overlock.resolve()
    possible = {name: True for name in CHECKS}
    possible["overlock"] = bool(arguments.overlock or arguments.data)
    possible["increment"] = bool(arguments.overlock)
    chosen = arguments.checks or [name for name in CHECKS if possible[name]]
    arguments.venvs.mkdir(parents=True, exist_ok=True)
    scratch = arguments.venvs / "scratch" / f"zuora-{os.getpid()}-{int(time.time() * 1000)}"
    scratch.mkdir(parents=True)

    failed = []
    command = [*arguments.emulator.split(), "--seed", arguments.seed, "--accounts", arguments.accounts]
    with emulator(command) as where:
        run_ = Run(arguments, where, scratch, command)
        for name in chosen:
            started = time.monotonic()
            print(f"{name}:", flush=True)
            try:
                CHECKS[name](run_)
                print(f"  ok, {time.monotonic() - started:.1f} s", flush=True)
            except Failed as error:
                print(f"  FAILED: {error}", flush=True)
                failed.append(name)
    print(f"{len(chosen) - len(failed)} of {len(chosen)} checks passed; rows are kept in {scratch}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
