"""faults: what can befall this host's programs, one at a time: ended by kill -9, or frozen for a while (SIGSTOP). Each
fault names its target, does it, and says whether its effect was seen in /proc, so that one which hit nothing does not
count. Only programs of this instance are touched: those that its supervisord runs, and their children.
"""
import http.client
import os
import random
import signal
import socket
import time
import xmlrpc.client

FROZEN_S = {"kafka": 3.0, "pg-primary": 2.5}
USUAL_FREEZE_S = 1.5
ENGINES = {"redis": "Redis", "kafka": "the Kafka broker", "pg-r1": "a replica", "pg-r2": "a replica",
           "pg-primary": "the primary"}
NOT_HIT = {"inbox", "nginx"}  # the mail server and the door stand for somebody else's machines


class Door(xmlrpc.client.Transport):
    """supervisord listens on a socket of this instance alone."""

    def make_connection(self, host):
        connection = http.client.HTTPConnection("supervisor")
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.connect(os.environ["FASTR_VAR"] + "/run/supervisor")
        return connection


def programs():
    """Program to process id of everything that supervisord runs now."""
    with xmlrpc.client.ServerProxy("http://supervisor", Door()) as supervisor:
        rows = supervisor.supervisor.getAllProcessInfo()
    return {row["name"]: row["pid"] for row in rows if row["statename"] == "RUNNING"}


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def state_of(pid):
    """One letter as ps shows it; X when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def signal_all(pids, what):
    for pid in pids:
        try:
            os.kill(pid, what)
        except ProcessLookupError:
            pass


class Fault:
    """One of them: `what` it does to `target`; hit() does it, and is true when that was seen."""

    def __init__(self, kind, what, target):
        self.kind, self.what, self.target = kind, what, target

    def __str__(self):
        return f"{self.what} {self.target}"

    def victims(self):
        """The processes that it is about, the one that counts first."""
        master = programs().get(self.target)
        if master is None:
            return []
        if self.kind == "worker":
            return children(master)[:1]
        return [master] + (children(master) if self.what == "freeze" else [])

    def hit(self):
        pids = [pid for pid in self.victims() if pid > 1]
        if not pids:
            return False
        if self.what == "kill":
            signal_all(pids[:1], signal.SIGKILL)
            return until(lambda: state_of(pids[0]) in "XZ", 2)
        return self._freeze(pids)

    def _freeze(self, pids):
        signal_all(pids, signal.SIGSTOP)
        try:
            seen = until(lambda: state_of(pids[0]) == "T", 2)
            time.sleep(FROZEN_S.get(self.target, USUAL_FREEZE_S))
            return seen and state_of(pids[0]) in "TXZ"  # its master may have killed a frozen worker
        finally:
            signal_all(reversed(pids), signal.SIGCONT)

    def is_over(self):
        """Does its target run again, with workers where it has some?"""
        master = programs().get(self.target)
        return master is not None and (self.kind == "engine" or any(state_of(pid) not in "XZ" for pid in children(master)))

    def family(self):
        """What the report counts it under."""
        who = ENGINES.get(self.target) or f"a {self.kind} of " + self.target.rsplit("-", 1)[0]
        return f"{self.what} {who}"


def every():
    """One fault of each kind at each target of this instance."""
    found = []
    for name in sorted(programs()):
        if name in NOT_HIT:
            continue
        kinds = ["engine"] if name in ENGINES else ["worker", "master"]
        found += [Fault(kind, what, name) for kind in kinds for what in ("kill", "freeze")]
    return found


def plan(count, seed):
    """`count` of them: all, in random order, again and again."""
    chance, planned = random.Random(seed), []
    while len(planned) < count:
        around = every()
        chance.shuffle(around)
        planned += around
    return planned[:count]
