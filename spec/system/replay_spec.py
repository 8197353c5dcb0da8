"""Real invoices are bought while the shop's processes are killed, one after the other and without a word: every order
that a shopper was told of is there once, and its money, stock and events add up to the penny. And they are bought by
wholesalers: at the tiers that the invoices show, three candles for two, tax included, to the penny as the oracle says."""
import csv
import itertools
import os
import re
import subprocess
import tempfile
import unittest

from support import stack
from support.door import until

CANDLES = 6  # invoices with three candles or more
INVOICES = 44  # the replay tells of its progress ten times: as often something is killed


def kill_master(program):
    """Ends a master; what it leaves of its workers ends by itself. Waits until supervisord has a new one."""
    pid = stack.pid_of(program)
    stack.kill(pid)
    until(30, program + " to run again", lambda: stack.pid_of(program) not in (None, pid))


def victims():
    """What is killed, in this order: a worker in which orders are made, then a master of every service, and again."""
    busy = stack.instances("order")[0]
    yield f"a worker of {busy}", lambda: stack.kill(stack.workers(busy)[busy + ".0"])
    for program in itertools.cycle(name for name in stack.services() if name.endswith("-1")):
        yield f"the master of {program}", lambda program=program: kill_master(program)


def replay(killing):
    """Runs bin/replay-orders, and the next of `killing` at each line of progress. Exit code, output, who was killed."""
    running = subprocess.Popen([stack.ROOT + "/bin/replay-orders", "--limit", str(INVOICES)], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
    said, killed = [], []
    try:
        for line in running.stdout:
            said.append(line)
            if re.match(r"\s+\d+/\d+ invoices", line):
                what, kill = next(killing)
                kill()
                killed.append(what)
        return running.wait(timeout=60), "".join(said), killed
    finally:
        if running.poll() is None:
            running.kill()
        running.stdout.close()


def read(name):
    with open(os.path.join(stack.ROOT, "data", name), encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def with_candles(folder):
    """A file of the first invoices that three for two is for."""
    candles = {row["sku"] for row in read("retail-products.csv") if "CANDLE" in row["name"] and "HOLDER" not in row["name"]}
    rows, found = read("retail-orders.csv"), []
    for row in rows:
        if row["sku"] in candles and int(row["quantity"]) >= 3 and row["invoice"] not in found:
            found.append(row["invoice"])
    path = os.path.join(folder, "invoices.csv")
    with open(path, "w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, rows[0])
        out.writeheader()
        out.writerows(row for row in rows if row["invoice"] in found[:CANDLES])
    return path


class Wholesale(unittest.TestCase):
    def test_is_priced_by_tiers_with_three_for_two_and_tax_included_to_the_penny(self):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([stack.ROOT + "/bin/replay-orders", with_candles(folder), "--wholesale"],
                                  capture_output=True, text=True, timeout=180, check=False)
        said = done.stdout + done.stderr
        self.assertEqual(done.returncode, 0, said)  # each cart was the oracle's, line by line, before it was bought
        self.assertIn("\n  failed                 0\n", said)
        self.assertRegex(said, r"wholesale list +\d\d+   products, \d+ tiers; [1-9]\d* lines at another price than retail")
        self.assertRegex(said, r"promotion +[1-9]\d*   orders with three_for_two_candles")
        self.assertRegex(said, r"tax contained +[1-9]")


class Replay(unittest.TestCase):
    def tearDown(self):
        stack.all_ready()

    def test_that_all_adds_up_whatever_is_killed_meanwhile(self):
        status, said, killed = replay(victims())
        print("\nkilled: " + ", ".join(killed) + "\n" + said)
        self.assertEqual(status, 0, said)
        self.assertGreaterEqual(len(killed), 8)
        self.assertIn("\n  failed                 0\n", said)


if __name__ == "__main__":
    stack.main()
