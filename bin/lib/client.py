"""client: one keep-alive connection to the shop, as a shopper's page would have it: what is lost or put off is sent
again with the same Idempotency-Key, so that killing any of the shop's processes meanwhile must lose nothing.

Leans on Python's standard library. Used by replay.py and attack.py.
"""
import http.client
import json
import time
import urllib.parse
import uuid

PATIENCE = 90  # seconds that one request may take with all its repetitions
AGAIN = {502, 503, 504}
RUNNING = {"idempotency_running", "checkout_running"}


class Refused(Exception):
    """The shop said no, and meant it: status and problem document."""

    def __init__(self, status, problem):
        super().__init__(f"{status} {problem.get('code')}: {problem.get('detail')}")
        self.status, self.problem, self.code = status, problem, problem.get("code")


class Client:
    """One connection; used by one thread. `counts` (a Counter) is told what was sent again and why; `meter`, if given,
    is entered while a request is on its way. It is a guest's, or of `person`. What it has changed it sees
    (Fastr-Session), and what `after` had."""

    def __init__(self, url, counts, meter=None, person=None, after=None):
        parts = urllib.parse.urlsplit(url)
        self.host, self.port, self.counts, self.meter = parts.hostname, parts.port or 80, counts, meter
        self.url, self.person, self.session = url, person, after and after.session
        self.connection = None

    def _once(self, method, path, body, headers):
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        self.connection.request(method, "/api/v1" + path, body, headers)
        response = self.connection.getresponse()
        text = response.read()
        self.session = response.headers["Fastr-Session"] or self.session
        return response, json.loads(text) if text else None

    def _send(self, *request):
        if self.meter is None:
            return self._once(*request)
        with self.meter:
            return self._once(*request)

    def drop(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def call(self, method, path, body=None, headers=None, key=None):
        """Returns status, body, headers of a 2xx or 402; raises Refused. Repeats what may be repeated."""
        sent = {"Accept": "application/json", **(headers or {})}
        if method != "GET":
            sent["Idempotency-Key"] = key or str(uuid.uuid4())
        if self.session:
            sent["Fastr-Session"] = self.session
        if self.person:
            sent["Authorization"] = "Bearer " + self.person.token()
        text = None if body is None else json.dumps(body)
        if text is not None:
            sent["Content-Type"] = "application/json"
        end, pause = time.monotonic() + PATIENCE, 0.1
        while True:
            try:
                response, reply = self._send(method, path, text, sent)
                if response.status < 300 or response.status == 402:
                    return response.status, reply, response.headers
                why = (reply or {}).get("code") or str(response.status)
                if response.status not in AGAIN and why not in RUNNING:
                    raise Refused(response.status, reply or {})
            except (OSError, http.client.HTTPException, ValueError) as lost:
                self.drop()
                why = type(lost).__name__
            self.counts["repeated: " + why] += 1
            if time.monotonic() > end:
                raise Refused(0, {"code": "gave_up", "detail": f"{method} {path} for {PATIENCE} s: {why}"})
            time.sleep(pause)
            pause = min(pause * 1.7, 2)


class Person:
    """Somebody with an account; his token is made anew before it ends."""

    def __init__(self, client, email, password):
        self.client, self.email, self.password, self.until = client, email, password, 0

    def token(self):
        if time.monotonic() > self.until:
            _, reply, _ = self.client.call("POST", "/auth/tokens", {"email": self.email, "password": self.password})
            self._token, self.until = reply["access_token"], time.monotonic() + reply["expires_in"] / 2
        return self._token
