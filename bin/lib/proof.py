"""proof: that the attack can see. Each of these builds of the scripts is broken in one place; made live in the running shop,
it must make the attack fail, or the attack is blind. The scripts on disk are left alone, and live again afterwards.
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# What is broken; the race that must see it; in which file what becomes what.
BREAKS = (
    ("keys are not heeded", "same_key", "platform/idempotency.lua",
     "return run(service, route, ctx, key and name_action(service, route, ctx, key) or nil)",
     "return run(service, route, ctx, nil)"),
    ("events are not known again", "double_checkout", "platform/inbox.lua",
     "if not entered.fresh then", "if not entered.fresh and entered.blocked then"),
    ("stock is not locked", "last_units", "services/product/store.lua",
     'order by sku collate "C" for update', 'order by sku collate "C"'),
    ("an event is not written", "double_checkout", "platform/outbox.lua",
     "  check(event)\n", '  check(event)\n  if event.type == "order.paid.v1" then return fastr.crypto.uuid7(), 0 end\n'),
)
PATIENCE_S = "15"  # until what is still under way is told as stuck


def reload(scripts):
    done = subprocess.run([ROOT + "/bin/fastr", "reload", "scripts"], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "FASTR_SCRIPTS": scripts})
    if done.returncode != 0:
        raise SystemExit("attack: cannot make the scripts live: " + done.stdout + done.stderr)


def broken(folder, path, old, new):
    """A copy of the scripts with that one change."""
    copy = shutil.copytree(ROOT + "/scripts", folder + "/scripts")
    with open(f"{copy}/{path}", encoding="utf-8") as file:
        text = file.read()
    if text.count(old) != 1:
        raise SystemExit(f"attack: {path} has not once what is to be broken: {old}")
    with open(f"{copy}/{path}", "w", encoding="utf-8") as file:
        file.write(text.replace(old, new))
    return copy


def attacked(scripts, race):
    """What a race says of these scripts: exit code, and its bad lines."""
    done = subprocess.run([sys.executable, ROOT + "/bin/lib/attack.py", "--faults", "0", "--race", race, "--patience",
                           PATIENCE_S], capture_output=True, text=True, timeout=600,
                          env={**os.environ, "FASTR_SCRIPTS": scripts})
    bad = [line.strip() for line in done.stdout.splitlines() if line.strip().startswith("BAD")]
    return done.returncode, bad or done.stderr.strip().splitlines()[-1:]


def tried(race, change):
    """The same, with one change made live meanwhile."""
    with tempfile.TemporaryDirectory(prefix="fastr-proof-") as folder:
        copy = broken(folder, *change)
        try:
            reload(copy)
            return attacked(copy, race)
        finally:
            reload(ROOT + "/scripts")


def prove():
    """Tries each; returns how many were not seen."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the scripts are put back then, too
    unseen = 0
    for what, race, *change in BREAKS:
        code, said = tried(race, change)
        unseen += code == 0
        print(f"{'NOT SEEN' if code == 0 else 'seen':<8}  {what}", flush=True)
        for line in said[:4]:
            print("          " + line, flush=True)
    return unseen
