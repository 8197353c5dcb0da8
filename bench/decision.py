"""decision: what a decision costs by itself, without HTTP and JSON: bench/decision.lua in a process of its own, beside a
plain Lua function of five simple rules. Times are ratios within one round; instructions are counted by valgrind."""
import os
import re
import subprocess

import measure
from measure import Failed

CASES = {
    "plain": "five simple rules in a plain Lua function, interpreted",
    "pack.none": "10 lines, 5 promotions of the pack, explain none",
    "pack.applied": "the same, explain applied (the stored trace)",
    "pack.full": "the same, explain full",
    "facts.none": "10 lines, 5 promotions and the tax rates within the facts, explain none",
    "facts.applied": "the same, explain applied",
    "facts.full": "the same, explain full",
    "lines.75": "75 lines, 50 promotions",
    "lines.300": "300 lines, 50 promotions",
    "lines.600": "600 lines, 50 promotions",
    "promotions.6": "600 lines, 6 promotions",
    "promotions.25": "600 lines, 25 promotions",
    "matching.20": "20 lines, 20 promotions, all of which could apply",
    "matching.1000": "20 lines, 1,000 promotions, 20 of which could apply",
}
COUNTED = {"pack": 200, "facts": 200, "lines": 10, "promotions": 10}  # calls; under valgrind a pack of 1,000 would load past its time budget


def command(*words):
    binary = os.path.join(os.environ["FASTR_BUILD"], "fastr")
    return ["taskset", "-c", measure.SERVER_CORE, *words, binary, "run", "bench.decision"]


def run(words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(words)}:\n{done.stderr[-2000:]}")
    return done.stdout


def time_of(case, seconds):
    """Microseconds a call takes."""
    return float(run(command() + ["time", case, str(seconds)])) / 1000


def count_of(case, calls, folder):
    """Instructions of a call, all that the process does otherwise left out."""
    out = os.path.join(folder, "callgrind.decision")
    valgrind = ["valgrind", "-q", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=pack_decide",
                "--callgrind-out-file=" + out]
    run(command(*valgrind) + ["count", case, str(calls)])
    with open(out, encoding="utf-8", errors="replace") as file:
        total = re.findall(r"^(?:totals|summary): (\d+)", file.read(), re.M)
    return int(total[-1]) / calls


def measure_cases(folder, options):
    """{case: {"us": [of each round], "count": instructions or None}}, the cases in turns."""
    figures = {case: {"us": [], "count": None} for case in CASES}
    for number in range(options.rounds):
        for case in CASES:
            figures[case]["us"].append(time_of(case, min(options.seconds, 1)))
        shown = "  ".join(f"{case} {figures[case]['us'][-1]:.1f}" for case in ("plain", "pack.applied", "facts.applied"))
        print(f"  decision round {number + 1} of {options.rounds}   {shown} us", flush=True)
    for case in CASES if options.count else []:
        calls = COUNTED.get(case.split(".")[0])
        figures[case]["count"] = count_of(case, calls, folder) if calls else None
    return figures
