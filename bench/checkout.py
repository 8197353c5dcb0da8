"""checkout: whole purchases through the public API, beside pgbench running the statements that they execute.

The statements are taken from the servers' own logs while one shopper buys; the servers say every statement with its
parameters for as long as that takes, and there are only made-up people in them. What is also said while nobody buys (the
services' polls) is left out; the rest, by transaction in the order of the commits, becomes a script of pgbench: identifiers
become variables, made anew for each run of the script, everything else stays as it was said. Several such scripts, each with
other products, so that the clients meet at the same rows as seldom as shoppers do."""
import http.client
import json
import os
import random
import re
import subprocess
import time
import urllib.parse

import measure
from measure import Failed

SERVERS = ("primary", "r1", "r2")
CLIENTS, SCRIPTS, PURCHASES = 8, 6, 2
ADDRESS = {"email": "ann@shop.example", "shipping_method": "standard", "shipping_address": {
    "name": "Ann Lee", "line1": "1 High Street", "city": "Leeds", "postcode": "LS1 1AA", "country": "GB"}}
CARD = {"card": {"number": "4242424242424242", "exp_month": 12, "exp_year": 2030, "cvc": "123"}}

# ---- one shopper -----------------------------------------------------------------------------------------------------


def send(connection, method, path, body, wanted, headers=None):
    connection.request(method, "/api/v1" + path, json.dumps(body), {"Content-Type": "application/json", **(headers or {})})
    reply = connection.getresponse()
    text = reply.read()
    if reply.status != wanted:
        raise Failed(f"{method} {path}: {reply.status}, not {wanted}: {text.decode()[:500]}")
    return json.loads(text)


def buy(connection, skus):
    """One purchase of three products, to `paid`."""
    cart = send(connection, "POST", "/carts", {}, 201)["id"]
    lines = [{"sku": sku, "quantity": random.randint(1, 3)} for sku in random.sample(skus, 3)]
    send(connection, "POST", f"/carts/{cart}/lines", lines, 200)
    total = send(connection, "PATCH", f"/carts/{cart}", ADDRESS, 200)["totals"]["total"]
    method = send(connection, "POST", "/payment-methods", CARD, 201)["id"]
    order = send(connection, "POST", f"/carts/{cart}/checkout", {"payment_method": method, "expected_total": total}, 201,
                 {"Idempotency-Key": cart})
    if order["status"] != "paid":
        raise Failed(f"the order is {order['status']}, not paid")


# ---- what the servers say --------------------------------------------------------------------------------------------

HEAD = re.compile(r"^(\S+ \S+) UTC\|(\d+)\|(\w*)\|(\w+):  (.*)$")
RUN = re.compile(r"duration: [\d.]+ ms  (?:execute [^:]*|statement): (.*)$", re.S)


def psql(connection, *commands):
    words = [word for command in commands for word in ("-c", command)]
    return subprocess.run(["psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-d", connection, *words], check=True,
                          capture_output=True, text=True).stdout


def say_all(on):
    settings = {"log_min_duration_statement": "0", "log_parameter_max_length": "-1", "log_line_prefix": "%m|%p|%u|",
                "log_lock_waits": "off"}
    for connection in (os.environ["PG_PRIMARY"], *os.environ["PG_REPLICAS"].split(",")):
        change = [f"alter system set {name} = '{value}'" if on else f"alter system reset {name}"
                  for name, value in settings.items()]
        psql(connection, *change, "select pg_reload_conf()")
    time.sleep(0.5)  # every backend reads the settings before its next statement; it has polled by then


def entries(text, server):
    """The log's entries: (server and process, role, kind, text), and when."""
    found = []
    for row in text.splitlines():
        head = HEAD.match(row)
        if head:
            found.append({"at": head[1], "who": server + head[2], "role": head[3], "kind": head[4], "text": head[5]})
        elif found:
            found[-1]["text"] += "\n" + row.lstrip("\t")
    return found


def statements(text, server):
    """What was executed, in order: {at, who, role, sql, values}."""
    done, last = [], None
    for entry in entries(text, server):
        run = RUN.match(entry["text"]) if entry["kind"] == "LOG" and entry["role"] not in ("", "postgres") else None
        if run:
            done.append({**entry, "sql": run[1].strip().rstrip(";"), "values": []})
        elif entry["kind"] == "DETAIL" and last and entry["text"].lower().startswith("parameters:"):
            done[-1]["values"] = values_of(entry["text"])
        last = run
    return done


def values_of(text):
    """"parameters: $1 = 'a', $2 = NULL" -> ["a", None]"""
    pairs = re.findall(r"\$\d+ = (NULL|'(?:[^']|'')*')", text)
    return [None if value == "NULL" else value[1:-1].replace("''", "'") for value in pairs]


