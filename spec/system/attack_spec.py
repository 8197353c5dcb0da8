"""The short form of bin/attack: shoppers race for the last unit, a coupon's last use, one checkout, one refund; then a
few of the stack's processes are killed or frozen under a crowd that buys. Nothing is lost, doubled or stuck."""
import re
import subprocess
import unittest

from support import stack

FAULTS = 5


class Attack(unittest.TestCase):
    def tearDown(self):
        stack.all_ready()

    def test_that_races_and_faults_lose_nothing_and_double_nothing(self):
        done = subprocess.run([stack.ROOT + "/bin/attack", "--faults", str(FAULTS), "--verbose"], capture_output=True,
                              text=True, timeout=240, check=False)
        print("\n" + done.stdout + done.stderr)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"\nfaults [1-9]")
        self.assertRegex(done.stdout, r"lost 0, doubled 0, shoppers that gave up 0,")
        self.assertTrue(all(int(n) >= 20 for n in re.findall(r"(\d+) in flight, recovered", done.stdout)))


if __name__ == "__main__":
    stack.main()
