"""Starts tap-zuora as published, with its table of data centres led to the emulator.

The client has no setting for its address; only that table is replaced, and its waiting shortened: it asks every
minute for a job that is done at once, and waits up to four minutes before it tries again. Any host but the
emulator's is refused.
"""

import os
import time
from urllib.parse import urlsplit

import requests

BASE = urlsplit(os.environ["ZUORA_EMULATOR"])
LONGEST_WAIT = 0.05

send_unchanged = requests.Session.send


def send(self, request, **rest):
    if urlsplit(request.url).netloc != BASE.netloc or BASE.hostname != "127.0.0.1":
        raise RuntimeError(f"a client tried to reach {urlsplit(request.url).hostname}")
    return send_unchanged(self, request, **rest)


requests.Session.send = send

sleep_unchanged = time.sleep
time.sleep = lambda seconds: sleep_unchanged(min(seconds, LONGEST_WAIT))

import tap_zuora  # noqa: E402
import tap_zuora.client  # noqa: E402
import tap_zuora.sync  # noqa: E402

for centre in tap_zuora.client.URLS:
    tap_zuora.client.URLS[centre] = [f"{BASE.scheme}://{BASE.netloc}/"]
tap_zuora.sync.DEFAULT_POLL_INTERVAL = LONGEST_WAIT
# A job that is not done by then never will be.
tap_zuora.sync.DEFAULT_JOB_TIMEOUT = 60

tap_zuora.main()
