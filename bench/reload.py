"""reload: rules that change while their server is under full load: how long an activation and a rollback take, asked over the
control socket as `fastr reload` does; when each of two workers answers by what is live now; and what becomes of the
requests meanwhile. What must hold is in GOALS."""
import glob
import http.client
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import threading
import time

import measure
from measure import Failed

MASTER = "bench0"
CHANGES = 20  # activations in a row, each of them rolled back
WORKERS, CYCLES = 2, 3  # for what each worker answers: so many times through all packs
SECONDS = 5  # at least, each with an activation in its middle: one alone tells more of the machine than of fastr
GOALS = {"visible": 20, "rollback": 5, "share": 0.9}  # ms at the 99th percentile; ms; of the second before


def say(command):
    """The master's reply to a command."""
    with socket.socket(socket.AF_UNIX) as master:
        master.settimeout(20)
        master.connect(os.path.join(os.environ["VAR"], "run", MASTER + ".sock"))
        master.sendall(command.encode() + b"\n")
        reply = master.makefile("rb").readline()
    return json.loads(reply)


def ask(command):
    """Milliseconds until the master had done a command."""
    begun = time.monotonic()
    reply = say(command)
    took = (time.monotonic() - begun) * 1000
    if reply.get("ok") is not True:
        raise Failed(f"{command}: {reply}")
    return took


def live():
    """What is live: {hash, the Unix time in seconds that was noted for its store}."""
    rules = next(line for line in say("status")["lines"] if line["line"] == "rules")
    return {"hash": rules["live"], "at": rules["at_ms"] / 1000}


def stored(rules):
    """Makes the rules of a folder live; returns the hash under which they are kept."""
    done = subprocess.run(["bin/fastr", "reload", "rules"], capture_output=True, text=True, check=False,
                          env={**os.environ, "FASTR_RULES_DIR": rules})
    live = re.search(r"rules ([0-9a-f]{12}) live", done.stdout)
    found = glob.glob(os.path.join(os.environ["VAR"], "packs", (live[1] if live else "?") + "*"))
    if not found:
        raise Failed(f"fastr reload rules: {done.stdout}{done.stderr}")
    return os.path.basename(found[0])


def packs(folder, count):
    """Hashes of so many packs that differ in a comment. A worker keeps the last three, so that going through them in their
    order builds each anew."""
    rules, hashes = os.path.join(folder, "reloaded"), []
    shutil.rmtree(rules, ignore_errors=True)
    shutil.copytree("scripts/rules", rules)
    for number in range(count):
        with open(os.path.join(rules, "definitions/promotions.lua"), "a", encoding="utf-8") as file:
            file.write(f"-- {number}\n")
        hashes.append(stored(rules))
    return hashes


def asked():
    """Milliseconds until the master had answered what changes nothing: what load and machine cost a command."""
    begun = time.monotonic()
    say("status")
    return (time.monotonic() - begun) * 1000


def change(hashes, figures):
    for name in hashes:
        figures["activate"].append(ask(f"activate rules {name} bench"))
        figures["rollback"].append(ask("rollback rules bench"))
        figures["asked"].append(asked())


def second(server, path, script):
    return measure.wrk(server.url + path, 1, 32, script)[0]


def throughput(server, path, script, pack, figures):
    """Requests in a second with one activation in its middle, as a share of those in the second before; and these of those in
    the one before that, when nothing changed. wrk() fails if any request does."""
    first, before = second(server, path, script), second(server, path, script)
    timer = threading.Timer(0.5, ask, [f"activate rules {pack} bench"])
    timer.start()
    during = second(server, path, script)
    timer.join()
    figures["share"].append(during / before)
    figures["steady"].append(before / first)


# ---- what each worker answers ---------------------------------------------------------------------------------------


