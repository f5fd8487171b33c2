# SPDX-License-Identifier: Apache-2.0
"""The programs that fetch: penstock and its peers, each at its best reasonable settings.

README.md says why they are set as they are.  All read the same list from a file; all that can
say what became of each URL are asked to.
"""
import collections
import json
import os
import re
import subprocess
import sys

from servers import find, harness

PENSTOCK = "penstock"
WRK = "wrk"
PYTHON = "/usr/bin/python3"  # the one that python3-aiohttp is for
HERE = os.path.dirname(os.path.abspath(__file__))
RUSAGE = os.path.join(os.path.dirname(harness.PENSTOCK), "tests/bench/rusage")
PATIENCE = 90  # seconds of one run
WRK_THREADS = os.cpu_count()

# What a run came to.  `fetched` is by the program's own account, `connects` by the server's;
# failure is None, or says what went wrong.
Run = collections.namedtuple("Run", "rate cpu peak_mib switches connects fetched failure")


class Work:
    """A list of URLs in a directory, as each program wants it, and room for what they write."""

    def __init__(self, directory, urls, connections, ca=None, wrk_seconds=2):
        self.dir, self.urls, self.connections, self.ca = directory, urls, connections, ca
        self.wrk_seconds = wrk_seconds
        self._write("urls", (url + "\n" for url in urls))
        self._write("urls.curl", (f'url="{url}"\noutput=/dev/null\n' for url in urls))
        self._write("urls.aria2", (f"{url}\n  out={i}\n" for i, url in enumerate(urls)))
        self._write("penstock.conf", [f'origins = ( {{ match = "*"; ca_file = "{ca}"; }} );\n'
                                      if ca else ""])

    def _write(self, name, parts):
        with open(self.path(name), "w", encoding="ascii") as file:
            file.writelines(parts)

    def path(self, name):
        return os.path.join(self.dir, name)

    @property
    def out(self):
        """Where the outcomes go, one a line."""
        return self.path("out")

    def with_ca(self, option):
        """How a program is told whom to trust."""
        return [option.format(self.ca)] if self.ca else []

    def clean(self):
        for name in "out", "stdout", "stderr":
            with open(self.path(name), "wb"):
                pass
        os.unlink(self.out)
        files = self.path("files")
        os.makedirs(files, exist_ok=True)
        for name in os.listdir(files):
            os.unlink(os.path.join(files, name))

    def count(self, pattern):
        """Outcomes that are a success."""
        if not os.path.exists(self.out):
            return 0
        with open(self.out, "rb") as file:
            return sum(pattern in line for line in file)


def version_of(program, *options):
    """The version that a program tells; None if it cannot be run."""
    if not find(program):
        return None
    done = subprocess.run([find(program), *options], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE,
                          check=False)
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    return found and found[0]


class Peer:
    """A program.  The first paragraph of a class is what its rows are explained with."""

    name = program = None
    version_option = ("--version",)
    success = b""  # what the line of a URL that was fetched has
    is_slow = False  # by so much that it gets a part of a long list

    def version(self):
        return version_of(self.program, *self.version_option)

    def prepare(self, directory):
        """Builds it, if it has to be."""

    def cannot(self, work):
        """Why it cannot do this work, or None."""

    def fetched(self, work):
        return work.count(self.success)


class Penstock(Peer):
    name, program, success = PENSTOCK, harness.PENSTOCK, b'"outcome":"done"'

    def command(self, work):
        return [self.program, "fetch", "-c", work.path("penstock.conf"), "-s",
                "-w", str(work.connections), "--max-attempts", "1",
                "--set", "fetch.max_body=1G", "-o", work.out, work.path("urls")]


class Wrk(Peer):
    """wrk is the limit: it sends the same request again and again, makes nothing of the answers,
    and does not check certificates."""

    name = program = WRK
    version_option = ("-v",)

    def cannot(self, work):
        origins = {url.split("/")[2] for url in work.urls}
        return "asks one server only" if len(origins) > 1 else None

    def command(self, work):
        return [self.program, "-t", str(min(WRK_THREADS, work.connections)),
                "-c", str(work.connections), "-d", f"{work.wrk_seconds}s", "--timeout", "30s",
                work.urls[0]]

    def fetched(self, work):
        with open(work.path("stdout"), encoding="utf-8") as out:
            text = out.read()
        errors = re.search(r"(Socket errors|Non-2xx).*", text)
        found = re.search(r"(\d+) requests in", text)
        return int(found[1]) if found and not errors else 0


class Wget2(Peer):
    """wget2 writes its line for each URL, with status, size and times, at the end."""

    name = program = "wget2"
    success = b",200,1,"

    def command(self, work):
        return [self.program, "--no-config", "-q", f"--max-threads={work.connections}",
                "--tries=1", "--timeout=30", "--no-http2", "--no-robots", "--no-hsts",
                "--no-hpkp", "--no-ocsp", "--no-ocsp-stapling", "--no-cookies", "--no-netrc",
                "--no-proxy", "--no-xattr", "--compression=identity",
                *work.with_ca("--ca-certificate={}"),
                f"--stats-site=csv:{work.out}", "-O", "/dev/null", "-i", work.path("urls")]


