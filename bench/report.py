"""report: the figures of a run as the tables of bench/RESULTS.md, with the machine and the versions they belong to."""
import json
import os
import re
import statistics
import subprocess
import time

TITLES = {"fixed": "a fixed JSON reply", "quote": "`/pricing/quote`, a cart of 10 lines", "redis": "a product from Redis",
          "replica": "a product from a replica"}


def median(rounds, name):
    return statistics.median(entry[name] for entry in rounds)


def times(figures, other, name):
    """fastr against another by the median of the rounds' own ratios: more is better for fastr."""
    pairs = zip(figures["fastr"], figures[other])
    return statistics.median(a["rate"] / b["rate"] if name == "rate" else b["cpu"] / a["cpu"] for a, b in pairs)


def line(row, name, rounds, figures, counts):
    cells = [TITLES[row] if name == "fastr" else "", name, f"{median(rounds, 'rate'):,.0f}", f"{median(rounds, 'cpu'):.1f}",
             f"{median(rounds, 'busy') * 100:.0f} %"]
    cells.append("" if name == "fastr" else f"{times(figures, name, 'rate'):.2f}")
    cells.append("" if name == "fastr" else f"{times(figures, name, 'cpu'):.2f}")
    cells.append(f"{counts[row]:,.0f}" if name == "fastr" and row in counts else "")
    return "| " + " | ".join(cells) + " |"


def table(figures, counts):
    """The table of the rows that were run; "" without any."""
    if not figures:
        return ""
    lines = ["| row | server | requests/s | CPU µs/request | core busy | fastr is × by requests/s | fastr is × by CPU | "
             "instructions/request |", "|---|---|---:|---:|---:|---:|---:|---:|"]
    for row, of in figures.items():
        lines += [line(row, name, rounds, of, counts) for name, rounds in of.items()]
    return "\n".join(lines)


def decision(figures, cases):
    """The table of decisions by themselves; the ratio is the median of the rounds' own."""
    lines = ["", "", "| a decision, from facts table to decision table | µs | × the plain function | instructions |",
             "|---|---:|---:|---:|"]
    for case, title in cases.items():
        of = figures[case]
        ratio = statistics.median(a / b for a, b in zip(of["us"], figures["plain"]["us"]))
        count = f"{of['count']:,.0f}" if of["count"] else ""
        lines.append(f"| {title} | {statistics.median(of['us']):,.1f} | {ratio:.1f} | {count} |")
    return "\n".join(lines) + "\n"


def checkout(figures):
    """The table of whole purchases."""
    ours, theirs = median(figures["shop"], "rate"), median(figures["pgbench"], "rate")
    spent = median(figures["shop"], "cpu") / 1000
    share = statistics.median(a["rate"] / b["rate"] for a, b in zip(figures["shop"], figures["pgbench"]))
    return f"""

| whole checkouts, 8 at a time | checkouts/s | CPU ms/checkout of fastr | share of pgbench |
|---|---:|---:|---:|
| fastr, through NGINX: cart, 3 lines, address and method, card, checkout to `paid` | {ours:.1f} | {spent:.1f} | {share:.2f} |
| pgbench: the statements that these checkouts execute | {theirs:.1f} | | 1 |

A checkout executes {figures["statements"]:.0f} statements in {figures["transactions"]:.0f} transactions and single reads, taken from the
servers' logs: those of the test provider, of the events and of the mails are among them, those of idle polls are not.
pgbench (8 clients, prepared statements, in fastr's place on the first core) sends them to the primary one after the
other. Every commit waits for one of two replicas. CPU includes what fastr's process does by itself meanwhile.
"""


# ---- the machine -----------------------------------------------------------------------------------------------------


def output(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "?"
    return (done.stdout or done.stderr).strip()


def cpu_model():
    with open("/proc/cpuinfo", encoding="ascii") as file:
        found = re.search(r"^model name\s*: (.*)$", file.read(), re.M)
    return found[1] if found else "?"


def packages():
    with open("bench/fastify/package.json", encoding="ascii") as file:
        return json.load(file)["dependencies"]


def versions():
    return {"fastr": output("git", "describe", "--always", "--dirty"), "LuaJIT": output("luajit", "-v").split(" -- ")[0].replace("LuaJIT ", ""),
            "PostgreSQL": output("psql", "--version").split()[2], "Redis": output("redis-server", "--version").split()[2][2:],
            "NGINX": output("nginx", "-v").split("/")[-1], "wrk": output("wrk", "-v").split(" [")[0].replace("wrk ", ""),
            "Node": output("node", "--version")[1:], **packages()}


def preamble(options, took, used):
    cores = os.cpu_count()
    pairs = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"""# What fastr reaches

Written by `bin/bench` on {time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())}; do not edit.

Machine: {cpu_model()}, {cores} cores, Linux {os.uname().release}. All cores were {used / took / cores * 100:.0f} % busy
over the {took / 60:.0f} minutes of the run; the load average at its end was {os.getloadavg()[0]:.1f} (about 2 where nothing else runs).
Versions: {pairs}.

Each server is one process (or worker) on the first core; wrk with 32 connections and the engines are on the second.
{options.rounds} rounds of {options.seconds} s, the servers in turns; medians. CPU is that of the server's process with all its threads,
user and system; "fastr is ×" is the median of each round's own ratio, so that other load on the machine falls on both
sides alike. Instructions are those of fastr's worker outside the kernel, counted by valgrind: a figure that other load
does not change. `limit` is `bench/limit.c`, a bare epoll server: what the kernel costs anybody.
"""


def write(path, text, options, took, used):
    whole = preamble(options, took, used) + "\n" + text + "\n"  # before the file changes, which git would call dirty
    with open(path, "w", encoding="utf-8") as file:
        file.write(whole)
