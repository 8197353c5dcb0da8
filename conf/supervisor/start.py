#!/usr/bin/python3
"""Starts the supervised programs that do not run, all at once (supervisorctl starts one after the other).

usage: start.py SOCKET PROGRAM...
"""
import sys
import xmlrpc.client

from supervisor.xmlrpc import Faults, SupervisorTransport

ALREADY = (Faults.ALREADY_STARTED,)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    transport = SupervisorTransport(None, None, serverurl="unix://" + sys.argv[1])
    supervisor = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor
    for name in sys.argv[2:]:
        try:
            supervisor.startProcess(name, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode not in ALREADY:
                sys.exit(f"start.py: {name}: {fault.faultString}")


if __name__ == "__main__":
    main()
