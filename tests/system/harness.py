# SPDX-License-Identifier: Apache-2.0
"""What the system tests share: the programs, a directory to write in, the origin, a name server.

The tests run the built penstock against servers on loopback, on ports that the system chooses.
They wait for what they can see (a record, a message, a request that arrived) and never for a
time to pass, except where a time is what they check.  Lower bounds of times are exact; upper
bounds are there to end a run that hangs, so they are generous.
"""
import collections
import contextlib
import ctypes
import fcntl
import http.client
import http.server
import json
import os
import pty
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest
import urllib.parse

PENSTOCK = os.environ.get("PENSTOCK", "./penstock")
PENSTOCKD = os.environ.get("PENSTOCKD", os.path.join(os.path.dirname(PENSTOCK), "penstockd"))
ORIGIN = os.environ.get("PENSTOCK_ORIGIN", "./penstock-origin")


def _is_sanitized():
    with open(PENSTOCK, "rb") as program:
        data = program.read()
    return b"__tsan_init" in data or b"__asan_init" in data


SANITIZED = _is_sanitized()
SLOWNESS = 6 if SANITIZED else 1
PATIENCE = 60 if SANITIZED else 30  # seconds until something that does not happen is a failure
ALL_PATIENCE = 10 * PATIENCE  # seconds, of a whole file

OK, SOME_FAILED, UNFINISHED = 0, 1, 7
USAGE, NO_INPUT, UNAVAILABLE, CANNOT_CREATE, IO_ERROR, NO_PERMISSION, CONFIG = \
    64, 66, 69, 73, 74, 77, 78


# A shell has its background jobs ignore SIGINT, and so would all that are started here.
signal.signal(signal.SIGINT, signal.default_int_handler)


def environment(**changes):
    """The caller's, without what would change how penstock behaves."""
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    env.update(changes)
    return env


def eventually(predicate, what, seconds=PATIENCE, pause=0.005):
    """Waits until the predicate holds, and returns what it gave."""
    end = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"it did not happen in {seconds} s: {what}")
        time.sleep(pause)


def in_time(attempt, holds, seconds):
    """For what must happen within a time that the test gives, and on a busy machine may come too
    late: calls attempt(seconds) with more and more time until holds(its value), which is
    returned; or the last one."""
    for factor in 1, 4, 16:
        value = attempt(factor * seconds)
        if holds(value):
            break
    return value


# --- what a child is started with -------------------------------------------------------


def limit(kind, soft, hard=None):
    """For preexec_fn: sets a resource limit."""
    return lambda: resource.setrlimit(kind, (soft, soft if hard is None else hard))


