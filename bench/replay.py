"""replay: how many ten-line orders a core proves in a second, from their stored form: `fastr rules replay` in one process
over a file of them, beside the decision alone of the same orders."""
import json
import os
import shutil
import statistics
import subprocess

import measure
from measure import Failed

ORDERS = 20000


def command(*words):
    return ["taskset", "-c", measure.SERVER_CORE, "bin/fastr", *words]


def run(*words):
    """What it wrote, and the seconds of CPU that it took."""
    before = os.times()
    done = subprocess.run(command(*words), capture_output=True, text=True, check=False)
    after = os.times()
    if done.returncode:
        raise Failed(f"{' '.join(words)}:\n{done.stdout[-500:]}{done.stderr[-2000:]}")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return done.stdout, spent


def looked_at(path, *more):
    """Orders a second of CPU, the start of the process among it."""
    said, spent = run("rules", "replay", "--orders", path, "--jobs", "1", "--json", *more)
    orders = json.loads(said)["orders"]
    if orders != ORDERS:
        raise Failed(f"replay looked at {orders} orders, not {ORDERS}")
    return orders / spent


def edited(folder):
    """The rules with twelve percent off large orders instead of ten."""
    rules = os.path.join(folder, "rules")
    shutil.rmtree(rules, ignore_errors=True)
    shutil.copytree("scripts/rules", rules)
    path = os.path.join(rules, "definitions/promotions.lua")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace('type = "order_percent", value = 10', 'type = "order_percent", value = 12'))
    return rules


def measure_all(folder, options):
    """[{"rate": orders a second, "with": the same of an edit's effect, "decision": of decisions alone} of each round]"""
    path, figures = os.path.join(folder, "orders"), []
    rules = edited(folder)
    run("run", "bench.replay", "make", path, str(ORDERS))
    for number in range(options.rounds):
        alone = 1e6 / float(run("run", "bench.replay", "decide", path)[0])
        figures.append({"rate": looked_at(path), "with": looked_at(path, "--with", rules), "decision": alone})
        print(f"  replay   round {number + 1} of {options.rounds}   {figures[-1]['rate']:,.0f} orders/s a core, "
              f"decisions alone {alone:,.0f}/s", flush=True)
    os.remove(path)
    return figures


def median(figures, name):
    return statistics.median(each[name] for each in figures)


def table(figures):
    """The rows of the report."""
    def row(title, name):
        share = statistics.median(each[name] / each["decision"] for each in figures)
        return f"| {title} | {median(figures, name):,.0f} | {share:.2f} |"
    return "\n".join(["", "", "| orders of ten lines, in one process | a second of CPU | share of the decision alone |",
                      "|---|---:|---:|", row("the decision alone, from table to table", "decision"),
                      row("`fastr rules replay`: from the stored form, proved", "rate"),
                      row("`fastr rules replay --with`: what an edit would change", "with")]) + "\n"