class Witness:
    """A connection that is kept, and so stays with one worker: what that worker decides by."""

    def __init__(self, port, path):
        with open("bench/load/cart.json", "rb") as file:
            self.cart = file.read()
        self.path, self.connection = path, http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self.pack()
        mine = self.connection.sock.getsockname()[1]
        found = subprocess.run(["ss", "-Htnp", f"sport = :{port} and dport = :{mine}"], capture_output=True, text=True,
                               check=True)
        self.worker = re.search(r"pid=(\d+)", found.stdout)[1]

    def pack(self):
        self.connection.request("POST", self.path, self.cart, {"Content-Type": "application/json"})
        reply = self.connection.getresponse()
        body = reply.read()
        if reply.status != 200:
            raise Failed(f"{self.path}: {reply.status} {body[:200]}")
        return re.search(rb'"pack":"sha256:([0-9a-f]{64})"', body)[1].decode()

    def await_change(self, before, seen):
        """Notes in `seen` when the worker first answered by another version than `before`, and by which."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            now = self.pack()
            if now != before:
                seen[self.worker] = (time.time(), now)
                return
            time.sleep(0.0005)


def witnesses(port, path):
    """One of each worker. Which worker accepts is the kernel's choice."""
    found = {}
    for _ in range(200):
        witness = Witness(port, path)
        found.setdefault(witness.worker, witness)
        if len(found) == WORKERS:
            return list(found.values())
    raise Failed(f"only {len(found)} of {WORKERS} workers were ever reached")


def visible(watching, command):
    """Milliseconds from the store until the reply of the last worker to decide by it has come, which is rather too much: what
    the file notes is the time before it is written, without the part of a millisecond. And those that the command took."""
    before, seen = live()["hash"], {}
    threads = [threading.Thread(target=each.await_change, args=(before, seen)) for each in watching]
    for thread in threads:
        thread.start()
    took = ask(command)
    for thread in threads:
        thread.join()
    now = live()
    if {pack for _, pack in seen.values()} != {now["hash"]} or len(seen) < WORKERS:
        raise Failed(f"{command}: {now} is live, but the workers answered by {seen}")
    return (max(at for at, _ in seen.values()) - now["at"]) * 1000, took


def plain(watching):
    """Milliseconds until each worker has answered one quote more, nothing having changed: what load and machine cost alone."""
    begun, ends = time.monotonic(), []

    def ask_once(witness):
        witness.pack()
        ends.append(time.monotonic())

    threads = [threading.Thread(target=ask_once, args=(each,)) for each in watching]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(ends) < WORKERS:
        raise Failed("a worker did not answer a quote")
    return (max(ends) - begun) * 1000


def spread(server):
    """Over both cores: the workers, and the master that asks them."""
    with open(f"/proc/{server.process.pid}/task/{server.process.pid}/children", encoding="ascii") as file:
        pids = [str(server.process.pid), *file.read().split()]
    for pid in pids:
        subprocess.run(["taskset", "-acp", f"{measure.SERVER_CORE},{measure.LOAD_CORE}", pid], check=True,
                       stdout=subprocess.DEVNULL)


def watch(server, path, hashes, figures):
    watching = witnesses(int(server.url.rsplit(":", 1)[1]), path)
    for name in hashes * CYCLES:
        figures["visible"].append(visible(watching, f"activate rules {name} bench")[0])
        seen, took = visible(watching, "rollback rules bench")
        figures["visible"].append(seen)
        figures["rollback"].append(took)
        figures["asked"].append(asked())
        figures["plain"] += [plain(watching), plain(watching)]


# ---- all of it ------------------------------------------------------------------------------------------------------


class Load:
    """Quotes from wrk until the block is over: not one may fail."""

    def __init__(self, server, path, script):
        self.url, self.script, self.ends, self.failure = server.url + path, script, False, None
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            while not self.ends:
                measure.wrk(self.url, 2, 32, self.script)
        except Failed as failure:
            self.failure = failure

    def __enter__(self):
        self.thread.start()

    def __exit__(self, kind, value, trace):
        self.ends = True
        self.thread.join()
        if self.failure and not kind:
            raise self.failure


