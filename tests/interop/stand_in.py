"""fakesnow with Snowflake's own connector beside it, for tests of the Snowflake destination.

    python3 tests/interop/stand_in.py

Prints {"url": ...} once the server listens on a free port of 127.0.0.1. Then each line on standard input is
a JSON object: {"sql": "SELECT ..."} is run by the connector, which no one here wrote, and answered with
{"rows": [...]}, every value as text, or {"error": ...}. Ends, with the server, at the end of input.
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

from harness import ROOT, environment

START_SECONDS = 30


def main():
    python = environment(ROOT / "target" / "interop", "snowflake")
    if pathlib.Path(sys.executable) != python:
        os.execv(python, [str(python), __file__])
    import snowflake.connector

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [python.with_name("fakesnow"), "-s", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait(port, server)
        connection = snowflake.connector.connect(
            user="verifier", password="verifier", account="verifier", host="127.0.0.1", port=port, protocol="http"
        )
        print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)
        for line in sys.stdin:
            print(json.dumps(answer(connection, json.loads(line)["sql"])), flush=True)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(10)


def wait(port, server):
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline or server.poll() is not None:
                raise SystemExit("fakesnow did not start") from None
            time.sleep(0.05)


def answer(connection, sql):
    try:
        with connection.cursor() as cursor:
            rows = cursor.execute(sql).fetchall()
            return {"rows": [[None if cell is None else str(cell) for cell in row] for row in rows]}
    except Exception as error:  # The test decides whether that is wrong.
        return {"error": f"{type(error).__name__}: {error}"}


main()
