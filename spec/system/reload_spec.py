"""What changes while the shop sells: a rule, a script, a process. Nobody who asks with a key is failed by it."""
import contextlib
import http.client
import re
import subprocess
import threading
import unittest

from support.door import SHOP, api, ask, must, new_key, until
from support.shop import cart, product
from support.stack import TOPOLOGY, all_ready, copied, edit, fastr, instances, kill, main, pid_of, programs, status, supervisor, workers

QUANTITY = 20  # x 10.00: above the threshold of the promotion that is edited


def scripts_of(service):
    """The versions of the scripts that are live for a service's masters. (A worker tells a moment later that it has them.)"""
    return {line["live"] for master in status()["masters"] if master["name"] in instances(service)
            for line in master["lines"] if line["line"].startswith("scripts/")}


def total_of(path):
    return must(200, "GET", path)["totals"]["total"]["amount"]


@contextlib.contextmanager
def wrk(path, seconds):
    """wrk on a page for some seconds, begun with the block and waited for at its end; gives its output as [text]."""
    output = []
    process = subprocess.Popen(["wrk", "-t1", "-c4", f"-d{seconds}s", f"http://{SHOP.netloc}/api/v1{path}"], stdout=subprocess.PIPE, text=True)
    try:
        yield output
    finally:
        output.append(process.communicate(timeout=seconds + 30)[0])


def buy_one(sku):
    """A cart and a line in it, with a key for each step, and a look at it. Returns what was not answered as is due."""
    made = api("POST", "/carts", {}, key=new_key())
    if made.status != 201:
        return [made]
    path = "/carts/" + made.json()["id"]
    replies = [api("POST", path + "/lines", {"sku": sku, "quantity": 1}, key=new_key()), api("GET", path)]
    return [reply for reply in replies if reply.status != 200]


