#!/usr/bin/python3
"""The SMTP inbox: takes every mail, delivers none, shows them in a page and as JSON in MailDev's shape.

usage: inbox.py FOLDER SMTP_PORT WEB_PORT

  GET /                  the page
  GET /email             all mails, oldest first; ?subject=x, ?to.address=x ... filter by equality (dotted path)
  GET /email/{id}        one mail;  /email/{id}/html its HTML part;  /email/{id}/source as it came
  DELETE /email/{id}, DELETE /email/all
  GET /healthz           true

Mail to no-such-user@... is refused (550), mail to busy@... put off (451): for trying out what comes of it.

A mail is a file in FOLDER (ID.eml, its envelope in two headers on top), so it outlives a restart. The newest KEEP stay.
"""
import asyncio
import email
import email.policy
import email.utils
import html
import itertools
import json
import os
import pathlib
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.smtp import SMTP

KEEP = 20000
LARGEST = 10 * 1024 * 1024
ENVELOPE = ("X-Inbox-From", "X-Inbox-To")


def people(header):
    """`Ann <ann@x>, bob@x` as MailDev's list of {address, name}."""
    return [{"address": address, "name": name} for name, address in email.utils.getaddresses([str(header or "")]) if address]


def iso(timestamp):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(timestamp)) + ".%03dZ" % (timestamp % 1 * 1000)


def part(message, kind):
    body = message.get_body((kind,))
    return body.get_content() if body is not None else None


def attachment(item):
    content = item.get_payload(decode=True) or b""
    return {"contentType": item.get_content_type(), "fileName": item.get_filename() or "", "length": len(content)}


def describe(name, raw, received):
    """One stored mail as MailDev's JSON object."""
    message = email.message_from_bytes(raw, policy=email.policy.default)
    sender, recipients = (str(message.get(header, "")) for header in ENVELOPE)
    for header in ENVELOPE:
        del message[header]
    headers = {key.lower(): str(value) for key, value in message.items()}
    sent = email.utils.parsedate_to_datetime(headers["date"]).timestamp() if headers.get("date") else received
    return {
        "id": name, "time": iso(received), "date": iso(sent), "read": False, "subject": headers.get("subject", ""),
        "from": people(message["from"]), "to": people(message["to"]), "cc": people(message["cc"]),
        "messageId": headers.get("message-id", "").strip("<>"), "headers": headers,
        "text": part(message, "plain") or "", "html": part(message, "html") or "",
        "envelope": {"from": {"address": sender}, "to": [{"address": one} for one in recipients.split()]},
        "attachments": [attachment(item) for item in message.iter_attachments()],
        "size": len(raw), "sizeHuman": "%.1f kB" % (len(raw) / 1000), "source": f"/email/{name}/source",
    }


