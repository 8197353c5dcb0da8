"""conserved: what must add up after a run, whatever was killed meanwhile, asked of the databases, Kafka, the mail inbox and
the provider's own book. Used by replay.py and attack.py.

A Record is what the shoppers were told. It is compared with what is there: no order lost or doubled, no money, no unit,
no event, no mail. Leans on psql, and on confluent_kafka for reading topics back; knows the tables, not the code.
"""
import collections
import json
import os
import subprocess
import sys
import time
import urllib.request
import uuid

BOUGHT = "('paid', 'fulfilling', 'shipped', 'delivered')"
QUIET_S = 300  # at most; a busy machine may need it
# The events that an order has told when it has ended so.
EVENTS = {"bought": ("order.placed.v1", "order.paid.v1"),
          "cancelled": ("order.placed.v1", "order.paid.v1", "order.cancelled.v1")}


class Record:
    """What a run was told: its carts, and of every acknowledged order how it ended, its total, what was given back of
    its money, and its units."""

    def __init__(self, carts):
        self.carts, self.orders = carts, {}

    def bought(self, order, total, units, refunded=0):
        self.orders[order] = {"how": "bought", "total": total, "kept": total - refunded, "units": dict(units)}

    def cancelled(self, order, total, units):
        self.orders[order] = {"how": "cancelled", "total": total, "kept": 0, "units": dict(units)}

    def of(self, how):
        return [order for order, row in self.orders.items() if row["how"] == how]

    def total(self, name):
        return sum(row[name] for row in self.orders.values())

    def units(self, how):
        return sum(sum(row["units"].values()) for row in self.orders.values() if row["how"] == how)


# ---- asking the database ---------------------------------------------------------------------------------------------

