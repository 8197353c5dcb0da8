"""HTTP as a client of the shop does it, and waiting for conditions. Uses nothing of ours."""
import http.client
import json
import os
import time
import urllib.parse
import uuid

SHOP = urllib.parse.urlsplit(os.environ["SHOP_URL"])
INBOX = urllib.parse.urlsplit(os.environ["INBOX_URL"])


class Reply:
    """What came back: status, headers, text; json() and code (of a problem document) out of the text."""

    def __init__(self, status, headers, text):
        self.status, self.headers, self.text = status, headers, text

    def json(self):
        return json.loads(self.text)

    @property
    def code(self):
        return self.json().get("code") if self.text.startswith("{") else None

    @property
    def replayed(self):
        return self.headers["Idempotent-Replayed"] == "true"

    def __iter__(self):
        return iter((self.status, self.headers, self.text))

    def __repr__(self):
        return f"{self.status} {self.text[:400]}"


def ask(method, path, body=None, headers=(), door=SHOP, timeout=30):
    """One request on its own connection. A body that is no text is sent as JSON."""
    if body is not None and not isinstance(body, (str, bytes)):
        body = json.dumps(body)
    connection = http.client.HTTPConnection(door.hostname, door.port, timeout=timeout)
    try:
        sent = {"Content-Type": "application/json", **dict(headers)} if body is not None else dict(headers)
        connection.request(method, path, body, sent)
        reply = connection.getresponse()
        return Reply(reply.status, reply.headers, reply.read().decode())
    finally:
        connection.close()


_position = [(0, 0)]  # how far this process's own writes have got: (high, low) of Fastr-Session


def _remember(position):
    if position:
        high, low = position.split("/")
        _position[0] = max(_position[0], (int(high, 16), int(low, 16)))


def api(method, path, body=None, token=None, key=None, headers=()):
    """A request to /api/v1 with a bearer token and an Idempotency-Key, where they are given.

    As a browser would, it sends back the Fastr-Session that it got last, so that it sees what it has written; unless
    `headers` says something else.
    """
    sent = {"Fastr-Session": "%X/%X" % _position[0], **dict(headers)}
    if token:
        sent["Authorization"] = "Bearer " + token
    if key:
        sent["Idempotency-Key"] = key
    reply = ask(method, "/api/v1" + path, body, sent)
    _remember(reply.headers["Fastr-Session"])
    return reply


def must(status, *arguments, **named):
    """The JSON of an api() request that has to be answered with this status."""
    reply = api(*arguments, **named)
    if reply.status != status:
        raise AssertionError(f"{arguments[0]} {arguments[1]}: expected {status}, got {reply!r}")
    return reply.json() if reply.text else None


def new_key():
    return str(uuid.uuid4())


def until(seconds, what, condition):
    """Waits until the condition gives something true, and returns that; fails, naming it, after the deadline. What takes
    time to tell is a function."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what() if callable(what) else what}")
        time.sleep(0.05)
    return found
