# SPDX-License-Identifier: Apache-2.0
"""A booted systemd for tests of penstockd as a service, with the units as they are shipped.

The machine's own systemd is booted in namespaces of its own, see systemd-lab/boot.sh.  The
programs are copied into it, and the unit is made from its template for the prefix /usr, so
that a build with any prefix can be tested, without another build.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

import harness
from harness import PATIENCE

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGING = os.path.join(HERE, "..", "..", "packaging")
UNIT = "/etc/systemd/system/penstockd.service"
SOCKET = "/run/penstock/control.sock"
CONFIG = "/etc/penstock/penstock.conf"
STATE = "/var/lib/penstock"
ORIGIN_PORT = 8080
SKIPPED = 77

CONFIGURATION = """
workers = 4;
sources = ( { type = "file"; path = "/var/lib/penstock/urls"; follow = true; } );
results: { path = "results.jsonl"; };
retry: { max_attempts = 1; };
"""


class CannotBoot(Exception):
    """What this machine lacks."""


class Machine:
    """A booted systemd."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="penstock-lab-")
        self.pidfile, self.log = (os.path.join(self.dir, name) for name in ("pid", "log"))
        self.boot = subprocess.Popen([os.path.join(HERE, "systemd-lab", "boot.sh"), self.pidfile,
                                      self.log], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        try:
            harness.eventually(lambda: self.boot.poll() is not None or self._is_up(), "it boots")
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}; {self._read_log()}") from None
        if self.boot.poll() is not None:
            why = self.boot.stdout.read().decode().strip()
            log = self._read_log()
            self.stop()
            raise CannotBoot(why or log or "it does not boot")

    def _read_log(self):
        if not os.path.exists(self.log):
            return ""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()[-1000:]

    def _is_up(self):
        if not os.path.exists(self.pidfile):
            return False
        state = self.run("systemctl", "is-system-running", check=False)
        return state.strip() in ("running", "degraded")

    @property
    def pid(self):
        """Of its process 1, as seen from here."""
        with open(self.pidfile, encoding="ascii") as file:
            return int(file.read())

    def inside(self, *command):
        """The command line that runs a command inside."""
        return ["nsenter", "-t", str(self.pid), "-m", "-p", "-u", "-i", "-n", "-C", "-r", "-w",
                "env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME=/root", "LANG=C.UTF-8", "SYSTEMD_PAGER=cat", "SYSTEMD_COLORS=0", *command]

    def run(self, *command, stdin="", check=True):
        """Runs a command inside; returns its output."""
        done = subprocess.run(self.inside(*command), input=stdin.encode(), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=PATIENCE, check=False)
        output = done.stdout.decode(errors="replace")
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: exit code {done.returncode}: {output}")
        return output

    def write(self, path, data, mode="0644"):
        """Makes a file inside, with its directory."""
        name = f"/proc/{self.pid}/root{path}"
        os.makedirs(os.path.dirname(name), exist_ok=True)
        with open(name, "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())
        os.chmod(name, int(mode, 8))

    def systemctl(self, *args, **options):
        return self.run("systemctl", *args, **options)

    def show(self, name, unit="penstockd.service"):
        return self.systemctl("show", "-P", name, unit).strip()

    def stop(self):
        if self.boot.poll() is None and os.path.exists(self.pidfile):
            os.kill(self.pid, signal.SIGKILL)
        elif self.boot.poll() is None:
            self.boot.kill()
        self.boot.wait(timeout=PATIENCE)
        self.boot.stdout.close()
        shutil.rmtree(self.dir)


def install(machine):
    """What `make install` with --prefix=/usr --sysconfdir=/etc does, as far as it matters."""
    for program, where in ((harness.PENSTOCKD, "/usr/sbin/penstockd"),
                           (harness.PENSTOCK, "/usr/bin/penstock"),
                           (harness.ORIGIN, "/usr/local/bin/penstock-origin")):
        with open(program, "rb") as file:
            machine.write(where, file.read(), "0755")
    places = {"bindir": "/usr/bin", "sbindir": "/usr/sbin", "sysconfdir": "/etc"}
    for at, values in (("", {"instance": "", "of": "", "name": "penstock", "below": ""}),
                       ("@", {"instance": "@%i", "of": ": %i", "name": "%i", "below": "/%i"})):
        for kind in "service", "socket":
            with open(f"{PACKAGING}/systemd/penstockd.{kind}.in", encoding="utf-8") as file:
                text = re.sub("@([a-z]+)@", lambda m, v=values: (places | v)[m[1]], file.read())
            machine.write(f"{os.path.dirname(UNIT)}/penstockd{at}.{kind}", text)
    with open(f"{PACKAGING}/sysusers.conf", encoding="utf-8") as file:
        machine.write("/usr/lib/sysusers.d/penstock.conf", file.read())
    machine.run("systemd-sysusers", "penstock.conf")
    if harness.SANITIZED:
        # LeakSanitizer would trace its own process, which no service may.
        machine.write(f"{UNIT}.d/sanitizer.conf",
                      "[Service]\nEnvironment=ASAN_OPTIONS=detect_leaks=0\n")
    machine.write(CONFIG, CONFIGURATION)


class Service(unittest.TestCase):
    maxDiff = 2000
    machine = None  # one for all of the tests; see main()

    def setUp(self):
        self.reset()
        self.machine.systemctl("start", "penstockd.socket")
        self.addCleanup(self.reset)

    def reset(self):
        """Nothing runs, nothing is left, the settings are those of before."""
        m = self.machine
        m.systemctl("stop", "penstockd.socket", "penstockd.service")
        m.systemctl("reset-failed", check=False)
        m.run("rm", "-rf", STATE, f"{UNIT}.d/test.conf")
        m.write(CONFIG, CONFIGURATION)
        m.systemctl("daemon-reload")

    def configure_unit(self, *lines):
        self.machine.write(f"{UNIT}.d/test.conf", "\n".join(("[Service]",) + lines) + "\n")
        self.machine.systemctl("daemon-reload")

    def start(self):
        self.machine.systemctl("start", "penstockd.service")
        self.assertEqual(self.machine.show("ActiveState"), "active")

    def get(self, target):
        """Asks over the socket; starts the service if it does not run."""
        return self.machine.run("curl", "-sS", "--max-time", str(PATIENCE), "--unix-socket",
                                SOCKET, f"http://localhost{target}")

    def status(self):
        return json.loads(self.get("/v1/status"))

    def submit(self, *paths, host="127.0.0.1"):
        lines = "".join(f"http://{host}:{ORIGIN_PORT}{path}\n" for path in paths)
        self.machine.run("sh", "-c", f"cat >>{STATE}/urls", stdin=lines)

    def records(self):
        text = self.machine.run("cat", f"{STATE}/results.jsonl", check=False)
        return [json.loads(line) for line in text.split("\n")[:-1] if line.startswith("{")]

    def await_records(self, n):
        harness.eventually(lambda: len(self.records()) >= n, f"{n} records")
        return self.records()

    def await_show(self, name, value):
        harness.eventually(lambda: self.machine.show(name) == value,
                           f"{name}={value}, not {self.machine.show(name)}")

    def journal(self):
        """What the service has logged since it was started last."""
        invocation = self.machine.show("InvocationID")
        self.machine.run("journalctl", "--sync")
        text = self.machine.run("journalctl", "-o", "json", "--no-pager",
                                f"_SYSTEMD_INVOCATION_ID={invocation}")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def await_journal(self, text):
        return harness.eventually(
            lambda: [e for e in self.journal() if text in e.get("MESSAGE", "")], f"log: {text}")[0]

    def milliseconds(self, since, until):
        return (int(self.machine.show(until + "Monotonic")) -
                int(self.machine.show(since + "Monotonic"))) / 1000


def main(prepare=install):
    """Boots a machine, prepares it, runs the tests of the calling file in it, and ends it.
    Where no machine can be booted, they are skipped, and it is said why."""
    try:
        machine = Service.machine = Machine()
    except CannotBoot as error:
        print(f"skipped: {error}")
        sys.exit(SKIPPED)
    try:
        prepare(machine)
        machine.systemctl("daemon-reload")
        machine.run("systemd-run", "--unit=origin", "--property=LimitNOFILE=10000",
                    "penstock-origin", "--port", str(ORIGIN_PORT))
        program = unittest.main(module="__main__", exit=False)
    finally:
        machine.stop()
    sys.exit(not program.result.wasSuccessful())
