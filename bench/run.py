"""run: what bin/bench does once the engines are up: starts the contestants, checks that they answer alike, measures them
in turns, and writes bench/RESULTS.md. Leans on measure.py, for whole checkouts on checkout.py, for decisions by themselves
on decision.py, for the past on replay.py, for rules that change on reload.py.

Takes the rows to run, --quick and --rounds N; the addresses come from the environment of bin/bench."""
import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request

import checkout
import decision
import measure
import reload
import replay
import report
from measure import Counted, Failed, Server

VAR = os.environ["VAR"]
FOLDER = os.path.join(VAR, "bench")
CONNECTIONS = 32
PATHS = {"fixed": "/api/v1/bench/hello", "redis": "/api/v1/bench/cached/", "replica": "/api/v1/bench/products/",
         "quote": "/api/v1/pricing/quote"}
SCRIPTS = {"redis": "bench/load/products.lua", "replica": "bench/load/products.lua", "quote": "bench/load/quote.lua"}
CONTESTANTS = {"fixed": ["fastr", "limit", "nginx", "fastify"], "quote": ["fastr", "fastify"],
               "redis": ["fastr", "fastify"], "replica": ["fastr", "fastify"]}


def log(name):
    return os.path.join(FOLDER, name + ".log")


# ---- what else runs -------------------------------------------------------------------------------------------------

SHOP = ["kafka", "inbox", "provider-1", "shop-1", "nginx"]


def supervisor(*words):
    return subprocess.run(["supervisorctl", "-c", os.path.join(VAR, "conf/supervisord.conf"), *words], check=False,
                          capture_output=True, text=True).stdout


def wake_shop():
    """The whole shop, its one process on the server's core; returns that process's worker."""
    supervisor("start", *SHOP)
    deadline = time.monotonic() + 120
    while not (measure.answers(f"http://127.0.0.1:{port(19)}/readyz")
               and measure.answers(os.environ["SHOP_URL"] + "/api/v1/categories")):
        if time.monotonic() > deadline:
            raise Failed(f"the shop does not come up; see {VAR}/log/shop-1.log")
        time.sleep(0.2)
    master = int(supervisor("pid", "shop-1"))
    worker = measure.child_of(master)
    for pid in (master, worker):
        subprocess.run(["taskset", "-acp", measure.SERVER_CORE, str(pid)], check=True, stdout=subprocess.DEVNULL)
    return worker


# ---- what they serve -------------------------------------------------------------------------------------------------


def psql(sql):
    return subprocess.run(["psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-d", os.environ["PG_PRIMARY"], "-c", sql],
                          check=True, capture_output=True, text=True).stdout


def seed():
    """A hundred products: their SKUs for wrk, the products themselves in Redis, as a cache would hold them."""
    with open("bench/service/product.sql", encoding="ascii") as file:
        sql = file.read().replace("$1", "'GBP'").replace("$2", "'2100-01-01'").replace("p.sku = $3", "p.sku <= '20750'")
    rows = psql(f"set search_path = product; update stock set on_hand = 1000000000; "
                f"select to_json(p) from ({sql} order by p.sku limit 100) p").splitlines()
    with open(os.environ["SKUS"], "w", encoding="ascii") as file:
        for row in rows:
            file.write(json.loads(row)["sku"] + "\n")
            redis("SET", "bench:" + json.loads(row)["sku"], row)
    return json.loads(rows[0])["sku"]


def redis(*words):
    subprocess.run(["redis-cli", "-p", os.environ["REDIS_PORT"], *words], check=True, stdout=subprocess.DEVNULL)


def scripts():
    """The checkout's scripts with the bench service among them: copies, as a version is not made of links."""
    folder = os.path.join(FOLDER, "scripts")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree("scripts", folder)
    shutil.copytree("bench/service", os.path.join(folder, "services/bench"))
    return folder


# ---- the contestants -------------------------------------------------------------------------------------------------


def port(number):
    return int(os.environ["BASE_PORT"]) + 80 + number


def fastr_env(number):
    return {"FASTR_NAME": f"bench{number}", "FASTR_LISTEN": f"127.0.0.1:{port(number)}", "FASTR_SCRIPTS": scripts()}


def start_fastr(env=None):
    return Server("fastr", port(0), ["bin/fastr", "serve", "bench", "rules"], "/readyz", {**fastr_env(0), **(env or {})}, True,
                  log("fastr"))


def start_counted():
    binary = os.path.join(os.environ["FASTR_BUILD"], "fastr")
    return Counted("fastr under valgrind", port(4), [binary, "serve", "bench", "rules"], "/readyz", FOLDER,
                   {**fastr_settings(), **fastr_env(4)})


def fastr_settings():
    """What bin/fastr would set; valgrind is given the binary itself."""
    with open(os.path.join(VAR, "fastr.env"), encoding="utf-8") as file:
        return dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)


def start_limit():
    return Server("limit", port(1), [os.path.join(os.environ["FASTR_BUILD"], "limit"), str(port(1))], "/", log=log("limit"))