class Listener:
    """The servers' logs from a moment on."""

    def __init__(self):
        self.paths = {name: os.path.join(os.environ["VAR"], "log", f"pg-{name}.log") for name in SERVERS}
        self.begin = {name: os.path.getsize(path) for name, path in self.paths.items()}

    def heard(self):
        done = []
        for name, path in self.paths.items():
            with open(path, encoding="utf-8", errors="replace") as file:
                file.seek(self.begin[name])
                done += statements(file.read(), name)
        return sorted(done, key=lambda statement: statement["at"])  # stable: each server's own order is kept


def settled():
    """Has everything that follows a purchase been done?"""
    unsent = " + ".join(f'(select count(*) from "{name}".outbox where sent_at is null)'
                        for name in ("cart", "order", "payment", "product", "notification"))
    rest = """(select count(*) from "order".orders where work is not null)
      + (select count(*) from notification.mails where status = 'queued')
      + (select count(*) from provider.webhooks where delivered_at is null)"""
    return psql(os.environ["PG_PRIMARY"], f"select {unsent} + {rest}").strip() == "0"


def wait_settled(seconds=60):
    deadline, calm = time.monotonic() + seconds, 0
    while calm < 3:
        if time.monotonic() > deadline:
            raise Failed(f"after {seconds} s there is still work from the last purchase")
        calm = calm + 1 if settled() else 0
        time.sleep(0.3)


# ---- the script ------------------------------------------------------------------------------------------------------

CONTROL = re.compile(r"(begin|commit|set local|select pg_catalog.pg_current_wal_flush_lsn)", re.I)
IDENTIFIER = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{64}|[\w-]{22}")
QUOTED = re.compile(r"'(?:[^']|'')*'")
UUID7 = "(lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0') || left(md5(random()::text), 20))::uuid"
MAKERS = {36: UUID7, 64: "encode(sha256(random()::text::bytea), 'hex')", 22: "left(md5(random()::text), 22)"}


def transactions(done):
    """Statements by transaction (or alone), in the order in which they ended."""
    ended, open_by = [], {}
    for number, statement in enumerate(done):
        who, control = statement["who"], CONTROL.match(statement["sql"])
        if statement["sql"].lower().startswith("begin"):
            open_by[who] = {"list": [], "open": True, "end": number}
            ended.append(open_by[who])
        elif not control and not open_by.get(who, {}).get("open"):
            open_by[who] = {"list": [], "open": False, "end": number}
            ended.append(open_by[who])
        if who in open_by:
            open_by[who]["list"].append(statement)
            open_by[who]["end"] = number
            if statement["sql"].lower().startswith("commit"):
                open_by[who]["open"] = False
    return [entry["list"] for entry in sorted(ended, key=lambda entry: entry["end"])]


def texts(done):
    return {(statement["role"], statement["sql"]) for statement in done if not CONTROL.match(statement["sql"])}


def literal(value):
    """A constant; pgbench would take a colon for one of its variables."""
    if value is None:
        return "null"
    return "E'" + value.replace("\\", "\\\\").replace("'", "''").replace(":", "\\x3a") + "'"


def without_colons(sql):
    return QUOTED.sub(lambda found: literal(found[0][1:-1].replace("''", "'")) if ":" in found[0] else found[0], sql)


def schema_tables():
    rows = psql(os.environ["PG_PRIMARY"], "select schemaname, tablename from pg_tables").splitlines()
    tables = {}
    for row in rows:
        schema, table = row.split("|")
        tables.setdefault(schema, set()).add(table)
    return tables


def qualified(sql, role, tables):
    """The statement with the role's schema written out: pgbench is no service."""
    schema = f'"{role}"'
    names = "|".join(sorted(tables.get(role, ()), key=len, reverse=True))
    sql = re.sub(rf"\b(from|join|into|update|using)(\s+)({names})\b(?!\s*\.)",
                 lambda found: f"{found[1]}{found[2]}{schema}.{found[3]}", sql, flags=re.I) if names else sql
    return re.sub(r"nextval\('(\w+)'", lambda found: f"nextval('{schema}.{found[1]}'", sql)


class Script:
    """Statements as a script of pgbench."""

    def __init__(self, tables):
        self.tables, self.variables, self.lines = tables, {}, []

    def variable(self, value):
        return ":" + self.variables.setdefault(value, f"v{len(self.variables) + 1}")

    def value(self, statement, value):
        """One parameter as it is written: an identifier is a variable, a row's number that of the session's last row."""
        role, sql = statement["role"], statement["sql"]
        table = re.match(r"update (outbox|webhooks) set (?:sent_at|delivered_at)", sql)
        if table and value and re.fullmatch(r"\{[\d,]+\}|\d+", value) and value != "204":
            last = f"currval(pg_get_serial_sequence('\"{role}\".{table[1]}', 'id'))"
            back = [f"{last} - {i}" for i in range(value.count(",") + 1)]
            return f"array[{', '.join(back)}]" if value[0] == "{" else last
        if value and IDENTIFIER.fullmatch(value):
            return self.variable(value)
        return literal(value)

    def add(self, statement):
        sql = qualified(without_colons(statement["sql"]), statement["role"], self.tables)
        values = statement["values"]
        sql = re.sub(r"\$(\d+)(?!\d)", lambda found: self.value(statement, values[int(found[1]) - 1]), sql)
        self.lines.append(" ".join(sql.split()) + ";")

    def text(self):
        made = ", ".join(f"{MAKERS[len(value)]} as {name}" for value, name in self.variables.items())
        return f"select {made}\n\\gset\n" + "\n".join(self.lines) + "\n"


