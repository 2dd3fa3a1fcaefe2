"""A Snowflake for tests: fakesnow in this process, or a real account, and Snowflake's own connector beside it.

A real account is used with OVERLOCK_TEST_SNOWFLAKE=1 in the environment, and with it

    SNOWFLAKE_ACCOUNT            such as myorg-myaccount
    SNOWFLAKE_USER               may create databases; they begin with OVERLOCK_TEST_ and are dropped at the end
    SNOWFLAKE_PRIVATE_KEY_FILE   its key: PKCS#8, PEM, not encrypted
    SNOWFLAKE_WAREHOUSE          runs the statements
    SNOWFLAKE_ROLE               optional
"""

import contextlib
import logging
import os
import pathlib
import secrets
import socket
import threading
import time
import warnings

import verify

START_SECONDS = 30


class StandIn:
    """fakesnow. What it cannot do is told in its answers."""

    prefix = ""

    def __init__(self):
        logging.disable(logging.CRITICAL)
        warnings.simplefilter("ignore")
        import fakesnow.server
        import snowflake.connector
        import uvicorn

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        config = uvicorn.Config(fakesnow.server.app, host="127.0.0.1", port=self.port, log_level="critical")
        server = uvicorn.Server(config)
        threading.Thread(target=server.run, daemon=True).start()
        deadline = time.monotonic() + START_SECONDS
        while not server.started:
            if time.monotonic() > deadline:
                raise SystemExit("fakesnow did not start")
            time.sleep(0.02)
        who = {"user": "verifier", "password": "verifier", "account": "verifier"}
        where = {"host": "127.0.0.1", "port": self.port, "protocol": "http"}
        self.connection = snowflake.connector.connect(**who, **where, session_parameters=verify.SESSION)
        self.sessions = fakesnow.server.sessions
        self.own = set(self.sessions)
        self.description = {"url": f"http://127.0.0.1:{self.port}"}
        count_rows(fakesnow.server.shared_fs)

    def abandon(self, database):
        """Ends every session in a database but our own, as Snowflake does with transactions whose client is gone."""
        sessions = self.sessions.items()
        gone = [token for token, one in sessions if token not in self.own and one.database == database]
        for token in gone:
            session = self.sessions.pop(token)
            with contextlib.suppress(Exception):  # Most have no open transaction.
                session.cursor().execute("ROLLBACK")

    def close(self):
        """Everything is gone with this process."""


class RealAccount:
    """An account of Snowflake."""

    def __init__(self):
        import snowflake.connector

        def setting(name):
            if not (value := os.environ.get(name)):
                raise SystemExit(f"OVERLOCK_TEST_SNOWFLAKE=1 needs {name}, see tests/interop/warehouse.py")
            return value

        account, user = setting("SNOWFLAKE_ACCOUNT"), setting("SNOWFLAKE_USER")
        key = pathlib.Path(setting("SNOWFLAKE_PRIVATE_KEY_FILE")).resolve()
        self.description = {"account": account, "user": user, "private_key_file": str(key)}
        self.description["warehouse"] = setting("SNOWFLAKE_WAREHOUSE")
        self.description["role"] = os.environ.get("SNOWFLAKE_ROLE")
        self.prefix = f"OVERLOCK_TEST_{secrets.token_hex(4).upper()}_"
        given = {name: value for name, value in self.description.items() if value}
        self.connection = snowflake.connector.connect(**given, session_parameters=verify.SESSION)

    def abandon(self, database):
        """Snowflake does that by itself, some minutes after the client is gone."""

    def close(self):
        with self.connection.cursor() as cursor:
            named = cursor.execute(f"SHOW DATABASES LIKE '{self.prefix}%'").fetchall()
            for name in [row[1] for row in named]:
                if name.startswith(self.prefix):
                    cursor.execute(f'DROP DATABASE "{name}"')


def start():
    return RealAccount() if os.environ.get("OVERLOCK_TEST_SNOWFLAKE") == "1" else StandIn()


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
