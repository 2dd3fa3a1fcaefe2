"""Leads clients with a built-in login host to the emulator.

Python imports this module by itself when its folder is on PYTHONPATH. With SF_EMULATOR set, every
`requests` call to a Salesforce host, and every https call to the emulator's own host and port, goes to
the emulator instead; the old host travels in X-Original-Host. Any other host is refused, so that no
test ever leaves this machine. The clients themselves stay as they were published.
"""

import os
from urllib.parse import urlsplit, urlunsplit

EMULATOR = os.environ.get("SF_EMULATOR")

if EMULATOR:
    from requests import adapters

    TARGET = urlsplit(EMULATOR)
    SALESFORCE = (".salesforce.com", ".force.com")
    send_unchanged = adapters.HTTPAdapter.send

    def send_to_emulator(self, request, *args, **kwargs):
        asked = urlsplit(request.url)
        host = asked.hostname or ""
        if host.endswith(SALESFORCE):
            request.headers["X-Original-Host"] = host
        elif asked.netloc != TARGET.netloc:
            raise RuntimeError(f"a client tried to reach {host}")
        request.url = urlunsplit((TARGET.scheme, TARGET.netloc, asked.path, asked.query, ""))
        kwargs["proxies"] = {}
        return send_unchanged(self, request, *args, **kwargs)

    adapters.HTTPAdapter.send = send_to_emulator