def obey_file_modes():
    """For preexec_fn: takes away what lets root read any file (PR_CAPBSET_DROP)."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in 1, 2:  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        libc.prctl(24, capability, 0, 0, 0)


# --- penstock ---------------------------------------------------------------------------


class Ended:
    """What a run has left: its exit code and its output."""

    def __init__(self, code, out, err, seconds):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds

    @property
    def records(self):
        if self.out and not self.out.endswith("\n"):
            raise AssertionError(f"the last line is torn: {self.out[-200:]!r}")
        return [json.loads(line) for line in self.out.split("\n")[:-1]]


def run(*args, stdin="", preexec_fn=None, env=None, seconds=PATIENCE, cwd=None):
    """Runs `penstock ARGS` to its end."""
    start = time.monotonic()
    done = subprocess.run(
        [PENSTOCK, *map(str, args)], input=stdin.encode(), capture_output=True,
        timeout=seconds, preexec_fn=preexec_fn, env=env or environment(), cwd=cwd)
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode(),
                 time.monotonic() - start)


class Reader(threading.Thread):
    """Collects what comes out of a descriptor, which it closes at the end."""

    def __init__(self, fd):
        super().__init__(daemon=True)
        self.fd = fd
        self.data = bytearray()
        self.start()

    def run(self):
        # A pty gives EIO once its last writer has left.
        with contextlib.suppress(OSError):
            while chunk := os.read(self.fd, 65536):
                self.data += chunk
        os.close(self.fd)

    @property
    def text(self):
        return bytes(self.data).decode(errors="replace")


class Child:
    """A program while it runs.  Its output is collected unless it has a place to go."""

    def __init__(self, argv, stdin=subprocess.DEVNULL, stdout=None, stderr=None, **options):
        self.out = self.err = None
        if stdout is None:
            read_end, stdout = os.pipe()
            self.out = Reader(read_end)
        if stderr is None:
            read_end, stderr = os.pipe()
            self.err = Reader(read_end)
        options.setdefault("env", environment())
        self.started = time.monotonic()
        try:
            self.process = subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=stderr,
                                            **options)
        finally:
            if self.out:
                os.close(stdout)
            if self.err:
                os.close(stderr)

    def await_message(self, text):
        eventually(lambda: text in self.err.text, f"the message {text!r}; {self.err.text!r}")

    def signal(self, number=signal.SIGINT):
        self.process.send_signal(number)

    def freeze(self):
        """Stops it; returns once no thread of it runs any more."""
        self.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def status_kib(self, key):
        """A line of /proc/PID/status such as VmRSS."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return int(re.search(rf"^{key}:\s+(\d+) kB", status.read(), re.M)[1])

    def wait(self, seconds=PATIENCE):
        """Waits for the end, and for all of the output."""
        code = self.process.wait(timeout=seconds)
        took = time.monotonic() - self.started
        for reader in self.out, self.err:
            if reader:
                reader.join()
        return Ended(code, self.out.text if self.out else "", self.err.text if self.err else "",
                     took)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Running(Child):
    """`penstock fetch ARGS` while it runs."""

    def __init__(self, *args, command="fetch", **options):
        super().__init__([PENSTOCK, command, *map(str, args)], **options)

    @property
    def lines(self):
        """The whole lines of the results so far."""
        return self.out.text.split("\n")[:-1]

    @property
    def records(self):
        return [json.loads(line) for line in self.lines]

    def await_records(self, n):
        eventually(lambda: len(self.lines) >= n or self.process.poll() is not None,
                   f"{n} records")
        if len(self.lines) < n:
            raise AssertionError(f"ended with {len(self.lines)} of {n} records; "
                                 f"{self.err.text if self.err else ''}")
        return self.records


class Terminal:
    """A pseudo terminal: `slave` for the program, and what it wrote in `screen`."""

    def __init__(self, columns=200):
        try:
            self.master, self.slave = pty.openpty()
        except OSError as error:  # no /dev/pts, in a bare chroot
            raise unittest.SkipTest(f"no pseudo-terminal: {error}") from error
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.screen = Reader(self.master)

    def hang_up(self):
        """To be called after the program has ended; returns all that it wrote."""
        os.close(self.slave)
        self.screen.join()
        return self.screen.text


# --- servers ----------------------------------------------------------------------------


class Origin:
    """A running penstock-origin that remembers each request.  It ends with us in any case."""

    def __init__(self, address="127.0.0.1"):
        self.address = address
        self.process = subprocess.Popen(
            [ORIGIN, "--remember", "--exit-with-stdin", "--address", address],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())

    @property
    def name(self):
        return f"http://{self.address}:{self.port}"

    def url(self, path):
        return self.name + path

    def ask(self, target):
        connection = http.client.HTTPConnection(self.address, self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", target)
            return json.load(connection.getresponse())

    def counters(self):
        return self.ask("/_counters")

    def arrivals(self, target):
        """When requests for the target arrived, in milliseconds."""
        return self.ask("/_path?path=" + urllib.parse.quote(target, safe=""))["arrivals_ms"]

    def requests(self, route):
        return self.counters()["by_route"].get(route, 0)

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=PATIENCE)
        self.process.stdout.close()