def start_nginx():
    with open("bench/nginx.conf", encoding="ascii") as file:
        text = file.read().replace("@DIR@", FOLDER).replace("@PORT@", str(port(2)))
    with open(os.path.join(FOLDER, "nginx.conf"), "w", encoding="ascii") as file:
        file.write(text)
    return Server("nginx", port(2), ["nginx", "-e", "stderr", "-p", FOLDER, "-c", os.path.join(FOLDER, "nginx.conf")], "/",
                  prefork=True, log=log("nginx"))


def start_fastify(pack):
    env = {"PORT": str(port(3)), "REDIS_URL": os.environ["REDIS_URL"], "PG_URL": os.environ["PG_PRODUCT"],
           "PG_CONNECTIONS": "8", "PACK": pack, "SQL": "bench/service/product.sql", "NODE_ENV": "production"}
    return Server("fastify", port(3), ["node", "bench/fastify/server.js"], PATHS["fixed"], env, log=log("fastify"))


def fetch(server, row, sku):
    """The decoded reply of a server to a row's request."""
    path = PATHS[row] + (sku if row in ("redis", "replica") else "")
    request = urllib.request.Request(server.url + path)
    if row == "quote":
        with open("bench/load/cart.json", "rb") as file:
            request = urllib.request.Request(server.url + path, file.read(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.load(reply)


def compare(servers, rows, sku):
    """Refuses to measure servers that do not give the same answer."""
    for row in rows:
        ours, theirs = fetch(servers["fastr"], row, sku), fetch(servers["fastify"], row, sku)
        if ours != theirs:
            raise Failed(f"{row}: fastr and fastify do not answer alike:\n{json.dumps(ours)}\n{json.dumps(theirs)}")


def start(rows, sku):
    """The servers that the rows need, ready and in agreement."""
    servers = {"fastr": start_fastr().wait()}
    pack = fetch(servers["fastr"], "quote", sku)["pack"]
    servers["fastify"] = start_fastify(pack)
    if "fixed" in rows:
        servers["limit"], servers["nginx"] = start_limit(), start_nginx()
    for server in servers.values():
        server.wait()
    compare(servers, rows, sku)
    return servers


# ---- measuring -------------------------------------------------------------------------------------------------------


def measure_row(row, servers, options):
    """Rounds of all contestants in turn: {name: [figures of each round]}."""
    script, names = SCRIPTS.get(row), CONTESTANTS[row]
    for name in names:  # warm: compilers, pools, prepared statements
        measure.load(servers[name], PATHS[row], 2, CONNECTIONS, script)
    figures = {name: [] for name in names}
    for number in range(options.rounds):
        for name in names:
            figures[name].append(measure.load(servers[name], PATHS[row], options.seconds, CONNECTIONS, script))
        shown = "  ".join(f"{name} {figures[name][-1]['rate']:,.0f}/s {figures[name][-1]['cpu']:.1f} us" for name in names)
        print(f"  {row:8} round {number + 1} of {options.rounds}   {shown}", flush=True)
    return figures


def count_rows(rows, options):
    """Instructions a request of fastr's worker, by row."""
    server = start_counted()
    try:
        server.wait(60)
        counts = {}
        for row in rows:
            counts[row] = server.count(PATHS[row], max(2, options.seconds), SCRIPTS.get(row))
            print(f"  {row:8} {counts[row]:,.0f} instructions a request", flush=True)
        return counts
    finally:
        server.stop()


def run_rows(rows, options):
    servers = {}
    try:
        servers = start(rows, seed())
        figures = {row: measure_row(row, servers, options) for row in rows}
    finally:
        for server in servers.values():
            server.stop()
    return figures, count_rows(rows, options) if options.count else {}


def parse(arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", nargs="*")
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-count", dest="count", action="store_false")
    parser.add_argument("--results", default="")
    return parser.parse_args(arguments)


def run_checkout(options):
    seed()
    with open(os.environ["SKUS"], encoding="ascii") as file:
        skus = file.read().split()
    url = os.environ["SHOP_URL"]
    wake_shop()
    scripts = checkout.capture(url, skus, FOLDER)
    supervisor("stop", "shop-1", "provider-1")
    database = checkout.clone()
    return checkout.run(url, wake_shop(), scripts, database, options)


def main():
    options = parse(sys.argv[1:])
    os.makedirs(FOLDER, exist_ok=True)
    os.environ["SKUS"] = os.path.join(FOLDER, "skus")
    begun, used = time.monotonic(), measure.machine_seconds()
    rows = [row for row in options.rows if row in PATHS]
    supervisor("stop", *reversed(SHOP))  # what the rows do not need would only be in their way
    figures, counts = run_rows(rows, options) if rows else ({}, {})
    text = report.table(figures, counts)
    if "decision" in options.rows:
        text += report.decision(decision.measure_cases(FOLDER, options), decision.CASES)
    if "reload" in options.rows:
        text += reload.table(reload.measure_all(FOLDER, start_fastr, PATHS["quote"], SCRIPTS["quote"], options))
    if "replay" in options.rows:
        text += replay.table(replay.measure_all(FOLDER, options))
    if "checkout" in options.rows:
        text += report.checkout(run_checkout(options))
    print(text)
    if options.results:
        report.write(options.results, text, options, time.monotonic() - begun, measure.machine_seconds() - used)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failure:
        print(f"bench: {failure}", file=sys.stderr)
        sys.exit(1)