def sql(statement):
    """Rows of a statement, as lists of texts; ends the program when the database cannot be asked."""
    done = subprocess.run(["psql", "-X", "-q", "-At", "-F", "\t", "-v", "ON_ERROR_STOP=1", os.environ["PG_PRIMARY"]],
                          input=statement, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        sys.exit("cannot ask the database: " + done.stderr.strip())
    return [line.split("\t") for line in done.stdout.splitlines()]


def values(rows, empty):
    return "(values " + (",".join(rows) or empty) + ")"


def with_orders(record, statement):
    """The statement, able to join `placed`: the acknowledged orders with their totals, what is kept and how they ended;
    `mine`: every order of the run's carts, also of those that failed; `charges`: what the provider took for those and
    gave back; `booked`: the same by payment's ledger."""
    placed = values((f"('{order}'::uuid,{row['total']}::bigint,{row['kept']}::bigint,'{row['how']}')"
                     for order, row in record.orders.items()), "(null::uuid,null::bigint,null::bigint,null)")
    carts = values((f"('{cart}')" for cart in record.carts), "(null)")
    return f"""with placed(id, total, kept, how) as {placed},
      mine as (select o.id, o.status, o.work, o.cart_id from "order".orders o join {carts} c(cart) on c.cart = o.cart_id),
      charges as (select c.id::text as charge, c.id, m.id as order_id,
          coalesce(sum(e.amount) filter (where e.kind = 'capture'), 0) as captured,
          coalesce(sum(e.amount) filter (where e.kind = 'refund'), 0) as refunded
        from provider.charges c join mine m on m.id::text = c.reference
        left join provider.entries e on e.charge_id = c.id group by c.id, m.id),
      booked as (select p.charge, p.order_id, p.next_try_at,
          coalesce(sum(l.amount) filter (where l.kind = 'capture'), 0) as captured,
          coalesce(sum(l.amount) filter (where l.kind = 'refund'), 0) as refunded
        from payment.payments p join mine m on m.id = p.order_id
        left join payment.ledger l on l.payment_id = p.id and l.state = 'succeeded' group by p.id)
      {statement}"""


def number(record, statement):
    return int(sql(with_orders(record, statement))[0][0])


# ---- quiet -------------------------------------------------------------------------------------------------------------

# What somebody still has to do for this run's orders: work, payments, webhooks, mails; and events of anybody.
UNDER_WAY = """select (select count(*) from mine where work is not null)
  + (select count(*) from booked where next_try_at is not null)
  + (select count(*) from charges c join provider.webhooks w on w.charge_id = c.id where w.delivered_at is null)
  + (select count(*) from "order".outbox where sent_at is null)
  + (select count(*) from product.outbox where sent_at is null)
  + (select count(*) from payment.outbox where sent_at is null)
  + (select count(*) from "order".outbox x join mine m on m.id::text = x.key
      where x.topic = 'order' and not exists (select from notification.inbox i where i.event_id = x.event_id))
  + (select count(*) from notification.mails l join mine m on m.id = l.subject where l.status = 'queued')"""


def quiet(record):
    """Waits until nothing is under way any more. Returns how much still is."""
    end = time.monotonic() + QUIET_S
    while True:
        left = number(record, UNDER_WAY)
        if left == 0 or time.monotonic() > end:
            return left
        time.sleep(0.5)


# ---- checks: each yields what is compared, what was expected and what was found ------------------------------------------

def check_orders(record):
    row = sql(with_orders(record, f"""select count(o.id), coalesce(sum(o.total), 0),
        count(p.id) filter (where o.total is distinct from p.total
          or not case p.how when 'bought' then o.status in {BOUGHT} else o.status = p.how end)
        from placed p left join "order".orders o using (id)"""))
    yield "orders acknowledged and there", len(record.orders), int(row[0][0])
    yield "their totals, agreed and stored", record.total("total"), int(row[0][1])
    yield "orders with another total or status", 0, int(row[0][2])
    yield "orders paid that nobody was told of", 0, number(record, f"""select count(*) from mine
        where status in {BOUGHT} and id not in (select id from placed where id is not null)""")
    yield "carts with two orders", 0, number(record, """select count(*) from (select cart_id from mine
        where status <> 'cancelled' group by cart_id having count(*) > 1) as twice""")


def check_money(record):
    yield "paid by their attempts", record.total("total"), number(record, """select coalesce(sum(a.amount), 0)
        from "order".attempts a join placed p on p.id = a.order_id
        where a.status in ('authorised', 'captured') or p.how <> 'bought' and a.status = 'refunded'""")
    yield "kept by payment's ledger", record.total("kept"), number(record, """select coalesce(sum(captured - refunded), 0)
        from booked join placed p on p.id = order_id""")
    yield "kept by the provider's book", record.total("kept"), number(record, """select
        coalesce(sum(captured - refunded), 0) from charges c join placed p on p.id = order_id""")
    yield "charges that took money, one for each order", len(record.orders), number(record, """select count(*)
        from charges c join placed p on p.id = order_id where captured > 0 and (captured > refunded or p.kept = 0)""")
    yield "kept for orders that are not paid", 0, number(record, f"""select coalesce(sum(captured - refunded), 0)
        from charges join mine on mine.id = order_id where status not in {BOUGHT}""")
    yield "charges on which ledger and provider differ", 0, number(record, """select count(*)
        from charges c full join booked b using (charge) where coalesce(b.captured - b.refunded, 0)
        <> coalesce(c.captured - c.refunded, 0)""")


def check_stock(record):
    yield "units taken off the shelf", record.units("bought") + record.units("cancelled"), number(record, """select
        coalesce(-sum(m.on_hand_delta), 0) from product.movements m join placed p on p.id = m.order_id
        where m.kind = 'commit'""")
    yield "units given back by cancelled orders", record.units("cancelled"), number(record, """select
        coalesce(sum(m.on_hand_delta), 0) from product.movements m join placed p on p.id = m.order_id
        where m.kind = 'restock'""")
    yield "holds left by these orders", 0, number(record, """select count(*)
        from product.holds h join placed p on p.id = h.order_id""")
    drift = sql("""select count(*) from product.stock s left join (
        select sku, sum(on_hand_delta) as n, sum(held_delta) as h from product.movements group by sku) m using (sku)
        left join (select sku, sum(quantity) as h from product.holds group by sku) q using (sku)
        where s.on_hand <> coalesce(m.n, 0) or coalesce(m.h, 0) <> coalesce(q.h, 0)""")[0][0]
    yield "products whose stock is not their ledger's sum", 0, int(drift)


# ---- events --------------------------------------------------------------------------------------------------------------

def events_in_kafka(since_ms, topic="order"):
    """By key the events of a topic since then, [(sequence, type)], each event id once, in the order of the topic; and how
    many came again."""
    from confluent_kafka import Consumer, TopicPartition
    consumer = Consumer({"bootstrap.servers": os.environ["KAFKA_BROKERS"], "group.id": "conserved-" + uuid.uuid4().hex,
                         "enable.auto.commit": False})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    starts = consumer.offsets_for_times([TopicPartition(topic, p, since_ms) for p in partitions], timeout=10)
    ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in partitions}
    waiting = {s.partition for s in starts if 0 <= s.offset < ends[s.partition]}
    consumer.assign([s for s in starts if s.partition in waiting])
    seen, found, again, end = set(), collections.defaultdict(list), 0, time.monotonic() + 60
    while waiting and time.monotonic() < end:
        message = consumer.poll(1)
        if message is None or message.error():
            continue
        event = json.loads(message.value())
        again += event["id"] in seen
        if event["id"] not in seen:
            seen.add(event["id"])
            found[event["subject"]].append((event["sequence"], event["type"]))
        if message.offset() + 1 >= ends[message.partition()]:
            waiting.discard(message.partition())
    consumer.close()
    return found, again


