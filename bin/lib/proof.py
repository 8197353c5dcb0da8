"""proof: that the attack can see. Each of these builds of the scripts is broken in one place; made live in the running shop,
it must make the attack fail, or the attack is blind. The scripts on disk are left alone, and live again afterwards.
"""
import contextlib
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


def copied(folder):
    return shutil.copytree(ROOT + "/scripts", folder + "/scripts")


def change(copy, path, old, new):
    """Replaces a text in one file of a copy; it has to be there once."""
    with open(f"{copy}/{path}", encoding="utf-8") as file:
        text = file.read()
    if text.count(old) != 1:
        raise SystemExit(f"attack: {path} has not once what is to be changed: {old}")
    with open(f"{copy}/{path}", "w", encoding="utf-8") as file:
        file.write(text.replace(old, new))


@contextlib.contextmanager
def live(make):
    """The scripts that make(folder) returns are live in the running shop; then those on disk are again."""
    for end in (signal.SIGTERM, signal.SIGHUP):  # so that they are put back then, too
        signal.signal(end, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="fastr-attack-") as folder:
        scripts = make(folder)
        try:
            reload(scripts)
            yield scripts
        finally:
            reload(ROOT + "/scripts")


def broken(*what):
    def make(folder):
        copy = copied(folder)
        change(copy, *what)
        return copy
    return make


def attacked(scripts, race):
    """What a race says of these scripts: exit code, and its bad lines."""
    done = subprocess.run([sys.executable, ROOT + "/bin/lib/attack.py", "--faults", "0", "--race", race, "--patience",
                           PATIENCE_S], capture_output=True, text=True, timeout=600,
                          env={**os.environ, "FASTR_SCRIPTS": scripts})
    bad = [line.strip() for line in done.stdout.splitlines() if line.strip().startswith("BAD")]
    return done.returncode, bad or done.stderr.strip().splitlines()[-1:]


def prove():
    """Tries each; returns how many were not seen."""
    unseen = 0
    for what, race, *where in BREAKS:
        with live(broken(*where)) as scripts:
            code, said = attacked(scripts, race)
        unseen += code == 0
        print(f"{'NOT SEEN' if code == 0 else 'seen':<8}  {what}", flush=True)
        for line in said[:4]:
            print("          " + line, flush=True)
    return unseen
