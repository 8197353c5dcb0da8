"""measure: load from wrk on one core, and what it costs the server's process on the other.

A server is a process that listens on a port of 127.0.0.1; its CPU time is that of all its threads, from /proc/PID/stat.
The machine may be busy with other things: figures of one round are comparable, those of different rounds less so, so
that callers interleave (A B A B ...) and take medians.
"""
import glob
import os
import re
import subprocess
import time
import urllib.request

SERVER_CORE, LOAD_CORE = "0", "1"
TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """Something that the reader must mend; its text is shown as it is."""


def cpu_seconds(pid):
    """CPU seconds of a process's threads, user and system."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def machine_seconds():
    """CPU seconds of the whole machine so far that were not idle."""
    with open("/proc/stat", encoding="ascii") as file:
        fields = [int(field) for field in file.readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS


def child_of(pid):
    """The first child of a process."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        children = file.read().split()
    if not children:
        raise Failed(f"process {pid} has no worker")
    return int(children[0])


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return reply.status == 200
    except OSError:
        return False


class Server:
    """A contestant: a process pinned to the server's core, ended by its own id."""

    def __init__(self, name, port, command, ready, env=None, prefork=False, log=None):
        self.name, self.url = name, f"http://127.0.0.1:{port}"
        with open(log, "wb") as out:
            self.process = subprocess.Popen(["taskset", "-c", SERVER_CORE, *command], env={**os.environ, **(env or {})},
                                            stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        self.log, self.ready, self.prefork = log, ready, prefork

    def wait(self, seconds=30):
        deadline = time.monotonic() + seconds
        while not answers(self.url + self.ready):
            if self.process.poll() is not None or time.monotonic() > deadline:
                with open(self.log, encoding="utf-8", errors="replace") as file:
                    raise Failed(f"{self.name} does not answer at {self.url}{self.ready}; it said:\n{file.read()[-2000:]}")
            time.sleep(0.05)
        self.pid = child_of(self.process.pid) if self.prefork else self.process.pid
        return self

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def wrk(url, seconds, connections, script=None, env=None):
    """Requests and requests a second; raises Failed if one was not answered with 2xx."""
    command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    command += (["-s", script] if script else []) + [url]
    out = subprocess.run(command, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False).stdout
    total, rate = re.search(r"(\d+) requests in", out), re.search(r"Requests/sec:\s+([\d.]+)", out)
    if not total or not int(total[1]) or re.search(r"Non-2xx|Socket errors", out):
        raise Failed(f"wrk could not measure {url}:\n{out}")
    return int(total[1]), float(rate[1])


def load(server, path, seconds, connections, script=None, env=None):
    """One measurement of a server: {rate (requests/s), cpu (microseconds/request), busy (share of its core)}."""
    before, begun = cpu_seconds(server.pid), time.monotonic()
    total, rate = wrk(server.url + path, seconds, connections, script, env)
    spent, took = cpu_seconds(server.pid) - before, time.monotonic() - begun
    return {"rate": rate, "cpu": spent * 1e6 / total, "busy": spent / took}


class Counted(Server):
    """A fastr under valgrind's callgrind, which counts the instructions of its worker (the kernel's are not among them).
    About fifty times slower, so for counts alone."""

    def __init__(self, name, port, command, ready, folder, env=None):
        self.out = os.path.join(folder, "callgrind.%p")
        valgrind = ["valgrind", "-q", "--tool=callgrind", "--trace-children=yes", "--callgrind-out-file=" + self.out]
        super().__init__(name, port, valgrind + command, ready, env, True, os.path.join(folder, "callgrind.log"))

    def control(self, what):
        subprocess.run(["callgrind_control", what, str(self.pid)], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    def count(self, path, seconds, script=None, env=None):
        """Instructions a request: compiled and warm first, then counted twice; what the process does by itself and connections
        that come and go are in both counts, so that the lower one is nearer."""
        self.warm(path, seconds, script, env)
        return min(self.count_once(path, seconds, script, env) for _ in range(2))

    def count_once(self, path, seconds, script, env):
        self.control("-z")
        total, _ = self.warm(path, seconds, script, env)
        self.control("-d")
        return self.dumped() / total

    def warm(self, path, seconds, script, env):
        for tries in range(5):
            try:
                return wrk(self.url + path, seconds, 4, script, env)
            except Failed:  # its connections are slow to come up
                if tries == 4:
                    raise

    def dumped(self):
        """The sum of the last dump, which appears a moment after it was asked for."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for name in glob.glob(self.out.replace("%p", str(self.pid)) + ".*"):
                with open(name, encoding="utf-8", errors="replace") as file:
                    total = re.search(r"^(?:totals|summary): (\d+)", file.read(), re.M)
                if total:
                    os.remove(name)
                    return int(total[1])
            time.sleep(0.1)
        raise Failed("valgrind wrote no count")