@contextlib.contextmanager
def buyers(failures):
    """Four shoppers at work during the block; what fails them is noted."""
    over, sku, carts = threading.Event(), product(), []

    def buy():
        while not over.is_set():
            try:
                failures.extend(buy_one(sku))
            except (OSError, http.client.HTTPException) as error:
                failures.append(error)
            carts.append(1)
    threads = [threading.Thread(target=buy) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        until(30, "the shoppers to begin", lambda: len(carts) > 8)
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(60)


class ARule(unittest.TestCase):
    def tearDown(self):
        code, output = fastr("reload", "rules")
        self.assertEqual(code, 0, output)

    def test_an_edited_number_is_the_next_price_in_the_same_processes_and_a_rollback_undoes_it(self):
        path = "/carts/" + cart(QUANTITY)["id"]
        before, pids = total_of(path), workers()
        with copied("scripts/rules") as rules:
            edit(rules + "/definitions/promotions.lua", 'type = "order_percent", value = 10', 'type = "order_percent", value = 20')
            with wrk(path, 4) as said:
                code, output = fastr("reload", "rules", FASTR_RULES_DIR=rules)
                self.assertEqual(code, 0, output)
                self.assertEqual(total_of(path), before - 2000)
                code, output = fastr("rules", "rollback")
                self.assertEqual(code, 0, output)
                self.assertEqual(total_of(path), before)
        self.assertEqual(workers(), pids)
        self.assertGreater(int(re.search(r"(\d+) requests in", said[0]).group(1)), 100, said[0])
        self.assertNotRegex(said[0], "Non-2xx|Socket errors")

    def test_one_that_its_own_example_contradicts_changes_nothing(self):
        with copied("scripts/rules") as rules:
            edit(rules + "/promotions/three_for_two_candles.lua", "every = 3", "every = 2")
            code, output = fastr("reload", "rules", FASTR_RULES_DIR=rules)
        self.assertEqual(code, 1)
        self.assertIn("three_for_two_candles.lua:", output)
        self.assertEqual(must(200, "GET", "/carts/" + cart()["id"])["totals"]["items"]["amount"], 1000)

    def test_one_with_a_syntax_error_is_refused_with_its_line(self):
        with copied("scripts/rules") as rules:
            with open(rules + "/promotions/broken.lua", "w", encoding="utf-8") as file:
                file.write("return rule {\n  doc = \n}\n")
            code, output = fastr("reload", "rules", FASTR_RULES_DIR=rules)
        self.assertEqual(code, 1)
        self.assertRegex(output, r"broken\.lua:3")
        total_of("/carts/" + cart()["id"])


class AScript(unittest.TestCase):
    def tearDown(self):
        code, output = fastr("reload")
        self.assertEqual(code, 0, output)

    def refused(self, text, expected):
        live = scripts_of("cart")
        with copied("scripts") as scripts:
            with open(scripts + "/services/cart/view.lua", "w", encoding="utf-8") as file:
                file.write(text)
            code, output = fastr("reload", "cart" if TOPOLOGY == "many" else "shop", FASTR_SCRIPTS=scripts)
        self.assertEqual(code, 1)
        self.assertRegex(output, expected)
        self.assertEqual(scripts_of("cart"), live)
        self.assertEqual(api("POST", "/carts", {}).status, 201)

    def test_with_a_syntax_error_is_refused_with_its_line_and_the_old_one_goes_on(self):
        self.refused("local M = {}\nfunction M.show(\nreturn M\n", r"services/cart/view\.lua:3")

    def test_that_raises_when_it_is_loaded_is_refused_with_its_line(self):
        self.refused("local M = {}\nM.show = nothing.at_all\nreturn M\n", r"services/cart/view\.lua:2")

    def test_with_a_route_that_has_no_handler_is_refused_by_name(self):
        with copied("scripts") as scripts:
            edit(scripts + "/services/cart/init.lua", 'handler = "create"', 'handler = "creat"')
            code, output = fastr("reload", "cart" if TOPOLOGY == "many" else "shop", FASTR_SCRIPTS=scripts)
        self.assertEqual(code, 1)
        self.assertIn("creat", output)
        self.assertIn("/carts", output)
        self.assertEqual(api("POST", "/carts", {}).status, 201)

    def test_reloaded_in_cart_alone_leaves_the_other_services_as_they_are(self):
        if TOPOLOGY == "one":
            return  # one process has one version of all scripts
        pids, other, failures = workers(), scripts_of("order"), []
        with copied("scripts") as scripts, buyers(failures):
            edit(scripts + "/lib/problem.lua", '"There is no such cart"', '"No such cart is here"')
            code, output = fastr("reload", "cart", FASTR_SCRIPTS=scripts)
            self.assertEqual(code, 0, output)
            for _ in range(4):
                self.assertEqual(ask("GET", "/api/v1/carts/" + "x" * 22).json()["title"], "No such cart is here")
        self.assertEqual(workers(), pids)
        self.assertEqual(scripts_of("order"), other)
        self.assertNotEqual(scripts_of("cart"), other)
        self.assertEqual(failures, [])


class AProcess(unittest.TestCase):
    """With one process for all there is nobody to take over: there it only has to come back."""

    def tearDown(self):
        all_ready()

    def gone_under_load(self, end, *names):
        """Ends the named programs, one after the other; the others keep their processes and no keyed request fails."""
        before, failures = programs(), []
        with buyers(failures):
            for name in names:
                end(name, before[name])
                until(60, name + " to run again", lambda name=name: pid_of(name) not in (None, before[name]))
                all_ready()
        after = programs()
        self.assertEqual({name for name in before if before[name] != after[name]}, set(names))
        if TOPOLOGY == "many":
            self.assertEqual(failures, [])

    def test_killed_is_replaced(self):
        self.gone_under_load(lambda name, pid: kill(pid), instances("cart")[0])

    def test_drained_and_started_again_takes_its_scripts_from_disk(self):
        with copied("scripts") as scripts:
            edit(scripts + "/lib/problem.lua", '"There is no such cart"', '"No such cart is here"')
            code, output = fastr("reload", "cart" if TOPOLOGY == "many" else "shop", FASTR_SCRIPTS=scripts)
            self.assertEqual(code, 0, output)
        changed = scripts_of("cart")
        self.gone_under_load(lambda name, pid: supervisor("restart", name), *instances("cart"))
        self.assertEqual(ask("GET", "/api/v1/carts/" + "x" * 22).json()["title"], "There is no such cart")
        self.assertNotEqual(scripts_of("cart"), changed)

    def test_a_killed_worker_is_replaced_by_its_master(self):
        name, failures = instances("cart")[0], []
        before, masters = workers(), programs()
        with buyers(failures):
            kill(before[name + ".0"])
            until(30, "another worker", lambda: workers()[name + ".0"] not in (0, before[name + ".0"]))
            all_ready()
        self.assertEqual(programs(), masters)
        if TOPOLOGY == "many":
            self.assertEqual(failures, [])


if __name__ == "__main__":
    main()
