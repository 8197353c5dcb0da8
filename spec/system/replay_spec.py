"""Real invoices are bought while the shop's processes are killed, one after the other and without a word: every order
that a shopper was told of is there once, and its money, stock and events add up to the penny."""
import itertools
import re
import subprocess
import unittest

from support import stack
from support.door import until

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
