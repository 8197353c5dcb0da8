"""steps: kill -9 between every two steps of a checkout. A copy of the scripts has a point between each two; a process that
comes to the one that is armed stops there, and is killed while its shopper waits. He asks again with his key, and must
get his order; then all must add up. The scripts on disk have no such points, and are live again afterwards.
"""
import concurrent.futures
import os
import signal
import time

import conserved
import faults
import proof

ARMED = "run/fault"  # below var, with the name of the point; then with that of the process which stopped there

POINT = f"""-- In the attack's copy of the scripts alone.
return function(name)
  if fastr.file.read("{ARMED}") ~= name then return end
  fastr.file.write("{ARMED}", "at " .. (fastr.host.life()))
  fastr.time.sleep(60000)
end
"""

# Where: what it stands between, the file, the text that stands there, and where in it the point goes (@).
POINTS = (
    ("cart closed | order asked", "services/cart/checkout.lua",
     "if closed and closed[1] then @return cart, priced end"),
    ("order opened | stock held", "services/order/place.lua", "if step.run then @return run(db, step.run) end"),
    ("stock held | order told", "services/product/handlers.lua",
     "if not reservation then return nil, failed end\n  @return 200, { order = reservation.order"),
    ("order told | attempt marked", "services/order/work.lua", "if ok then\n    @order.held = true"),
    ("attempt marked | payment asked", "services/order/work.lua", '@attempt.status = "asked"\n    return authorise'),
    ("payment opened | provider asked", "services/payment/attempts.lua",
     "@local made, other = charge(p, card, retry)\n  if made then"),
    ("provider booked | payment told", "services/provider/handlers.lua",
     "if not charge then return nil, made_before end\n  @if behaviour.answer_ms"),
    ("payment told | payment booked", "services/payment/attempts.lua", "if made then\n    @settle_now(db, p, made)\n  elseif"),
    ("payment booked | order told", "services/payment/attempts.lua",
     "end\n  @return answer(db, store.load(db, p.id))\nend\n\nlocal function is_settled"),
    ("order told | stock taken", "services/order/work.lua",
     "take_over(attempt, reply)\n  @if IS_OURS[attempt.status] then return true end\n  if GIVEN_BACK"),
    ("stock taken | order paid", "services/order/work.lua",
     "if ok then @return true end\n  said.problem = failed\n  if failed.status < 500 then return shortfall"),
    ("order paid | cart settled", "services/order/work.lua", "if ok then\n    @said.outcome = order.status"),
    ("cart settled | order done", "services/order/work.lua", '@return end_work(db, order, "settle")'),
    ("order done | cart let go", "services/cart/checkout.lua", "@if answer or failed.status < 500 then\n    let_go("),
    ("events published | marked as sent", "platform/outbox.lua", '@if #sent > 0 then\n    db:write("update outbox'),
    ("event taken in | its offset kept", "platform/inbox.lua", "if ok and outcome then @return outcome end\n  if not ok"),
)


def with_points(folder):
    """A copy of the scripts that has them all."""
    copy = proof.copied(folder)
    for name, path, text in POINTS:
        call = f'require("platform.fault")("{name}") '
        proof.change(copy, path, text.replace("@", ""), text.replace("@", call))
    with open(copy + "/platform/fault.lua", "w", encoding="utf-8") as file:
        file.write(POINT)
    return copy


def armed():
    return os.environ["FASTR_VAR"] + "/" + ARMED


def write(text):
    with open(armed() + ".new", "w", encoding="ascii") as file:
        file.write(text)
    os.chmod(armed() + ".new", 0o600)
    os.rename(armed() + ".new", armed())


def stopped_at():
    """The process that stands at the point; None while none does."""
    with open(armed(), encoding="ascii") as file:
        text = file.read()
    if not text.startswith("at "):
        return None
    inode = os.stat(f"{os.environ['FASTR_VAR']}/run/{text[3:]}.life").st_ino
    with open("/proc/locks", encoding="ascii") as file:
        held = [line.split() for line in file]
    pids = [int(words[4]) for words in held if words[1] == "FLOCK" and words[5].endswith(f":{inode}")]
    return pids[0] if pids else None


def buy(shop, record, sku):
    """A purchase, asked for until it is known; seconds that it took."""
    cart, card = shop.cart({sku: 2}, record)
    began = time.monotonic()
    status, order, _ = shop.check_out(cart, card)
    if status != 201 or order["status"] != "paid":
        raise AssertionError(f"{status} {order.get('status')}")
    record.bought(order["id"], order["totals"]["total"]["amount"], {sku: 2})
    return time.monotonic() - began


def kill_at(name, shop, record, sku):
    """Buys, and kills who comes to the point: seconds until the shopper had his order; or why not."""
    write(name)
    try:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            shopper = pool.submit(buy, shop, record, sku)
            if not faults.until(lambda: stopped_at() is not None, 30):
                return "nobody came there"
            os.kill(stopped_at(), signal.SIGKILL)
            write("-")
            return shopper.result()
    except Exception as why:  # whatever it is, the others are tried, too
        return str(why)
    finally:
        write("-")


def try_all(shop):
    """Kills at each point, one after the other: the record, and how many shoppers did not get their order."""
    record, began_ms, bad = conserved.Record([]), int(time.time() * 1000) - 1000, 0
    sku = shop.product(1000)
    print("| killed between | until the shopper had his order |\n|---|---|")
    for name, _, _ in POINTS:
        took = kill_at(name, shop, record, sku)
        bad += isinstance(took, str)
        print(f"| {name.replace(' | ', ' and ')} | " + (took if isinstance(took, str) else f"{took:.2f} s") + " |", flush=True)
    return record, began_ms, bad
