"""A Snowflake with its own connector beside it, for tests of the destination: a stand-in, or a real account.

    python3 tests/interop/stand_in.py

Prints {"url": ...} once the stand-in listens on a free port of 127.0.0.1, or {"account": ...} (see warehouse.py), with
the "prefix" that names of databases must have. Then each line on standard input is a JSON object: {"sql": "SELECT ..."}
is run by the connector, which no one here wrote, and answered with {"rows": [...]}, every value as text, or
{"error": ...}. {"verify": "FILE"} compares a table with what it must hold, as verify.py does, and answers with
{"rows": [[finding], ...]}. {"abandon": "DATABASE"} rolls back what sessions in that database left open; the stand-in
never would. Ends, with the server, at the end of input.
"""

import json
import os
import pathlib
import sys

import verify
import warehouse
from harness import ROOT, environment


def main():
    python = environment(ROOT / "target" / "interop", "snowflake")
    if pathlib.Path(sys.executable) != python:
        os.execv(python, [str(python), __file__])
    snowflake = warehouse.start()
    print(json.dumps(snowflake.description | {"prefix": snowflake.prefix}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(snowflake, json.loads(line))), flush=True)
    snowflake.close()
    # Not by the usual way: the stand-in's database complains at length about what it leaves to the system.
    sys.stdout.flush()
    os._exit(0)


def answer(snowflake, wanted):
    try:
        if "sql" in wanted:
            with snowflake.connection.cursor() as cursor:
                rows = cursor.execute(wanted["sql"]).fetchall()
                return {"rows": [[None if cell is None else str(cell) for cell in row] for row in rows]}
        if "verify" in wanted:
            return {"rows": [[finding] for finding in verify.verify(snowflake.connection, wanted["verify"])]}
        snowflake.abandon(wanted["abandon"])
        return {"rows": []}
    except Exception as error:  # The test decides whether that is wrong.
        return {"error": f"{type(error).__name__}: {error}"}


main()
