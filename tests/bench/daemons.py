# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks of the whole daemon share; it stands on what the system tests share."""
import contextlib
import datetime
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../system"))
import daemon_harness  # noqa: E402
import harness  # noqa: E402


def say(text):
    print(text, file=sys.stderr, flush=True)


def conditions():
    version = subprocess.run([harness.PENSTOCKD, "--version"], stdout=subprocess.PIPE, text=True,
                             check=True).stdout
    return {
        "date": datetime.date.today().isoformat(),
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        "processors": os.cpu_count(),
        "load_at_the_start": round(os.getloadavg()[0], 1),
        "file_system": subprocess.run(["stat", "-f", "-c", "%T", tempfile.gettempdir()],
                                      stdout=subprocess.PIPE, text=True,
                                      check=True).stdout.strip(),
        "penstock": version.split()[1],
    }


@contextlib.contextmanager
def origins(addresses, kind=harness.Origin):
    """Running servers, one at each address."""
    with contextlib.ExitStack() as stack:
        servers = []
        for address in addresses:
            servers.append(kind(address))
            stack.callback(servers[-1].stop)
        yield servers


@contextlib.contextmanager
def daemon(settings, lines=(), follow=False):
    """A penstockd that reads these lines as a file, `urls`; it is killed at the end, whatever it
    does, and its directory removed."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        with open(os.path.join(folder, "urls"), "w", encoding="ascii") as file:
            file.writelines(lines)
        with open(os.path.join(folder, "penstock.conf"), "w", encoding="ascii") as file:
            file.write('sources = ( { type = "file"; path = "urls"; follow = %s; } );\n' %
                       str(follow).lower() + settings)
        with open(os.path.join(folder, "log"), "wb") as log:
            running = daemon_harness.Daemon(folder, stderr=log)
        try:
            yield running.await_ready()
        finally:
            running.kill()


class Tail:
    """The records of results.jsonl, as they come."""

    def __init__(self, running):
        self.path = os.path.join(running.directory, "results.jsonl")
        self.at = 0
        self.rest = b""

    def lines(self):
        """The whole lines since the last call."""
        with contextlib.suppress(FileNotFoundError), open(self.path, "rb") as file:
            file.seek(self.at)
            data = file.read()
            self.at += len(data)
            *lines, self.rest = (self.rest + data).split(b"\n")
            return lines
        return []


def until(predicate, running, seconds, pause=0.05):
    """Waits; fails if the daemon ends or it takes too long."""
    ends = time.monotonic() + seconds
    while not predicate():
        if running.process.poll() is not None:
            sys.exit(f"penstockd has ended with {running.process.returncode}")
        if time.monotonic() > ends:
            sys.exit(f"it is not done after {seconds} s")
        time.sleep(pause)


def seconds_of(stamp):
    return datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


def write(path, record):
    """JSON with a list of plain values on one line."""
    text = re.sub(r"\[[^][{}]*\]", lambda found: " ".join(found[0].split()),
                  json.dumps(record, indent=1))
    with open(path, "w", encoding="ascii") as file:
        file.write(text + "\n")
