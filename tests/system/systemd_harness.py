# SPDX-License-Identifier: Apache-2.0
"""A booted systemd for tests of penstockd as a service, with the units as they are shipped.

The machine's own systemd is booted in namespaces of its own, see systemd-lab/boot.sh.  The
package that `make deb` has built is installed in it, with the programs under test.  Without a
package they are copied, and the units made from their templates for the prefix /usr, so that a
build with any prefix can be tested.
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
import package_harness
from harness import PATIENCE

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGING = os.path.join(HERE, "..", "..", "packaging")
UNIT = "/lib/systemd/system/penstockd.service"
DROP_INS = "/etc/systemd/system"
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


def has_program(name):
    """The machine's programs are this one's."""
    return shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") is not None


def eventually(predicate, what):
    """Each look into the machine costs a process or two."""
    return harness.eventually(predicate, what, pause=0.05)


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


def copy_program(machine, program, where):
    with open(program, "rb") as file:
        machine.write(where, file.read(), "0755")


def equip(machine):
    """What tests need besides penstock: an origin that runs, and what a sanitizer needs."""
    copy_program(machine, harness.ORIGIN, "/usr/local/bin/penstock-origin")
    machine.run("systemd-run", "--unit=origin", "--property=LimitNOFILE=10000",
                "penstock-origin", "--port", str(ORIGIN_PORT))
    if harness.SANITIZED:
        # LeakSanitizer would trace its own process, which no service may.
        for unit in "penstockd", "penstockd@":
            machine.write(f"{DROP_INS}/{unit}.service.d/sanitizer.conf",
                          "[Service]\nEnvironment=ASAN_OPTIONS=detect_leaks=0\n")


def install_by_hand(machine):
    """What `make install` with --prefix=/usr --sysconfdir=/etc does, as far as it matters."""
    copy_program(machine, harness.PENSTOCKD, "/usr/sbin/penstockd")
    copy_program(machine, harness.PENSTOCK, "/usr/bin/penstock")
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
    machine.systemctl("daemon-reload")


def install_package(machine, package):
    machine.write("/root/penstock.deb", package.build())
    # Of others' triggers only the manual's index would run, which takes long.
    return machine.run("dpkg", "--no-triggers", "-i", "/root/penstock.deb")


def install(machine):
    """The package if there is one, or its parts."""
    try:
        package = package_harness.Package()
    except package_harness.NoPackage as why:
        print(f"installed by hand: {why}", flush=True)
        install_by_hand(machine)
        return
    try:
        install_package(machine, package)
    finally:
        package.remove()


class Daemon:
    """penstockd in the machine: the service, or an instance beside it."""

    machine = None  # one for all of the tests; see main()
    unit, socket, config, state = "penstockd.service", SOCKET, CONFIG, STATE

    def configure_unit(self, *lines):
        self.machine.write(f"{DROP_INS}/{self.unit}.d/test.conf",
                           "\n".join(("[Service]",) + lines) + "\n")
        self.machine.systemctl("daemon-reload")

    def start(self):
        self.machine.systemctl("start", self.unit)
        if self.show("ActiveState") != "active":
            raise AssertionError(f"{self.unit} is {self.show('ActiveState')}")

    def stop(self):
        """Stops it, its socket, and the count of its failures."""
        self.machine.systemctl("stop", self.unit.replace(".service", ".socket"), self.unit)
        self.machine.systemctl("reset-failed", self.unit, check=False)

    def show(self, name):
        return self.machine.show(name, self.unit)

    def get(self, target):
        """Asks over the socket; starts the service if it does not run."""
        return self.machine.run("curl", "-sS", "--max-time", str(PATIENCE), "--unix-socket",
                                self.socket, f"http://localhost{target}")

    def status(self):
        return json.loads(self.get("/v1/status"))

    def ledger(self):
        return self.status()["ledger"]

    def post(self, *paths):
        """Submits jobs over the socket; returns once they are accepted."""
        lines = "".join(f"http://127.0.0.1:{ORIGIN_PORT}{path}\n" for path in paths)
        self.machine.run("penstock", "submit", "--quiet", "--socket", self.socket, stdin=lines)

    def records(self):
        text = self.machine.run("cat", f"{self.state}/results.jsonl", check=False)
        return [json.loads(line) for line in text.split("\n")[:-1] if line.startswith("{")]

    def await_records(self, n):
        eventually(lambda: len(self.records()) >= n, f"{n} records")
        return self.records()

    def await_settled(self, n):
        """All of the n jobs that were accepted are final, and their records are in the log."""
        def is_settled():
            ledger = self.ledger()
            return ledger["accepted"] == n == ledger["done"] + ledger["dead"] + ledger["cancelled"]
        eventually(is_settled, f"{n} jobs are final")
        self.audit()

    def audit(self):
        return self.machine.run("penstock", "audit", "--database", f"{self.state}/backlog.db",
                                "--results", f"{self.state}/results.jsonl")

    def await_show(self, name, value):
        eventually(lambda: self.show(name) == value,
                           f"{name}={value}, not {self.show(name)}")

    def journal(self):
        """What the service has logged since it was started last."""
        invocation = self.show("InvocationID")
        self.machine.run("journalctl", "--sync")
        text = self.machine.run("journalctl", "-o", "json", "--no-pager",
                                f"_SYSTEMD_INVOCATION_ID={invocation}")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def await_journal(self, text):
        return eventually(
            lambda: [e for e in self.journal() if text in e.get("MESSAGE", "")], f"log: {text}")[0]

    def milliseconds(self, since, until):
        return (int(self.show(until + "Monotonic")) - int(self.show(since + "Monotonic"))) / 1000


class Instance(Daemon):
    """One of the template, penstockd@NAME, with settings of its own."""

    def __init__(self, name, settings):
        self.unit = f"penstockd@{name}.service"
        self.socket = f"/run/penstock/{name}/control.sock"
        self.config = f"/etc/penstock/{name}.conf"
        self.state = f"{STATE}/{name}"
        self.machine.write(self.config, settings)

    def remove(self):
        self.stop()
        self.machine.run("rm", "-rf", self.state, self.config, f"{DROP_INS}/{self.unit}.d")


class Service(Daemon, unittest.TestCase):
    maxDiff = 2000

    def setUp(self):
        self.reset()
        self.machine.systemctl("start", "penstockd.socket")
        self.addCleanup(self.reset)

    def reset(self):
        """Nothing runs, nothing is left, the settings are those of before.  Other instances have
        their own directories."""
        m = self.machine
        self.stop()
        m.run("rm", "-f", f"{DROP_INS}/{self.unit}.d/test.conf")
        m.run("find", STATE, "-type", "f", "-not", "-path", f"{STATE}/*/*", "-delete", check=False)
        m.write(CONFIG, CONFIGURATION)
        m.systemctl("daemon-reload")

    def submit(self, *paths, host="127.0.0.1"):
        """Appends jobs to the file that the service follows."""
        lines = "".join(f"http://{host}:{ORIGIN_PORT}{path}\n" for path in paths)
        self.machine.run("sh", "-c", f"cat >>{STATE}/urls", stdin=lines)


def main(prepare=install):
    """Boots a machine, equips and prepares it, runs the tests of the calling file in it, ends it.
    Where no machine can be booted, they are skipped, and it is said why."""
    try:
        machine = Daemon.machine = Machine()
    except CannotBoot as error:
        print(f"skipped: {error}")
        sys.exit(SKIPPED)
    try:
        equip(machine)
        prepare(machine)
        program = unittest.main(module="__main__", exit=False)
    finally:
        machine.stop()
    sys.exit(not program.result.wasSuccessful())