class Notebook:
    """A server that notes each request whole: method, path, headers and body.  /to?URL, the URL
    encoded, leads there."""

    def __init__(self, port=0):
        requests = self.requests = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def note(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                requests.append((self.command, self.path, dict(self.headers.items()), body))
                leads_on = self.path.startswith("/to?")
                self.send_response(302 if leads_on else 200)
                if leads_on:
                    self.send_header("Location", urllib.parse.unquote(self.path[4:]))
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = note

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Gate:
    """A server that keeps requests waiting until it is opened, and then answers all."""

    def __init__(self):
        self.requests = self.waiting = self.most_waiting = 0
        self.opened = threading.Event()
        self.lock = threading.Lock()
        gate = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                with gate.lock:
                    gate.requests += 1
                    gate.waiting += 1
                    gate.most_waiting = max(gate.most_waiting, gate.waiting)
                # What can be read before there is an answer is the end.
                while not gate.opened.wait(0.01) and not self.close_connection:
                    self.close_connection = bool(select.select([self.connection], [], [], 0)[0])
                with gate.lock:
                    gate.waiting -= 1
                if not self.close_connection:
                    self.send_response(200)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 64

            def handle_error(self, request, client_address):
                pass  # the client has gone

        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def url(self, path):
        return f"http://127.0.0.1:{self.server.server_address[1]}{path}"

    def await_waiting(self, n):
        eventually(lambda: self.waiting == n, f"{n} requests wait")

    def open(self):
        self.opened.set()

    def stop(self):
        self.opened.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class NameServer:
    """A name server on UDP.  A name has a label that says what becomes of its question:
    `up` is 127.0.0.1, `nx` does not exist, `broken` fails, and all others get no answer."""

    def __init__(self):
        self.questions = collections.Counter()
        self._open()
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _open(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))

    def _serve(self):
        while True:
            query, client = self.socket.recvfrom(4096)
            if not query:
                return
            answer = self._answer(query)
            if answer:
                self.socket.sendto(answer, client)

    def _answer(self, query):
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
            at += 1 + query[at]
        question = query[12:at + 5]
        kind = struct.unpack("!H", query[at + 1:at + 3])[0]
        self.questions[".".join(labels)] += 1

        has_address = "up" in labels and kind == 1
        if "up" in labels:
            code = 0
        elif "nx" in labels:
            code = 3
        elif "broken" in labels:
            code = 2
        else:
            return None
        answer = query[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, has_address, 0, 0) + question
        if has_address:
            answer += struct.pack("!HHHIH4s", 0xC00C, 1, 1, 60, 4, bytes((127, 0, 0, 1)))
        return answer

    def stop(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self.socket.getsockname())
        self.thread.join()
        self.socket.close()


class Silent:
    """A TCP port that takes connections and never says a word; a full one takes none either."""

    def __init__(self, full=False):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(0 if full else 128)
        self.port = self.socket.getsockname()[1]
        self.fillers = []
        for _ in range(4 if full else 0):  # what does not fit waits for ever
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self.fillers.append(filler)

    def stop(self):
        for filler in self.fillers:
            filler.close()
        self.socket.close()


def closed_port():
    """A port of 127.0.0.1 that nobody listens on: bound, so that nobody takes it, but who asks for
    this one with SO_REUSEADDR, as servers do."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder


# --- test cases -------------------------------------------------------------------------


class Case(unittest.TestCase):
    """A test with a directory of its own and an origin that its class shares."""

    maxDiff = 2000

    @classmethod
    def setUpClass(cls):
        cls.origin = Origin()
        cls.addClassCleanup(cls.origin.stop)

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="penstock-test-")
        self.addCleanup(shutil.rmtree, self.dir)

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def start(self, *args, **options):
        running = Running(*args, **options)
        self.addCleanup(running.kill)
        return running

    def server(self, kind, *args, **options):
        server = kind(*args, **options)
        self.addCleanup(server.stop)
        return server

    def terminal(self, **options):
        return Terminal(**options)

    def urls(self, *paths):
        """One line for each path of the origin."""
        return "".join(self.origin.url(path) + "\n" for path in paths)

    def fetch(self, *args, code=OK, stdin="", **options):
        """Runs `penstock fetch` to its end, which must be with this exit code."""
        ended = run("fetch", *args, stdin=stdin, **options)
        self.assertEqual(ended.code, code, f"stderr: {ended.err}\nstdout: {ended.out[:2000]}")
        return ended

    def check_numbering(self, records):
        """`seq` begins with 1 and has no gaps."""
        self.assertEqual([r["seq"] for r in records], list(range(1, len(records) + 1)))


def _give_up(*_):
    raise AssertionError(f"the tests have taken {ALL_PATIENCE} s: one waits for what never comes")


def main():
    """Runs the tests of the calling file; then no child of ours may be left."""
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(ALL_PATIENCE)
    program = unittest.main(module="__main__", exit=False)
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            print(f"a child was left: {pid or 'it still runs'}", file=sys.stderr)
            sys.exit(1)
    sys.exit(not program.result.wasSuccessful())
