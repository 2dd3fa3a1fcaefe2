"""simple-salesforce, unchanged, against the emulator: logins, describe, REST, Bulk API 2.0 and 1.0.

Run by `run.py` inside its own environment: simple_client.py BASE_URL LOGIN_FILE ROWS_FILE OBJECT...
Writes the rows it read by REST to ROWS_FILE as JSON lines and prints one line per call that worked.
"""

import csv
import io
import json
import pathlib
import sys
import warnings

from simple_salesforce import Salesforce, SalesforceAuthenticationFailed

VERSION = "62.0"
# Seconds between polls of a job; the default of five would be most of the time of a check.
POLL = 0.2


def logins(base_url, login, key_file):
    """Each way to log in that the client offers, by name."""
    app = {"consumer_key": login["client_id"], "consumer_secret": login["client_secret"]}
    user = {"username": login["username"], "password": login["password"]}
    # With a security token apart the client would log in by SOAP.
    joined = {"username": login["username"], "password": login["password"] + login["security_token"]}
    yield "password", {**joined, **app}
    yield "jwt", {
        "username": login["username"],
        "consumer_key": login["client_id"],
        "privatekey_file": key_file,
    }
    yield "client credentials", {**app, "domain": "acme.my"}
    yield "soap", {**user, "security_token": login["security_token"]}
    yield "soap with ip filter", {**user, "organizationId": "00D000000000001"}


def main():
    base_url, login_file, rows_file, *objects = sys.argv[1:]
    login = json.loads(pathlib.Path(login_file).read_text())
    key_file = pathlib.Path(login_file).with_suffix(".pem")
    key_file.write_text(login["private_key"])
    warnings.simplefilter("ignore")

    client = None
    for name, arguments in logins(base_url, login, str(key_file)):
        client = Salesforce(version=VERSION, **arguments)
        assert client.query("SELECT COUNT() FROM User")["totalSize"] > 0, name
        print(f"login by {name}")
    session = Salesforce(session_id=client.session_id, instance_url=base_url, version=VERSION)
    print("login by session id")
    refused = dict(next(iter(logins(base_url, login, "")))[1], password="wrong")
    try:
        Salesforce(version=VERSION, **refused)
        raise AssertionError("a wrong password was accepted")
    except SalesforceAuthenticationFailed as error:
        assert error.code == "invalid_grant", error
        print("login refused with a wrong password")

    names = {item["name"]: item for item in session.describe()["sobjects"]}
    assert set(objects) <= set(names), set(objects) - set(names)
    print(f"describe: {len(names)} objects")
    limits = session.limits()
    assert limits["DailyApiRequests"]["Max"] > 0
    print(f"limits: {len(limits)}")

    with open(rows_file, "w", encoding="utf-8") as rows:
        for name in objects:
            read(session, name, rows)


def read(session, name, rows):
    described = getattr(session, name).describe()
    fields = [field["name"] for field in described["fields"]]
    plain = [
        field["name"]
        for field in described["fields"]
        if field["type"] not in ("address", "location", "base64")
    ]
    # Fields are asked for in slices: one query with all of them may be too long for a URL.
    merged = {}
    for start in range(0, len(fields), 100):
        slice_ = ["Id"] + [field for field in fields[start : start + 100] if field != "Id"]
        answer = session.query_all(f"SELECT {','.join(slice_)} FROM {name}", include_deleted=True)
        assert answer["done"] and answer["totalSize"] == len(answer["records"]), name
        for record in answer["records"]:
            record.pop("attributes")
            merged.setdefault(record["Id"], {}).update(record)
    for record in merged.values():
        rows.write(json.dumps({"stream": name, "record": record}) + "\n")
    live = session.query_all(f"SELECT Id FROM {name}")["totalSize"]
    assert live <= len(merged), name

    # REST answered with everything; both bulk APIs must show the same rows, deleted ones included.
    query = f"SELECT {','.join(plain[:100])} FROM {name}"
    bulk2 = getattr(session.bulk2, name)
    pages = list(bulk2.query_all(query, max_records=50, wait=POLL))
    ids = csv_ids(pages)
    assert len(ids) == len(set(ids)) and set(ids) == set(merged), f"{name}: bulk2 {len(ids)} rows"
    live_ids = csv_ids(bulk2.query(f"SELECT Id FROM {name}", wait=POLL))
    assert len(live_ids) == live, f"{name}: bulk2 shows {len(live_ids)} of {live} live rows"
    records = getattr(session.bulk, name).query_all(query, lazy_operation=False, wait=POLL)
    ids = [record["Id"] for record in records]
    assert len(ids) == len(set(ids)) and set(ids) == set(merged), f"{name}: bulk {len(ids)} rows"
    print(f"{name}: {len(merged)} rows, {live} live, {len(pages)} bulk2 pages, the same by bulk")


def csv_ids(pages):
    csv.field_size_limit(2**31 - 1)
    return [row["Id"] for page in pages for row in csv.DictReader(io.StringIO(page, newline=""))]


if __name__ == "__main__":
    main()
