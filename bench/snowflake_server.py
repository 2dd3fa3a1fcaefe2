"""Snowflake's side of a commit, without a database: it says yes, counts, and takes files as S3 does.

    python bench/snowflake_server.py

Prints the port on 127.0.0.1. GET /log answers with the steps of all statements since the last time, and with the bytes
that came as files. It knows overlock's steps by the comment that each statement begins with, remembers heads and
columns, and reads the rows of files from the files that a PUT names. Nothing is checked: tests do that elsewhere.
"""

import collections
import glob
import http.server
import json
import re
import sys
import threading
import urllib.parse

import pyarrow.parquet

CHUNK = 1 << 20


class Account:
    """What is in the account."""

    def __init__(self):
        self.lock = threading.Lock()
        self.words, self.bytes = [], 0
        self.moved, self.heads, self.commits, self.columns = {}, {}, [], {}
        self.rows, self.sizes = {}, collections.Counter()


ACCOUNT = Account()


def table(columns, rows):
    rowtype = [{"name": name, "type": "text", "nullable": True} for name in columns]
    return {
        "parameters": [], "rowtype": rowtype, "rowset": rows, "total": len(rows), "returned": len(rows),
        "queryId": "q", "finalRoleName": "R", "statementTypeId": 0, "version": 1,
    }


def number(count):
    return table(["count"], [[str(count)]])


def answer(sql, port):
    comment, _, statement = sql.partition("\n")
    key, word = comment.split()[2], comment.split()[-1]
    account = ACCOUNT
    account.words.append(word)
    if word == "show_commits":
        return table(["created_on", "name", "rows"], [["1", "_OVERLOCK_COMMITS", str(len(account.commits))]])
    if word == "look_all":
        rows = []
        for one, head in account.heads.items():
            pipeline, stream = one.split(".")
            rows.append([pipeline, stream, stream.upper(), head["id"], head["parent"], json.dumps(head), head["id"]])
        return table(list("abcdefgh"), [row + [str(len(account.commits))] for row in rows])
    if word == "look":
        return look(key)
    if word == "create_table":
        found = re.findall(r'^ *"(.*)" ([A-Z_]+)(?:\((\d+), (\d+)\))?,?$', statement, re.M)
        account.columns[key] = [(name, "TEXT" if kind == "VARCHAR" else kind, p or None, s or None) for name, kind, p, s in found]
    if word == "upload":
        path = re.search(r"'file://(.*?)'", statement).group(1)
        prefix = re.search(r'_OVERLOCK_STAGE"/(\S+)', statement).group(1)
        for file in glob.glob(path):
            name = prefix + file.rsplit("/", 1)[1]
            account.rows[name] = pyarrow.parquet.read_metadata(file).num_rows
        info = {"locationType": "S3", "location": f"bucket/{prefix}", "region": "eu-central-1", "endPoint": f"127.0.0.1:{port}"}
        info["creds"] = {"AWS_KEY_ID": "a", "AWS_SECRET_KEY": "b", "AWS_TOKEN": "c"}
        return {"command": "UPLOAD", "src_locations": [path], "stageInfo": info, "encryptionMaterial": None, "queryId": "q"}
    if word in ("list", "copy"):
        # On a test URL the whole stage is listed.
        prefix = re.search(r'_OVERLOCK_STAGE"/(\S+)', statement)
        names = [name for name in account.rows if prefix is None or name.startswith(prefix.group(1))]
        if word == "list":
            return table(["name", "size"], [[name, str(account.sizes[name])] for name in names])
        rows = [[name, "LOADED", str(account.rows[name]), "0"] for name in names]
        return table(["file", "status", "rows_loaded", "errors_seen"], rows)
    if word == "move_head":
        head = re.search(r"\"HEAD\" = '(.*)'\nWHERE", statement, re.S).group(1)
        account.moved[key] = json.loads(head.replace("''", "'").replace("\\\\", "\\"))
    if word == "log_commit":
        account.heads[key] = account.moved[key]
        account.commits.append(account.heads[key]["id"])
    return number(1 if word in ("move_head", "log_commit", "insert") else 0)


def look(key):
    account, (pipeline, stream) = ACCOUNT, key.split(".")
    rows = [["count", None, None, None, str(len(account.commits)), None]]
    head = account.heads.get(key)
    if head:
        rows.append(["head", pipeline, stream, stream.upper(), head["id"], json.dumps(head)])
        rows.append(["commit", pipeline, stream, stream.upper(), head["id"], None])
    else:
        rows.append(["head", pipeline, stream, stream.upper(), None, None])
    for place, (name, kind, precision, scale) in enumerate(account.columns.get(key, [])):
        rows.append(["column", name, kind, precision, scale, str(place + 1)])
    return table(list("abcdef"), rows)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def say(self, body, kind="application/json", headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(200)
        for name, value in [("Content-Type", kind), ("Content-Length", str(len(data))), *headers]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def length(self):
        return int(self.headers.get("Content-Length") or 0)

    def do_GET(self):
        with ACCOUNT.lock:
            said = {"words": ACCOUNT.words, "bytes": ACCOUNT.bytes}
            ACCOUNT.words, ACCOUNT.bytes = [], 0
        self.say(said)

    def do_PUT(self):
        left = self.length()
        name = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).removeprefix("/bucket/")
        with ACCOUNT.lock:
            ACCOUNT.bytes += left
            ACCOUNT.sizes[name] += left
        while left:
            left -= len(self.rfile.read(min(left, CHUNK)))
        self.say(b"", "text/xml", [("ETag", '"1"')])

    def do_POST(self):
        body = self.rfile.read(self.length())
        path = self.path
        if path.startswith("/bucket/"):
            if "uploadId=" in path:
                done = b"<CompleteMultipartUploadResult><ETag>1</ETag></CompleteMultipartUploadResult>"
            else:
                done = b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
            return self.say(done, "text/xml")
        if path.startswith("/session/v1/login-request"):
            data = {
                "sessionId": 1, "token": "t", "masterToken": "m", "serverVersion": "9", "validityInSeconds": 3600,
                "masterValidityInSeconds": 14400, "sessionInfo": {"roleName": "R"}, "parameters": [],
            }
        elif path.startswith("/queries/"):
            with ACCOUNT.lock:
                data = answer(json.loads(body)["sqlText"], self.server.server_port)
        else:
            data = None
        self.say({"success": True, "code": None, "message": None, "data": data})


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    # Ends with whoever started it.
    threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    server.serve_forever()


main()
