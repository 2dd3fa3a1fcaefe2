"""Reads the emulated account with zenpy as published, over each of its ways of paging.

    zendesk_zenpy.py OUT.jsonl      with ZENPY_FORCE_SCHEME and ZENPY_FORCE_NETLOC set

Writes lines {"stream": .., "record": ..}, and says what it counted.
"""

import json
import sys

from zenpy import Zenpy
from zenpy.lib.api_objects import BaseObject
from zenpy.lib.proxy import ProxyList


class Plain(json.JSONEncoder):
    """What the client made of the answers, as JSON again."""

    def default(self, value):
        if isinstance(value, BaseObject):
            return {name: item for name, item in value.to_dict().items() if not callable(item)}
        if isinstance(value, ProxyList):
            return value.copy()
        return super().default(value)


def main():
    import os

    login = json.loads(os.environ["ZENDESK_LOGIN"])
    client = Zenpy(subdomain="acme", email=login["email"], token=login["api_token"], timeout=30)
    seen = {}
    with open(sys.argv[1], "w", encoding="utf-8") as out:

        def read(stream, objects, to=None):
            count = 0
            for item in objects:
                count += 1
                record = json.loads(json.dumps(item, cls=Plain))
                if to is not None:
                    to.append(record)
                out.write(json.dumps({"stream": stream, "record": record}) + "\n")
            seen[stream] = seen.get(stream, 0) + count
            return count

        assert client.users.me().id, "me is nobody"
        tickets = []
        by_cursor = read("tickets", client.tickets.incremental(start_time=1), tickets)
        by_time = sum(1 for _ in client.tickets.incremental(start_time=1, paginate_by_time=True))
        assert by_time >= by_cursor > 0, f"{by_time} tickets by time, {by_cursor} by cursor"
        read("users", client.users.incremental(start_time=1))
        read("organizations", client.organizations.incremental(start_time=1))
        read("ticket_metric_events", client.tickets.metrics_incremental(start_time=1))
        for name in ["groups", "group_memberships", "macros", "triggers", "automations", "views", "brands"]:
            read(name, getattr(client, name)())
        read("satisfaction_ratings", client.satisfaction_ratings())
        read("ticket_fields", client.ticket_fields())
        read("ticket_forms", client.ticket_forms())
        read("user_fields", client.user_fields())
        read("tags", ({"name": tag} if isinstance(tag, str) else tag for tag in client.tags()))
        for ticket in tickets:
            if ticket["status"] != "deleted":
                read("ticket_audits", client.tickets.audits(ticket=ticket["id"]))
                read("ticket_comments", client.tickets.comments(ticket=ticket["id"]))
        # Pages by cursor, three rows each.
        small = sum(1 for _ in client.users(cursor_pagination=3))
        assert small > 9, f"{small} users in small pages"
        articles = sum(1 for _ in client.help_center.articles())
        assert articles > 0, "no articles"
    counts = ", ".join(f"{name} {count}" for name, count in sorted(seen.items()))
    print(f"{sum(seen.values())} rows: {counts}")


if __name__ == "__main__":
    main()