def write_script(path, done, idle, tables):
    """Returns the number of statements and of transactions in it."""
    script, count = Script(tables), 0
    for group in transactions(done):
        if texts(group) and not texts(group) <= idle:
            count += 1
            for statement in group:
                script.add(statement)
    with open(path, "w", encoding="utf-8") as file:
        file.write(script.text())
    return len(script.lines), count


def capture(url, skus, folder):
    """Scripts of the statements of some purchases each: [(path)], statements and transactions a purchase."""
    address = urllib.parse.urlsplit(url).netloc
    connection, tables, paths, sums = http.client.HTTPConnection(address), schema_tables(), [], [0, 0]
    buy(connection, skus)  # what is done once is not a purchase's
    wait_settled()
    say_all(True)
    try:
        quiet = Listener()
        time.sleep(8)  # longer than any poll's interval
        idle = texts(quiet.heard())
        for number in range(SCRIPTS):
            listener = Listener()
            for _ in range(PURCHASES):
                buy(connection, skus)
            wait_settled()
            paths.append(os.path.join(folder, f"checkout-{number + 1}.sql"))
            sums = [a + b for a, b in zip(sums, write_script(paths[-1], listener.heard(), idle, tables))]
    finally:
        say_all(False)
    return paths, sums[0] / SCRIPTS / PURCHASES, sums[1] / SCRIPTS / PURCHASES


# ---- measuring -------------------------------------------------------------------------------------------------------


def clone():
    """A database of pgbench's own beside the shop's, whose services must not run: else they would go on with what pgbench
    leaves. Connections to the shop's are not possible meanwhile."""
    server = os.environ["PG_PRIMARY"].rsplit("/", 1)[0]
    psql(server + "/postgres", "drop database if exists pgbench", "create database pgbench template shop")
    return server + "/pgbench"


def pgbench(database, paths, seconds):
    """Purchases a second."""
    files = [word for path in paths for word in ("-f", path)]
    done = subprocess.run(["taskset", "-c", measure.SERVER_CORE, "pgbench", "-n", "-M", "prepared", "-c", str(CLIENTS), "-T",
                           str(seconds), *files, database], capture_output=True, text=True, check=False)
    rate = re.search(r"tps = ([\d.]+)", done.stdout)
    if done.returncode != 0 or not rate or re.search(r"number of failed transactions: [1-9]", done.stdout):
        raise Failed(f"pgbench could not run the purchases:\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}")
    return {"rate": float(rate[1]) * PURCHASES}


def shop(url, pid, seconds):
    """Purchases a second, and what one costs the shop's process."""
    before = measure.cpu_seconds(pid)
    done = subprocess.run(["taskset", "-c", measure.LOAD_CORE, "wrk", f"-t{CLIENTS}", f"-c{CLIENTS}", f"-d{seconds}s", "-s",
                           "bench/load/checkout.lua", url], capture_output=True, text=True, check=False).stdout
    paid = re.search(r"paid: (\d+) in ([\d.]+) s", done)
    if "trouble:" in done or not paid or not int(paid[1]):
        raise Failed(f"the purchases did not all reach paid:\n{done[-1500:]}")
    return {"rate": int(paid[1]) / float(paid[2]), "cpu": (measure.cpu_seconds(pid) - before) / int(paid[1]) * 1e6}


def run(url, pid, scripts, database, options):
    """Rounds of both in turn: {shop: [...], pgbench: [...], statements:, transactions:}. `scripts`: what capture gave."""
    paths, count, groups = scripts
    print(f"  checkout {count:.0f} statements in {groups:.0f} transactions and single reads a purchase", flush=True)
    shop(url, pid, options.seconds)
    pgbench(database, paths, options.seconds)
    figures = {"shop": [], "pgbench": [], "statements": count, "transactions": groups}
    for number in range(options.rounds):
        wait_settled()
        figures["shop"].append(shop(url, pid, 3 * options.seconds))
        wait_settled()
        figures["pgbench"].append(pgbench(database, paths, 3 * options.seconds))
        ours, theirs = figures["shop"][-1], figures["pgbench"][-1]
        print(f"  checkout round {number + 1} of {options.rounds}   fastr {ours['rate']:.1f}/s {ours['cpu'] / 1000:.1f} ms"
              f"   pgbench {theirs['rate']:.1f}/s", flush=True)
    return figures
