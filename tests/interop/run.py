"""Runs the field's own Salesforce clients, as published, against the emulator, and compares their rows.

    python3 tests/interop/run.py                        everything
    python3 tests/interop/run.py tap-rest simple        some checks
    python3 tests/interop/run.py --overlock PATH        with `overlock sync` on the same data
    python3 tests/interop/run.py --data DATA/SOURCE --base-url URL --login FILE
                                                        against a sandbox and a sync that are there already

Environments are made once under target/interop from the pinned requirements and kept. Everything listens
on 127.0.0.1 and ends with this program. Exits with 1 if a check fails, and says which.
"""

import argparse
import contextlib
import json
import pathlib
import sys
import time

from harness import ROOT, Failed, advance, check, client_env, emulator, environment, run

EMULATOR = "cargo run --quiet -p overlock-salesforce --features emulator --example emulator --"
OBJECTS = [
    "Account", "Campaign", "CampaignMember", "Contact", "Event", "Invoice__c", "Lead", "Opportunity",
    "OpportunityContactRole", "OpportunityFieldHistory", "OpportunityHistory", "OpportunityLineItem",
    "Pricebook2", "PricebookEntry", "Product2", "RecordType", "Task", "User",
]
# Objects that only a hostile world has (`--nasty`).
HOSTILE = ["Burst__c", "Empty__c", "Nasty__c", "Wide__c"]
# Formulas that change with the day, and those that show another record: no stamp tells of their change.
BY_DAY = "Age_In_Days__c,Days_Open__c"
BY_OTHERS = "Owner_Email__c,Account_Rating__c"
# Field histories have no stamp but their creation: that one went with its record shows in no increment.
UNSTAMPED = "OpportunityFieldHistory.IsDeleted"
START = "2015-01-01T00:00:00Z"


class Run:
    """One run: the emulator's address, the environments, the scratch folder, what was read so far."""

    def __init__(self, arguments, where, scratch):
        self.arguments = arguments
        self.base_url = where["base_url"]
        self.login = where["login"]
        self.scratch = scratch
        self.venvs = arguments.venvs
        self.read = {}

    def compare_all(self, against, clients, *arguments, ignore=BY_DAY):
        """Compares the rows of each client; fails at the end if one differs."""
        arguments = [*arguments, "--ignore", ignore]
        python = environment(self.venvs, "verify")
        script = pathlib.Path(__file__).with_name("compare.py")
        problems = []
        for name, path in clients:
            try:
                said = run([python, script, path, *arguments])
                print(f"  {name} {against}: {said.strip().splitlines()[-1]}")
            except Failed as error:
                problems.append(f"{name} {against}: {error}")
        check(not problems, "\n".join(problems))


def tap(run_, api, name=None):
    """tap-salesforce: discover, select everything, sync."""
    name = name or f"tap-{api.lower()}"
    python = environment(run_.venvs, "tap")
    folder = run_.scratch / name
    folder.mkdir(parents=True)
    config = folder / "config.json"
    keys = ("refresh_token", "client_id", "client_secret")
    settings = {key: run_.login[key] for key in keys}
    settings |= {"start_date": START, "api_type": api, "select_fields_by_default": True}
    # By default the client stops at a quarter of the day's calls; a test org has few.
    settings["quota_percent_per_run"] = settings["quota_percent_total"] = 100
    config.write_text(json.dumps(settings))
    command = [python.with_name("tap-salesforce"), "-c", config]
    env = client_env(run_.base_url)
    catalog = json.loads(run([*command, "--discover"], env=env))
    names = [stream["stream"] for stream in catalog["streams"]]
    wanted = OBJECTS + (HOSTILE if run_.arguments.nasty else [])
    if api == "BULK":
        # The client gives up on whole numbers that CSV spells 3.0 or 1.0E7, as the service may.
        wanted = [name for name in wanted if name != "Nasty__c"]
    check(set(wanted) <= set(names), f"discover does not show {set(wanted) - set(names)}")
    catalog["streams"] = [stream for stream in catalog["streams"] if stream["stream"] in wanted]
    for stream in catalog["streams"]:
        select(stream)
    properties, out = folder / "catalog.json", folder / "out.jsonl"
    properties.write_text(json.dumps(catalog))
    run([*command, "--properties", properties], env=env, stdout=out, timeout=600)
    count = sum(line.startswith('{"type": "RECORD"') for line in out.open(encoding="utf-8"))
    check(count > 0, "no record was read")
    print(f"  discovered {len(names)} streams, read {len(catalog['streams'])}: {count} records")
    run_.read[name] = out


def select(stream):
    """Marks a stream and all its readable fields."""
    for entry in stream["metadata"]:
        if not entry["breadcrumb"]:
            keys = entry["metadata"].get("valid-replication-keys") or []
            entry["metadata"]["selected"] = True
            key = next((key for key in ("SystemModstamp", "LastModifiedDate", "CreatedDate") if key in keys), None)
            entry["metadata"]["replication-method"] = "INCREMENTAL" if key else "FULL_TABLE"
            if key:
                entry["metadata"]["replication-key"] = key
        elif entry["metadata"].get("inclusion") == "available":
            entry["metadata"]["selected"] = True


def simple(run_):
    """simple-salesforce: every login, describe, limits, REST with deleted rows, both bulk APIs."""
    python = environment(run_.venvs, "simple")
    folder = run_.scratch / "simple"
    folder.mkdir(parents=True)
    login, rows = folder / "login.json", folder / "rows.jsonl"
    login.write_text(json.dumps(run_.login))
    script = pathlib.Path(__file__).with_name("simple_client.py")
    said = run([python, script, run_.base_url, login, rows, *OBJECTS], env=client_env(run_.base_url), timeout=600)
    for line in said.strip().splitlines():
        print(f"  {line}")
    run_.read["simple"] = rows