class Go(Peer):
    """Go is peers/fetch.go: net/http, a goroutine a connection, bounded channels, a JSON line
    for each URL. No retries, no limits for origins, no time limit once an answer has begun, fewer
    members in a line than penstock."""

    name, program, success = "Go net/http", "go", b'"status":200,'
    version_option = ("version",)

    def prepare(self, directory):
        self.built = os.path.join(directory, "fetch-go")
        subprocess.run([find("go"), "build", "-o", self.built,
                        os.path.join(HERE, "peers/fetch.go")], check=True, cwd=directory,
                       env=dict(os.environ, GOCACHE=os.path.join(directory, "gocache"),
                                GOFLAGS="", GOTOOLCHAIN="local"))

    def command(self, work):
        return [self.built, str(work.connections), work.path("urls"), work.out,
                *work.with_ca("{}")]


class Curl(Peer):
    """curl reads the whole list before it begins, and has at most 300 transfers at a time; a line
    for each URL has status, size, time and URL."""

    name, program, success = "curl --parallel", "curl", b"200 "
    MOST = 300

    def command(self, work):
        return [self.program, "-q", "-sS", "--no-progress-meter", "--noproxy", "*", "--http1.1",
                "--parallel", "--parallel-immediate",
                "--parallel-max", str(min(self.MOST, work.connections)), "--max-time", "30",
                *(["--cacert", work.ca] if work.ca else []),
                "-w", "%{response_code} %{size_download} %{time_total} %{url_effective}\\n",
                "-K", work.path("urls.curl")]

    def fetched(self, work):
        with open(work.path("stdout"), "rb") as out:
            return sum(line.startswith(self.success) for line in out)


class Aria2(Peer):
    """aria2c writes each body to a file, in memory here, as it has no other way, and no line."""

    name, program, is_slow = "aria2c", "aria2c", True

    def command(self, work):
        return [self.program, "--no-conf", "-q", "-j", str(work.connections), "-x1", "-s1",
                "--file-allocation=none", "--max-tries=1", "--timeout=30",
                "--auto-save-interval=0", "--summary-interval=0", "--max-download-result=0",
                "--async-dns=false", "--disable-ipv6", "--no-netrc", "--allow-overwrite",
                "--deferred-input", "--rlimit-nofile=20000",
                *work.with_ca("--ca-certificate={}"),
                "-d", work.path("files"), "-i", work.path("urls.aria2")]

    def fetched(self, work):
        return sum(not name.endswith(".aria2") for name in os.listdir(work.path("files")))


class Aiohttp(Peer):
    """aiohttp is peers/aiohttp_fetch.py: a bounded asyncio.Queue, a task a connection, a JSON line
    for each URL. No retries, no limits for origins, fewer members in a line than penstock."""

    name, program, success, is_slow = "aiohttp", PYTHON, b'"status": 200,', True
    version_option = ("-c", "import aiohttp; print(aiohttp.__version__)")

    def command(self, work):
        return [self.program, "-B", os.path.join(HERE, "peers/aiohttp_fetch.py"),
                str(work.connections), work.path("urls"), work.out, *work.with_ca("{}")]


ALL = (Penstock(), Wrk(), Wget2(), Go(), Curl(), Aria2(), Aiohttp())


def notes():
    return [" ".join(peer.__doc__.split()) for peer in ALL if type(peer).__doc__]


# --- a run ------------------------------------------------------------------------------


def _ended(usage, work):
    """What went wrong by the way it ended, or None."""
    if usage["signal"]:
        how = f"killed by signal {usage['signal']}"
    elif usage["exit_status"]:
        how = f"exit status {usage['exit_status']}"
    else:
        return None
    with open(work.path("stderr"), encoding="utf-8", errors="replace") as stderr:
        said = stderr.read().strip().split("\n")[-1][:160].replace("|", "/")
    return f"{how}: {said}" if said else how


def run(peer, work, server):
    """Runs it once over the work, and holds it to what the server has seen."""
    work.clean()
    before = server.seen()
    usage_path = work.path("rusage")
    with open(work.path("stdout"), "wb") as out, open(work.path("stderr"), "wb") as err:
        try:
            subprocess.run([RUSAGE, usage_path, *peer.command(work)], stdin=subprocess.DEVNULL,
                           stdout=out, stderr=err, timeout=PATIENCE, check=True, cwd=work.dir,
                           env=harness.environment(HOME=work.dir, LC_ALL="C.UTF-8"))
        except subprocess.TimeoutExpired:
            return Run(*[None] * 6, f"not done after {PATIENCE} s")
    with open(usage_path, encoding="ascii") as file:
        usage = json.load(file)
    after = server.seen()
    wanted = 1 if peer.name == WRK else len(work.urls)
    fetched = peer.fetched(work)
    failure = _ended(usage, work)
    requests = after.requests - before.requests
    if not failure and min(fetched, requests) < wanted:
        failure = f"{fetched} of {wanted} fetched, {requests} requests"
    if failure:
        return Run(*[None] * 5, fetched, failure)
    cpu = usage["user_seconds"] + usage["system_seconds"]
    return Run(rate=fetched / usage["seconds"], cpu=cpu / fetched * 1e4,
               peak_mib=usage["peak_kib"] / 1024,
               switches=usage["voluntary_switches"] / fetched,
               connects=after.connections - before.connections, fetched=fetched, failure=None)


if __name__ == "__main__":
    sys.exit("peers.py is used by fetching.py")
