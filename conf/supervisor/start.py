#!/usr/bin/python3
"""Starts the supervised programs that do not run, all at once (supervisorctl does one after the other, a second each).

usage: start.py [--again] SOCKET PROGRAM...
  --again   those that run are stopped first, all at once, and have 60 s to drain
"""
import sys
import time
import xmlrpc.client

from supervisor.states import STOPPED_STATES
from supervisor.xmlrpc import Faults, SupervisorTransport


def ask(call, name, fine):
    """Asks without waiting for the outcome; a fault that is fine is no fault."""
    try:
        call(name, False)
    except xmlrpc.client.Fault as fault:
        if fault.faultCode != fine:
            sys.exit(f"start.py: {name}: {fault.faultString}")


def stop(supervisor, names):
    for name in names:
        ask(supervisor.stopProcess, name, Faults.NOT_RUNNING)
    deadline = time.monotonic() + 60
    while left := [name for name in names if supervisor.getProcessInfo(name)["state"] not in STOPPED_STATES]:
        if time.monotonic() > deadline:
            sys.exit("start.py: these have not drained within 60 s: " + ", ".join(left))
        time.sleep(0.02)


def main():
    again = sys.argv[1:2] == ["--again"]
    arguments = sys.argv[2:] if again else sys.argv[1:]
    if not arguments:
        sys.exit(__doc__)
    transport = SupervisorTransport(None, None, serverurl="unix://" + arguments[0])
    supervisor = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor
    if again:
        stop(supervisor, arguments[1:])
    for name in arguments[1:]:
        ask(supervisor.startProcess, name, Faults.ALREADY_STARTED)


if __name__ == "__main__":
    main()
