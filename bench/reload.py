"""reload: rules that change while their server is under full load: how long an activation and a rollback take, asked over the
control socket as `fastr reload` does, and what becomes of the requests meanwhile."""
import glob
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


def ask(command):
    """The master's reply to a command, and the milliseconds until it came."""
    begun = time.monotonic()
    with socket.socket(socket.AF_UNIX) as master:
        master.settimeout(20)
        master.connect(os.path.join(os.environ["VAR"], "run", MASTER + ".sock"))
        master.sendall(command.encode() + b"\n")
        reply = master.makefile("rb").readline()
    took = (time.monotonic() - begun) * 1000
    if json.loads(reply).get("ok") is not True:
        raise Failed(f"{command}: {reply.decode(errors='replace')}")
    return took


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


def change(hashes, figures):
    for name in hashes:
        figures["activate"].append(ask(f"activate rules {name} bench"))
        figures["rollback"].append(ask("rollback rules bench"))


def second(server, path, script):
    return measure.wrk(server.url + path, 1, 32, script)[0]


def throughput(server, path, script, pack):
    """Requests in a second with one activation in its middle, as a share of those in the second before. wrk() fails if any
    request does."""
    before = second(server, path, script)
    timer = threading.Timer(0.5, ask, [f"activate rules {pack} bench"])
    timer.start()
    during = second(server, path, script)
    timer.join()
    return during / before


def measure_all(folder, server, path, script, options):
    """{"activate": ms of each, "rollback": ms of each, "share": of each round}"""
    figures = {"activate": [], "rollback": [], "share": []}
    try:
        server.wait()
        hashes = packs(folder, CHANGES + options.rounds)
        load = threading.Thread(target=measure.wrk, args=(server.url + path, options.seconds, 32, script))
        figures["share"] = [throughput(server, path, script, name) for name in hashes[:options.rounds]]
        load.start()
        change(hashes[options.rounds:], figures)
        load.join()
    finally:
        server.stop()
    print(f"  reload   activation {statistics.median(figures['activate']):.1f} ms, "
          f"rollback {statistics.median(figures['rollback']):.2f} ms", flush=True)
    return figures


def table(figures):
    """Of the activations and rollbacks under load, and of the throughput."""
    lines = ["", "", "| rules that change under full load of quotes, one worker | median | worst |", "|---|---:|---:|"]
    for what, title in (("activate", "activation: built, proved, prepared, stored"), ("rollback", "rollback")):
        times = figures[what]
        lines.append(f"| {title}, ms ({len(times)} times) | {statistics.median(times):.2f} | {max(times):.2f} |")
    share = figures["share"]
    lines.append("| requests in the second of an activation, of those in the second before; none failed "
                 f"({len(share)} times) | {statistics.median(share):.2f} | {min(share):.2f} |")
    return "\n".join(lines) + "\n"