def agree(run_):
    """The clients among each other: all read the same rows over four different APIs."""
    check(len(run_.read) > 1, "fewer than two clients have read")
    (first, rows), *others = run_.read.items()
    run_.compare_all(f"against {first}", others, "--rows", rows)


def teeth(run_):
    """The comparison itself: a lost and an altered row must be found, or agreement means nothing."""
    check(run_.read, "no client has read anything to tamper with")
    name, rows = next(iter(run_.read.items()))
    lines = rows.read_text(encoding="utf-8").splitlines()
    spots = [at for at, line in enumerate(lines) if '"CreatedDate"' in line and '"record"' in line]
    message = json.loads(lines[spots[len(spots) // 2]])
    for what, field, value in [("lost", "Id", "000000000000001AAA"), ("altered", "CreatedDate", "1999-01-01T00:00:00Z")]:
        tampered = rows.with_name(f"{what}.jsonl")
        changed = {**message, "record": {**message["record"], field: value}}
        tampered.write_text("\n".join([*lines, json.dumps(changed)]), encoding="utf-8")
        try:
            run_.compare_all(what, [(name, tampered)], "--rows", rows)
        except Failed:
            print(f"  a row that is {what} is found")
            continue
        raise Failed(f"a row that is {what} was not found")


def overlock(run_):
    """Overlock's committed rows against each client's."""
    data = run_.arguments.data
    if not data:
        data = sync(run_)
    check(run_.read, "no client has read anything to compare with")
    run_.compare_all("against overlock", run_.read.items(), "--data", data)


def sync(run_):
    """Runs the binary on the same emulator; returns the folder of committed tables."""
    check(run_.arguments.overlock, "give the binary with --overlock")
    project = run_.scratch / "project"
    project.mkdir(exist_ok=True)
    key = project / "key.pem"
    key.write_text(run_.login["private_key"])
    (project / "overlock.toml").write_text(
        f"""version = 1

[source.sfdc]
connector = "salesforce"
login_url = "{run_.base_url}"
start_date = "{START}"
# Nothing is committed late here, and a client has no such caution: what changed just now is compared, too.
settle = "1s"
auth = {{ kind = "client_credentials", client_id = "{run_.login['client_id']}", client_secret = "env:SF_SECRET" }}

[destination.lake]
kind = "local"
path = "data"
"""
    )
    wanted = OBJECTS + (HOSTILE if run_.arguments.nasty else [])
    streams = [part for name in wanted for part in ("--stream", name)]
    run(
        [run_.arguments.overlock, "sync", "sfdc", *streams],
        env={"SF_SECRET": run_.login["client_secret"]},
        cwd=project,
        timeout=600,
    )
    return project / "data" / "sfdc"


def increment(run_):
    """Five days later: a second sync brings only changes, and shows what a fresh client reads in full."""
    command = [*run_.arguments.emulator.split(), "--seed", run_.arguments.seed]
    command += ["--behind-secs", 6 * 86_400] + (["--nasty"] if run_.arguments.nasty else [])
    with emulator(command) as where:
        scratch = run_.scratch / "increment"
        scratch.mkdir()
        later = Run(run_.arguments, where, scratch)
        sync(later)
        advance(where, 5 * 86_400)
        data = sync(later)
        tap(later, "REST")
        ignore = f"{BY_DAY},{BY_OTHERS},{UNSTAMPED}"
        later.compare_all("against overlock", later.read.items(), "--data", data, ignore=ignore)


CHECKS = {
    "tap-rest": lambda run_: tap(run_, "REST"),
    "tap-bulk": lambda run_: tap(run_, "BULK"),
    "simple": simple,
    "agree": agree,
    "teeth": teeth,
    "overlock": overlock,
    "increment": increment,
}


def main():
    parser = argparse.ArgumentParser(description="Real Salesforce clients against the emulator.")
    parser.add_argument("checks", nargs="*", choices=[[], *CHECKS], default=[])
    parser.add_argument("--venvs", type=pathlib.Path, default=ROOT / "target" / "interop")
    parser.add_argument("--emulator", default=EMULATOR, help="command that starts the emulator")
    parser.add_argument("--base-url", help="an emulator that runs already")
    parser.add_argument("--login", type=pathlib.Path, help="its credentials as JSON")
    parser.add_argument("--overlock", type=pathlib.Path, help="the binary to compare with")
    parser.add_argument("--data", type=pathlib.Path, help="tables that overlock has committed")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--nasty", action="store_true", help="with the hostile objects")
    arguments = parser.parse_args()
    if arguments.overlock:
        arguments.overlock = arguments.overlock.resolve()
    possible = {name: True for name in CHECKS}
    possible["overlock"] = bool(arguments.overlock or arguments.data)
    possible["increment"] = bool(arguments.overlock and not arguments.base_url)
    chosen = arguments.checks or [name for name in CHECKS if possible[name]]
    arguments.venvs.mkdir(parents=True, exist_ok=True)
    scratch = arguments.venvs / "scratch" / str(int(time.time() * 1000))
    scratch.mkdir(parents=True)

    failed = []
    with contextlib.ExitStack() as stack:
        if arguments.base_url:
            where = {"base_url": arguments.base_url, "login": json.loads(arguments.login.read_text())}
        else:
            command = [*arguments.emulator.split(), "--seed", arguments.seed]
            command += ["--nasty"] if arguments.nasty else []
            where = stack.enter_context(emulator(command))
        run_ = Run(arguments, where, scratch)
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