def measure_one(folder, server, path, script, options, figures):
    """With one worker; returns the packs, for who wants to go through them again."""
    try:
        server.wait()
        rounds = max(SECONDS, options.rounds)
        hashes = packs(folder, CHANGES + rounds)
        for name in hashes[:rounds]:
            throughput(server, path, script, name, figures)
        with Load(server, path, script):
            change(hashes[rounds:], figures)
    finally:
        server.stop()
    return hashes[rounds:]


def measure_each(server, path, script, hashes, figures):
    """With two workers on two cores."""
    try:
        server.wait()
        spread(server)
        with Load(server, path, script):
            watch(server, path, hashes, figures)
    finally:
        server.stop()


def measure_all(folder, start, path, script, options):
    """{"activate": ms of each, "rollback": ms of each, "visible": ms of each of both, "share": of each round}, and beside
    the last three "asked", "plain" and "steady": the same without a change. start(env): the server with these settings too."""
    figures = {name: [] for name in ("activate", "rollback", "asked", "visible", "plain", "share", "steady")}
    hashes = measure_one(folder, start({}), path, script, options, figures)
    print(f"  reload   activation {statistics.median(figures['activate']):.1f} ms, "
          f"rollback {statistics.median(figures['rollback']):.2f} ms", flush=True)
    measure_each(start({"FASTR_WORKERS": str(WORKERS)}), path, script, hashes, figures)
    print(f"  reload   visible to {WORKERS} workers in {percentile(figures['visible'], 99):.1f} ms at p99", flush=True)
    return figures


# ---- telling --------------------------------------------------------------------------------------------------------


def percentile(values, percent):
    """The smallest of them that so many percent do not exceed."""
    return sorted(values)[-(-len(values) * percent // 100) - 1]


def verdict(holds):
    return "met" if holds else "NOT MET"


def row_of_times(title, times, goal=None, beside=None):
    """`beside`: what was measured where fastr had nothing to do. If that misses the goal too, the machine is at fault."""
    p99 = percentile(times, 99)
    of = f"p99 under {goal} | {verdict(p99 < goal)}" if goal else " |"
    if beside and p99 >= goal and percentile(beside, 99) >= goal:
        of += ", nor without a change: the machine is too busy to tell"
    return f"| {title}, ms ({len(times)} times) | {statistics.median(times):.2f} | {p99:.2f} | {max(times):.2f} | {of} |"


def row_of_shares(title, shares, goal=None):
    typical = statistics.median(shares)
    of = f"median at least {goal} | {verdict(typical >= goal)}" if goal else " |"
    return f"| {title} ({len(shares)} times) | {typical:.2f} | | {min(shares):.2f} | {of} |"


def table(figures):
    """Of the activations and rollbacks under load, and of the throughput, each beside what must hold."""
    return "\n".join([
        "", "", "| rules that change under full load of quotes; no request failed | median | p99 | worst | goal | |",
        "|---|---:|---:|---:|---|---|",
        row_of_times("activation: built, proved, prepared, stored; one worker", figures["activate"]),
        row_of_times("rollback, asked and answered; one worker and two", figures["rollback"], GOALS["rollback"],
                     figures["asked"]),
        row_of_times("- beside it: the status, asked and answered", figures["asked"]),
        row_of_times(f"from the store of either to the reply by it of the last of {WORKERS} workers on two cores",
                     figures["visible"], GOALS["visible"], figures["plain"]),
        row_of_times("- beside it, without a change: both workers asked, to the reply of the last", figures["plain"]),
        row_of_shares("requests in the second of an activation, of those in the second before; one worker",
                      figures["share"], GOALS["share"]),
        row_of_shares("- beside it, without a change: of those in the second before", figures["steady"]),
    ]) + "\n"