class Box:
    """The mails on disk, with their descriptions in memory. Safe to use from several threads."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = threading.Lock()
        self.serial = itertools.count()
        paths = sorted(self.folder.glob("*.eml"))
        self.mails = {path.stem: describe(path.stem, path.read_bytes(), path.stat().st_mtime) for path in paths}

    def path(self, name):
        return self.folder / (name + ".eml")

    def add(self, raw):
        with self.lock:
            name = "%013x%05x" % (time.time_ns() // 1_000_000, next(self.serial) & 0xFFFFF)
            mail = describe(name, raw, time.time())
            partial = self.path(name).with_suffix(".part")
            partial.write_bytes(raw)
            partial.rename(self.path(name))
            self.mails[name] = mail
            while len(self.mails) > KEEP:
                self.drop(next(iter(self.mails)))

    def drop(self, name):
        del self.mails[name]
        self.path(name).unlink(missing_ok=True)

    def remove(self, name):
        """Removes one mail, or all; False if there is no such mail."""
        with self.lock:
            names = list(self.mails) if name == "all" else [name]
            if name != "all" and name not in self.mails:
                return False
            for one in names:
                self.drop(one)
            return True

    def list(self):
        with self.lock:
            return list(self.mails.values())

    def get(self, name):
        with self.lock:
            return self.mails.get(name)


def values(thing, path):
    """What is at a dotted path; a list on the way stands for each of its members."""
    if isinstance(thing, list):
        return [found for one in thing for found in values(one, path)]
    if not path:
        return [thing]
    return values(thing[path[0]], path[1:]) if isinstance(thing, dict) and path[0] in thing else []


def matches(mail, query):
    return all(wanted in map(str, values(mail, key.split("."))) for key, wanted in query)


def page(mails):
    rows = "".join(
        "<tr><td>{time}</td><td>{to}</td><td><a href='/email/{id}/html'>{subject}</a></td>"
        "<td><a href='/email/{id}/source'>source</a></td></tr>".format(
            id=mail["id"], time=mail["time"][:19].replace("T", " "), subject=html.escape(mail["subject"] or "(no subject)"),
            to=html.escape(", ".join(one["address"] for one in mail["envelope"]["to"])))
        for mail in reversed(mails[-500:]))
    return ("<!doctype html><html lang=en><meta charset=utf-8><title>Inbox</title>"
            "<style>body{font:15px system-ui;margin:2rem}td,th{padding:.3rem .8rem;text-align:left}"
            "tr:nth-child(even){background:#f4f4f4}</style>"
            f"<h1>Inbox</h1><p>{len(mails)} mails; the newest 500, newest first. JSON at <a href=/email>/email</a>.</p>"
            f"<table><tr><th>Received (UTC)<th>To<th>Subject<th></tr>{rows}</table></html>")


class Web(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    box = None

    def reply(self, status, body, kind="application/json"):
        data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind + ("" if kind == "application/json" else "; charset=utf-8"))
        self.send_header("Content-Length", str(len(data)))
        # A mail's HTML is shown as it came: it may run nothing and fetch nothing.
        self.send_header("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def one(self, name, view):
        mail = self.box.get(name)
        if mail is None:
            return self.reply(404, {"error": "no such mail"})
        if view == "html":
            return self.reply(200, mail["html"] or "<pre>" + html.escape(mail["text"]) + "</pre>", "text/html")
        if view == "source":
            return self.reply(200, self.box.path(name).read_bytes().split(b"\r\n", len(ENVELOPE))[-1], "text/plain")
        return self.reply(200, mail)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        steps = [step for step in url.path.split("/") if step]
        if not steps:
            return self.reply(200, page(self.box.list()), "text/html")
        if steps == ["healthz"]:
            return self.reply(200, True)
        if steps == ["email"]:
            query = urllib.parse.parse_qsl(url.query)
            return self.reply(200, [mail for mail in self.box.list() if matches(mail, query)])
        if steps[0] == "email" and len(steps) in (2, 3):
            return self.one(steps[1], steps[2] if len(steps) == 3 else "")
        return self.reply(404, {"error": "no such page"})

    do_HEAD = do_GET

    def do_DELETE(self):
        steps = [step for step in self.path.split("/") if step]
        if len(steps) == 2 and steps[0] == "email" and self.box.remove(steps[1]):
            return self.reply(200, True)
        return self.reply(404, {"error": "no such mail"})

    def log_message(self, *_):
        pass


class Receiver:
    """aiosmtpd's handler: the answer 250 is given after the mail is on disk."""

    def __init__(self, box):
        self.box = box

    async def handle_RCPT(self, server, session, envelope, address, options):
        refusal = {"no-such-user": "550 5.1.1 no such user", "busy": "451 4.3.2 try later"}.get(address.split("@")[0])
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        top = f"{ENVELOPE[0]}: {envelope.mail_from}\r\n{ENVELOPE[1]}: {' '.join(envelope.rcpt_tos)}\r\n"
        try:
            self.box.add(top.encode() + envelope.content)
        except (OSError, ValueError) as error:
            print("inbox: cannot keep a mail:", error, flush=True)
            return "451 4.3.0 cannot keep the mail"
        return "250 2.0.0 kept"


async def receive(box, port):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(Receiver(box), hostname="inbox.localhost", enable_SMTPUTF8=True, data_size_limit=LARGEST), "127.0.0.1", port)
    async with server:
        await server.serve_forever()


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    os.umask(0o077)
    Web.box = Box(sys.argv[1])
    web = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[3])), Web)
    web.daemon_threads = True
    threading.Thread(target=web.serve_forever, daemon=True).start()
    asyncio.run(receive(Web.box, int(sys.argv[2])))


if __name__ == "__main__":
    main()
