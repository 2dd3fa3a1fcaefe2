"""Starts tap-zendesk as published, with its three built-in hosts led to the emulator.

The client builds `https://SUBDOMAIN.zendesk.com` addresses for zenpy, requests and aiohttp; only where these
send is changed here, nothing of the client itself. Any host but 127.0.0.1 is refused.
"""

import os
from urllib.parse import urlsplit, urlunsplit

BASE = urlsplit(os.environ["ZENDESK_EMULATOR"])
os.environ["ZENPY_FORCE_SCHEME"] = BASE.scheme
os.environ["ZENPY_FORCE_NETLOC"] = BASE.netloc

import aiohttp  # noqa: E402
import requests  # noqa: E402


def led(url):
    parts = urlsplit(str(url))
    if parts.hostname and parts.hostname.endswith(".zendesk.com"):
        return urlunsplit((BASE.scheme, BASE.netloc, parts.path, parts.query, ""))
    if parts.netloc != BASE.netloc:
        raise RuntimeError(f"a client tried to reach {parts.hostname}")
    return str(url)


request_unchanged = requests.Session.request
requests.Session.request = lambda self, method, url, **rest: request_unchanged(self, method, led(url), **rest)

async_unchanged = aiohttp.ClientSession._request


async def async_request(self, method, url, **rest):
    return await async_unchanged(self, method, led(url), **rest)


aiohttp.ClientSession._request = async_request

# After the senders are led, so that the client takes them up.
import tap_zendesk  # noqa: E402

tap_zendesk.main()
