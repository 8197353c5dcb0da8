"""The short form of bin/attack: shoppers race for the last unit, a coupon's last use, one checkout, one refund; then a
few of the stack's processes are killed or frozen under a crowd that buys. Nothing is lost, doubled or stuck.

With FASTR_LONG=1 (bin/test --long) there are more of them, a checkout is killed between every two of its steps, and the
attack proves that it can see."""
import os
import re
import subprocess
import unittest

from support import stack

LONG = os.environ.get("FASTR_LONG") == "1"
FAULTS = "30" if LONG else "5"


def attack(*arguments):
    done = subprocess.run([stack.ROOT + "/bin/attack", *arguments], capture_output=True, text=True,
                          timeout=600 if LONG else 280, check=False)
    print("\n" + done.stdout + done.stderr)
    return done


class Attack(unittest.TestCase):
    def tearDown(self):
        stack.all_ready()

    def test_that_races_and_faults_lose_nothing_and_double_nothing(self):
        done = attack("--faults", FAULTS, "--verbose")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"\nfaults [1-9]")
        self.assertRegex(done.stdout, r"lost 0, doubled 0, shoppers that gave up 0,")
        self.assertTrue(all(int(n) >= 20 for n in re.findall(r"(\d+) in flight, recovered", done.stdout)))

    def test_that_a_shop_where_people_buy_is_left_alone(self):
        for url in ("https://shop.example", "http://127.0.0.1.shop.example:80", "https://127.0.0.1:443"):
            done = subprocess.run([stack.ROOT + "/bin/attack", "--faults", "1"], capture_output=True, text=True, timeout=60,
                                  check=False, env={**os.environ, "FASTR_PUBLIC_URL": url})
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn("people buy at " + url, done.stderr)

    def test_that_a_checkout_survives_a_kill_between_every_two_of_its_steps(self):
        if LONG:
            done = attack("--steps")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_that_what_is_broken_is_seen(self):
        if LONG:
            done = attack("--prove")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    stack.main()
