"""The stack under the shop: supervised programs, PostgreSQL, fastr's own command, and how a spec file ends.

What a spec stops or pauses it does in one of the `with` blocks here, which put it back even when the spec fails. Files of
the checkout are never edited: what is to be reloaded is a copy of them.
"""
import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

from support.door import ask, until

VAR = os.environ["FASTR_VAR"]
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
SUPERVISOR = ["supervisorctl", "-c", VAR + "/conf/supervisord.conf"]
PRIMARY = os.environ["PG_PRIMARY"]
REPLICAS = os.environ["PG_REPLICAS"].split(",")


# ---- programs --------------------------------------------------------------------------------------------------------

def supervisor(*arguments):
    return subprocess.run([*SUPERVISOR, *arguments], capture_output=True, text=True, timeout=120).stdout


def programs():
    """Name to process id (None: not running) of everything that supervisord looks after."""
    found = {}
    for line in supervisor("status").splitlines():
        words = line.split()
        found[words[0]] = int(words[3].rstrip(",")) if words[1] == "RUNNING" else None
    return found


def pid_of(program):
    return programs().get(program)


def kill(pid):
    """kill -9 of one process. A pid of 0 (a worker that is being replaced) would be this process and all of its group."""
    if not pid or pid <= 1:
        raise AssertionError(f"{pid} is no process to kill")
    os.kill(pid, signal.SIGKILL)


def services():
    """The programs that are masters of fastr."""
    with open(VAR + "/conf/supervisord.conf", encoding="utf-8") as file:
        text = file.read()
    sections = (section.split("\n", 1) for section in text.split("[program:")[1:])
    return [name.rstrip("]") for name, lines in sections if "/bin/fastr serve " in lines]


TOPOLOGY = "one" if "shop-1" in services() else "many"


def instances(service):
    """The programs that serve `service`: its own, or the one that has all."""
    return [name for name in services() if name.rsplit("-", 1)[0] == service] or ["shop-1"]


def listen_of(program):
    """host:port of a master, out of its section of the supervisor's settings."""
    with open(VAR + "/conf/supervisord.conf", encoding="utf-8") as file:
        section = file.read().split(f"[program:{program}]")[1].split("[program:")[0]
    return section.split('FASTR_LISTEN="')[1].split('"')[0]


def environment():
    """What bin/up tells fastr's processes of this instance."""
    with open(VAR + "/fastr.env", encoding="utf-8") as file:
        return dict(line.rstrip("\n").split("=", 1) for line in file)


def address_of(service):
    """Where the other services reach `service`."""
    return urllib.parse.urlsplit(environment()["FASTR_SERVICES_" + service.upper()])


def readiness(program):
    """What a master's /readyz says, as {"ready": true, "redis": true, ...}; nothing when it does not answer."""
    try:
        return ask("GET", "/readyz", door=urllib.parse.urlsplit("http://" + listen_of(program)), timeout=5).json()
    except (OSError, ValueError, http.client.HTTPException):
        return {}


def is_ready(program):
    return readiness(program).get("ready", False)


def is_well(program):
    found = readiness(program)
    return bool(found) and all(found.values())


def all_ready(seconds=60):
    """Until every process of fastr is ready and has found everything that it leans on, and NGINX lets through to them."""
    for program in services():
        until(seconds, program + " to be well", lambda program=program: is_well(program))
    until(30, "the public door", lambda: ask("GET", "/api/v1/categories").status == 200)


@contextlib.contextmanager
def stopped(*names):
    """Stops programs, and starts them again afterwards, whatever happened; then all is ready again."""
    supervisor("stop", *names)
    try:
        yield
    finally:
        supervisor("start", *names)
        for name in names:
            until(60, name + " to run again", lambda name=name: pid_of(name))
        if "pg-primary" in names:
            until(60, "the replicas to stream", lambda: psql(PRIMARY, STREAMING) == "2")
        all_ready()


# ---- PostgreSQL --------------------------------------------------------------------------------------------------------

STREAMING = "select count(*) from pg_stat_replication where state = 'streaming' and sync_state = 'quorum'"


def psql(url, statement):
    """A statement's rows as psql -At prints them; "" when the server is away."""
    done = subprocess.run(["psql", "-X", "-At", url, "-c", statement], capture_output=True, text=True, timeout=60)
    if done.returncode == 1 or done.returncode == 3:
        raise AssertionError(done.stderr.strip())
    return done.stdout.strip()


def count(statement):
    return int(psql(PRIMARY, statement))


@contextlib.contextmanager
def replay_paused(url):
    """A replica that still receives what the primary writes, but no longer shows it."""
    psql(url, "select pg_wal_replay_pause()")
    try:
        until(10, "replay to be paused", lambda: psql(url, "select pg_get_wal_replay_pause_state()") == "paused")
        yield
    finally:
        psql(url, "select pg_wal_replay_resume()")


# ---- Kafka ---------------------------------------------------------------------------------------------------------------

def events_of(key):
    """A key's events in topic order, in the order of the topic, as kcat reads them."""
    done = subprocess.run(["kcat", "-b", os.environ["KAFKA_BROKERS"], "-t", "order", "-C", "-e", "-q", "-o", "beginning",
                           "-f", "%k\t%s\n"], capture_output=True, text=True, timeout=60)
    lines = (line.split("\t", 1) for line in done.stdout.splitlines())
    return [json.loads(text) for name, text in lines if name == key]


# ---- fastr -------------------------------------------------------------------------------------------------------------

def fastr(*arguments, **environment):
    """bin/fastr ARGUMENTS on this instance: exit code, and what it printed on both outputs."""
    done = subprocess.run([ROOT + "/bin/fastr", *arguments], capture_output=True, text=True, timeout=120,
                          env={**os.environ, **environment})
    return done.returncode, done.stdout + done.stderr


def status():
    """The report of fastr status --json, with its exit code as `exit`."""
    done = subprocess.run([ROOT + "/bin/fastr", "status", "--json"], capture_output=True, text=True, timeout=120)
    return {**json.loads(done.stdout), "exit": done.returncode}


def workers(*names):
    """MASTER.WORKER to process id (0: it is being replaced), of every worker of these masters, or of all."""
    return {f"{master['name']}.{worker['worker']}": worker["pid"] for master in status()["masters"]
            if not names or master["name"] in names for worker in master["workers"]}


@contextlib.contextmanager
def copied(folder):
    """A copy of a folder of the checkout, to be edited with edit(); `fastr reload` takes it for the folder itself when
    FASTR_SCRIPTS or FASTR_RULES_DIR names it."""
    with tempfile.TemporaryDirectory() as place:
        yield shutil.copytree(os.path.join(ROOT, folder), os.path.join(place, "copy"))


def edit(path, old, new):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if old not in text:
        raise AssertionError(f"{path} has no {old!r}")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace(old, new))


class Timed(unittest.TextTestResult):
    """Says beside each spec how long it took."""

    def startTest(self, test):
        self.began = time.monotonic()
        super().startTest(test)

    def stopTest(self, test):
        super().stopTest(test)
        self.stream.writeln(f"    {time.monotonic() - self.began:.1f} s")


def main():
    """Runs the specs of the file that was started; the last line is "N passed, N failed".

    A time limit's TERM interrupts it, so that it still puts back what it stopped.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    result = unittest.TextTestRunner(verbosity=2, resultclass=Timed).run(suite)
    bad = len(result.failures) + len(result.errors) + len(result.skipped)
    print(f"{result.testsRun - bad} passed, {bad} failed")
    sys.exit(bad > 0)
