"""Runs the field's own Zendesk clients, as published, against the emulator, and compares their rows.

    python3 tests/interop/zendesk_run.py                     everything
    python3 tests/interop/zendesk_run.py tap-zendesk zenpy   some checks
    python3 tests/interop/zendesk_run.py --overlock PATH     with `overlock sync` on the same data

Environments are made once under target/interop from the pinned requirements and kept. Everything listens
on 127.0.0.1 and ends with this program. Exits with 1 if a check fails, and says which.
"""

import argparse
import json
import os
import pathlib
import sys
import time
from urllib.parse import urlsplit

from harness import ROOT, Failed, check, emulator, environment, run

HERE = pathlib.Path(__file__).resolve().parent
EMULATOR = "cargo run --quiet -p overlock-zendesk --features emulator --example emulator_zendesk --"
STREAMS = [
    "article_attachments", "article_comments", "article_votes", "articles", "audit_logs", "automations", "brands",
    "call_legs", "calls", "categories", "custom_object_records", "custom_roles", "custom_ticket_statuses",
    "deleted_tickets", "deleted_users", "group_memberships", "groups", "job_statuses", "locales", "macros",
    "organization_fields", "organization_memberships", "organizations", "post_comments", "posts", "satisfaction_ratings",
    "schedule_holidays", "schedules", "sections", "side_conversations", "sla_policies", "suspended_tickets", "tags",
    "talk_phone_numbers", "ticket_activities", "ticket_audits", "ticket_comments", "ticket_events", "ticket_fields", "ticket_forms",
    "ticket_metric_events", "ticket_metrics", "ticket_skips", "tickets", "topics", "trigger_categories", "triggers",
    "user_fields", "user_identities", "users", "views",
]


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

    def env(self):
        netloc = urlsplit(self.base_url).netloc
        return {
            "ZENDESK_EMULATOR": self.base_url,
            "ZENDESK_LOGIN": json.dumps(self.login),
            "ZENPY_FORCE_SCHEME": "http",
            "ZENPY_FORCE_NETLOC": netloc,
            "TZ": "UTC",
        }

    def world(self):
        """What the emulator's world holds now, written by the emulator itself."""
        path = self.scratch / "world.jsonl"
        tell(self.where, f"dump {path}")
        return path

    def compare(self, name, rows, *more):
        said = run([sys.executable, HERE / "zendesk_compare.py", self.world(), "--client", name, rows, *more])
        return said.strip().splitlines()[-1]


def tell(where, line):
    check("process" in where, "only an emulator that was started here can be told something")
    where["process"].stdin.write(f"{line}\n".encode())
    where["process"].stdin.flush()
    check(where["process"].stdout.readline().strip(), "the emulator did not answer")


def tap(run_):
    """tap-zendesk: discover, select everything, sync."""
    python = environment(run_.venvs, "tap-zendesk")
    folder = run_.scratch / "tap-zendesk"
    folder.mkdir(parents=True)
    config, catalog_path = folder / "config.json", folder / "catalog.json"
    state, out = folder / "state.json", folder / "out.jsonl"
    settings = {
        "access_token": run_.login["access_token"], "subdomain": "acme",
        "start_date": "2023-01-01T00:00:00Z", "request_timeout": 30, "page_size": 100,
    }
    config.write_text(json.dumps(settings))
    state.write_text("{}")
    command = [python, HERE / "zendesk_tap.py", "--config", config]
    catalog = json.loads(run([*command, "--discover"], env=run_.env()))
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if not entry["breadcrumb"] or entry["metadata"].get("inclusion") == "available":
                entry["metadata"]["selected"] = True
    catalog_path.write_text(json.dumps(catalog))
    run([*command, "--catalog", catalog_path, "--state", state], env=run_.env(), stdout=out, timeout=300)
    with out.open(encoding="utf-8") as lines:
        messages = [json.loads(line) for line in lines]
    count = sum(message["type"] == "RECORD" for message in messages)
    states = [message["value"] for message in messages if message["type"] == "STATE"]
    check(count > 0, "no record was read")
    check(states and "tickets" in states[-1].get("bookmarks", {}), "no bookmark of tickets was written")
    print(f"  discovered {len(catalog['streams'])} streams, read {count} records")
    run_.read["tap"] = out


def zenpy(run_):
    """zenpy: exports by cursor and by time, lists by offset and by cursor, children of tickets."""
    python = environment(run_.venvs, "zenpy")
    folder = run_.scratch / "zenpy"
    folder.mkdir(parents=True)
    rows = folder / "rows.jsonl"
    said = run([python, HERE / "zendesk_zenpy.py", rows], env=run_.env(), timeout=300)
    print(f"  {said.strip()}")
    run_.read["zenpy"] = rows


def agree(run_):
    """The rows of each client are those of the world: none lost, none invented, none altered."""
    check(len(run_.read) > 1, "fewer than two clients have read")
    for name, rows in run_.read.items():
        print(f"  {name} against the world: {run_.compare(name, rows)}")


