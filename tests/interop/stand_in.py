"""fakesnow with Snowflake's own connector beside it, for tests of the Snowflake destination.

    python3 tests/interop/stand_in.py

Prints {"url": ...} once the server listens on a free port of 127.0.0.1. Then each line on standard input is
a JSON object: {"sql": "SELECT ..."} is run by the connector, which no one here wrote, and answered with
{"rows": [...]}, every value as text, or {"error": ...}. {"abandon": "DATABASE"} rolls back what sessions in that
database left open, as Snowflake does with transactions whose client is gone; the stand-in never would.
Ends, with the server, at the end of input.
"""

import contextlib
import json
import logging
import os
import pathlib
import socket
import sys
import threading
import time
import warnings

from harness import ROOT, environment

START_SECONDS = 30


def main():
    python = environment(ROOT / "target" / "interop", "snowflake")
    if pathlib.Path(sys.executable) != python:
        os.execv(python, [str(python), __file__])
    # What it cannot do is told in its answers.
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    import fakesnow.server
    import snowflake.connector
    import uvicorn

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = uvicorn.Config(fakesnow.server.app, host="127.0.0.1", port=port, log_level="critical")
    server = uvicorn.Server(config)
    threading.Thread(target=server.run, daemon=True).start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if time.monotonic() > deadline:
            raise SystemExit("fakesnow did not start")
        time.sleep(0.02)
    connection = snowflake.connector.connect(
        user="verifier", password="verifier", account="verifier", host="127.0.0.1", port=port, protocol="http"
    )
    own = set(fakesnow.server.sessions)
    count_rows(fakesnow.server.shared_fs)
    print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)
    for line in sys.stdin:
        wanted = json.loads(line)
        if "sql" in wanted:
            said = answer(connection, wanted["sql"])
        else:
            said = {"rows": [[str(abandon(fakesnow.server.sessions, own, wanted["abandon"]))]]}
        print(json.dumps(said), flush=True)
    # Not by the usual way: the database's library complains at length about what it leaves to the system.
    sys.stdout.flush()
    os._exit(0)


def count_rows(stand_in):
    """Lets SHOW TABLES tell how many rows a table has, as Snowflake's does; the stand-in says 0 of every table."""
    from fakesnow.transforms.show import SQL_CREATE_VIEW_SHOW_TABLES

    size = """(select estimated_size from duckdb_tables() as t where t.database_name = tables.table_catalog
        and t.schema_name = tables.table_schema and t.table_name = tables.table_name)"""
    view = SQL_CREATE_VIEW_SHOW_TABLES.replace("create view if not exists", "create or replace view")
    counted = view.replace("0 as rows", f"{size} as rows")
    if counted == view:
        raise SystemExit("this version of fakesnow describes SHOW TABLES otherwise")
    stand_in.duck_conn.execute(counted)


def abandon(sessions, own, database):
    """Ends every session in a database but our own."""
    gone = [token for token, session in sessions.items() if token not in own and session.database == database]
    for token in gone:
        session = sessions.pop(token)
        with contextlib.suppress(Exception):  # Most have no open transaction.
            session.cursor().execute("ROLLBACK")
    return len(gone)


def answer(connection, sql):
    try:
        with connection.cursor() as cursor:
            rows = cursor.execute(sql).fetchall()
            return {"rows": [[None if cell is None else str(cell) for cell in row] for row in rows]}
    except Exception as error:  # The test decides whether that is wrong.
        return {"error": f"{type(error).__name__}: {error}"}


main()