def wanted_events(record):
    """By event type how many orders have told it."""
    counts = collections.Counter()
    for row in record.orders.values():
        counts.update(EVENTS[row["how"]])
    return counts


def check_events(record, since_ms):
    found, again = events_in_kafka(since_ms)
    for kind, n in sorted(wanted_events(record).items()):
        rows = sql(with_orders(record, f"""select count(*), count(distinct x.key) from "order".outbox x
            join placed p on p.id::text = x.key where x.topic = 'order' and x.type = '{kind}'
              and x.sent_at is not null"""))[0]
        yield f"{kind} published, each order once", n, int(rows[0]) if rows[0] == rows[1] else -1
        once = sum(1 for order in record.orders if [k for _, k in found.get(order, ())].count(kind) == 1)
        yield f"{kind} in Kafka, each order once", n, once
    disordered = sum(1 for order in record.orders if sorted(found.get(order, ())) != found.get(order, []))
    yield "orders whose events came out of order", 0, disordered
    yield "events taken by notification, each once", number(record, """select count(*) from "order".outbox x
        join mine m on m.id::text = x.key where x.topic = 'order'"""), number(record, """select count(*)
        from notification.inbox i join "order".outbox x using (event_id) join mine m on m.id::text = x.key""")
    yield "events parked for these orders", 0, number(record, """select count(*) from mine m join (
        select key from notification.parked where redriven_at is null union all
        select key from "order".parked where redriven_at is null) k on k.key = m.id::text""")
    record.repeated_events = again


# ---- mails -----------------------------------------------------------------------------------------------------------------

def mails_in_inbox():
    """How often each Message-ID lies in the inbox."""
    with urllib.request.urlopen(os.environ["INBOX_URL"] + "/email", timeout=60) as reply:
        return collections.Counter(mail["messageId"].strip("<>").split("@")[0] for mail in json.load(reply))


def check_mails(record):
    ids = [row[0] for row in sql(with_orders(record, """select l.id from notification.mails l
        join placed p on p.id = l.subject"""))]
    yield "mails written, one for each event that has one", number(record, """select count(*) from "order".outbox x
        join placed p on p.id::text = x.key where x.topic = 'order'
        and x.type in ('order.placed.v1', 'order.paid.v1', 'order.cancelled.v1')"""), len(ids)
    arrived = mails_in_inbox()
    yield "of them arrived, by Message-ID", len(ids), sum(1 for each in ids if arrived[each] >= 1)
    record.repeated_mails = sum(arrived[each] - 1 for each in ids if arrived[each] > 1)


# ---- all of them -----------------------------------------------------------------------------------------------------------

def check_stuck(record):
    yield "orders, payments, events, mails under way", 0, quiet(record)
    yield "orders open with nothing to do on them but money kept", 0, number(record, """select count(*) from mine m
        join booked b on b.order_id = m.id where m.status = 'placing' and b.captured > b.refunded""")


def check(record, since_ms):
    """Waits until all is quiet, and compares: list of (what, expected, found)."""
    found = list(check_stuck(record))
    for part in (check_orders(record), check_money(record), check_stock(record), check_events(record, since_ms),
                 check_mails(record)):
        found.extend(part)
    return found


def show(found, only_bad=False):
    """Prints each comparison; returns how many do not add up."""
    bad = 0
    for what, expected, there in found:
        bad += expected != there
        if expected == there and only_bad:
            continue
        print(f"  {'ok ' if expected == there else 'BAD'}  {what:<48} {there:>14,}" +
              ("" if expected == there else f"   expected {expected:,}"), flush=True)
    return bad