def teeth(run_):
    """The comparison itself: a lost, an altered and an invented row must be found."""
    check(run_.read, "no client has read anything to tamper with")
    name, rows = next(iter(run_.read.items()))
    lines = rows.read_text(encoding="utf-8").splitlines()
    spots = [at for at, line in enumerate(lines) if '"generated_timestamp"' in line and '"record"' in line]
    spot = spots[len(spots) // 2]
    message = json.loads(lines[spot])
    key = message["record"]["id"]
    rest = [line for line in lines if f'"id": {key},' not in line or '"generated_timestamp"' not in line]

    def changed(**fields):
        return json.dumps({**message, "record": {**message["record"], **fields}})

    for what, tampered, said in [
        ("lost", rest, "is lost"),
        ("altered", [*rest, changed(subject="another subject")], "the world says"),
        ("invented", [*lines, changed(id=77_777_777)], "is invented"),
        ("old", [*rest, changed(status="never seen")], "the world says"),
    ]:
        path = rows.with_name(f"{what}.jsonl")
        path.write_text("\n".join(tampered), encoding="utf-8")
        try:
            run_.compare(name, path)
        except Failed as error:
            check(said in str(error), f"a row that is {what}: {error}")
            print(f"  a row that is {what} is found")
            continue
        raise Failed(f"a row that is {what} was not found")
    # The other half, which reads overlock's tables, on tables made from the world.
    python, world = environment(run_.venvs, "verify"), run_.world()
    for what, said in [
        ("", ""), ("lost", "is lost"), ("doubled", "is there twice"), ("invented", "is invented"),
        ("altered", "the world says"), ("bare", "is in no column"),
    ]:
        data = run_.scratch / "tables" / (what or "good")
        run([python, HERE / "zendesk_tables.py", world, data, *([what] if what else [])])
        try:
            compare_tables(run_, world, name, rows, data)
        except Failed as error:
            check(what and said in str(error), f"tables that are {what or 'good'}: {error}")
            print(f"  a table with a row that is {what} is found")
            continue
        check(not what, f"a table with a row that is {what} was not found")


def compare_tables(run_, world, name, rows, data, *more):
    python = environment(run_.venvs, "verify")
    command = [python, HERE / "zendesk_compare.py", world, "--data", data, *more]
    command += ["--client", name, rows] if name else []
    only = run_.arguments.streams
    said = run([*command, *(["--only", only] if only else [])], env={"PYTHONPATH": str(HERE)})
    return said.strip().splitlines()[-1]


def overlock(run_):
    """Overlock's committed rows: all that the world has and each client has read, every field of it."""
    data = run_.arguments.data or sync(run_)
    check(run_.read, "no client has read anything to compare with")
    for name, rows in run_.read.items():
        said = compare_tables(run_, run_.world(), name, rows, data)
        print(f"  overlock against the world and {name}: {said}")


def sync(run_):
    """Runs the binary on the same emulator; returns the folder of committed tables."""
    check(run_.arguments.overlock, "give the binary with --overlock")
    project = run_.scratch / "project"
    project.mkdir(exist_ok=True)
    (project / "overlock.toml").write_text(
        f"""version = 1

[source.desk]
connector = "zendesk"
base_url = "{run_.base_url}"
start_date = "2015-01-01T00:00:00Z"
# As the other clients read: not the tickets of AI agents, and comments as they stand there now.
support_type_scope = "agent"
comments_mode = "per_ticket"
auth = {{ kind = "client_credentials", client_id = "{run_.login['client_id']}", client_secret = "env:ZD_SECRET" }}

[destination.lake]
kind = "local"
path = "data"
"""
    )
    wanted = run_.arguments.streams.split(",") if run_.arguments.streams else STREAMS
    streams = [part for name in wanted for part in ("--stream", name)]
    env = {"ZD_SECRET": run_.login["client_secret"]}
    run([run_.arguments.overlock, "sync", "desk", *streams], env=env, cwd=project, timeout=600)
    return project / "data" / "desk"


def increment(run_):
    """Five days later: a second sync brings only changes, and shows what the world holds then."""
    with emulator([*run_.command, "--behind-secs", str(6 * 86_400)]) as where:
        scratch = run_.scratch / "increment"
        scratch.mkdir()
        later = Run(run_.arguments, where, scratch, run_.command)
        sync(later)
        tell(where, f"advance {5 * 86_400}")
        data = sync(later)
        said = compare_tables(later, later.world(), None, None, data, "--increment")
        print(f"  overlock against the world, five days later: {said}")


CHECKS = {"tap-zendesk": tap, "zenpy": zenpy, "agree": agree, "teeth": teeth, "overlock": overlock, "increment": increment}


def main():
    parser = argparse.ArgumentParser(description="Real Zendesk clients against the emulator.")
    parser.add_argument("checks", nargs="*", choices=[[], *CHECKS], default=[])
    parser.add_argument("--venvs", type=pathlib.Path, default=ROOT / "target" / "interop")
    parser.add_argument("--emulator", default=EMULATOR, help="command that starts the emulator")
    parser.add_argument("--overlock", type=pathlib.Path, help="the binary to compare with")
    parser.add_argument("--data", type=pathlib.Path, help="tables that overlock has committed")
    parser.add_argument("--streams", default="", help="streams to compare with overlock's, separated by commas")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--tickets", default="60")
    arguments = parser.parse_args()
    if arguments.overlock:
        arguments.overlock = arguments.overlock.resolve()
    possible = {name: True for name in CHECKS}
    possible["overlock"] = bool(arguments.overlock or arguments.data)
    possible["increment"] = bool(arguments.overlock)
    chosen = arguments.checks or [name for name in CHECKS if possible[name]]
    arguments.venvs.mkdir(parents=True, exist_ok=True)
    scratch = arguments.venvs / "scratch" / f"zendesk-{os.getpid()}-{int(time.time() * 1000)}"
    scratch.mkdir(parents=True)

    failed = []
    command = [*arguments.emulator.split(), "--seed", arguments.seed, "--tickets", arguments.tickets]
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
