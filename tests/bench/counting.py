# SPDX-License-Identifier: Apache-2.0
"""What one job costs, counted: instructions in user mode by callgrind, system calls by strace.

The work is done twice, on few jobs and on many; the difference is free of what start and stop
cost.  The server's answers are constant, and one worker fetches: so counts can be repeated where
times cannot.
"""
import collections
import concurrent.futures
import contextlib
import fcntl
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../system"))
import harness  # noqa: E402
import nginx_harness  # noqa: E402

FEW, MANY = 50, 450
PATIENCE = 100  # seconds that a run may take: callgrind is some fifty times slower

BODY = b"x" * 127 + b"\n"
ANSWER = (b"HTTP/1.1 200 OK\r\nServer: constant\r\nDate: Sat, 28 Nov 2026 12:00:00 GMT\r\n"
          b"Content-Type: text/plain\r\nContent-Length: %d\r\nConnection: keep-alive\r\n\r\n" %
          len(BODY) + BODY)


def missing(*programs):
    """Why this cannot be counted here, or None."""
    lacking = [name for name in (*programs, "openssl") if not shutil.which(name)]
    return f"not installed: {', '.join(lacking)}" if lacking else None


def cannot_trace():
    """Why strace cannot count here, or None."""
    if missing("strace"):
        return missing("strace")
    tried = subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], capture_output=True,
                           text=True, timeout=PATIENCE)
    return tried.returncode and f"strace may not trace here: {tried.stderr.strip()}" or None


# --- the server -------------------------------------------------------------------------


class Server:
    """Answers every request with the same bytes, and counts them; it keeps connections."""

    def __init__(self, certificate=None):
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate + ".pem", certificate + ".key")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.name = "http%s://127.0.0.1:%d" % ("s" if certificate else "",
                                               self.listener.getsockname()[1])
        self.connections = self.asked = 0
        self.counted = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):  # stop()
            while True:
                connection = self.listener.accept()[0]
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
            with connection:
                self._answer(connection)

    def _answer(self, connection):
        request = b""
        while data := connection.recv(65536):
            request += data
            if request.endswith(b"\r\n\r\n"):
                request = b""
                with self.counted:
                    self.asked += 1
                    self.counted.notify_all()
                connection.sendall(ANSWER)

    def await_asked(self, n):
        with self.counted:
            if not self.counted.wait_for(lambda: self.asked >= n, PATIENCE):
                raise AssertionError(f"{self.asked} requests came, not {n}")

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


# --- the work ---------------------------------------------------------------------------


class Work:
    """A directory with a server and a file of `n` URLs, in which a program runs under a tool."""

    def __init__(self, n, tls=False):
        self.n = n
        self.dir = tempfile.mkdtemp(prefix="penstock-counts-")
        self.ca = None
        if tls:
            certificates = nginx_harness.Certificates(self.dir)
            certificates.sign_itself("server", ["IP:127.0.0.1"])
            self.ca = self.path("server.pem")
        self.server = Server(self.path("server") if tls else None)
        with open(self.path("urls"), "w", encoding="ascii") as file:
            file.writelines(f"{self.server.name}/{i:08}\n" for i in range(n))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stop()
        shutil.rmtree(self.dir)

    def path(self, name):
        return os.path.join(self.dir, name)

    def check(self):
        """Whether it was the work that is meant: a second connection costs more than many jobs."""
        if (self.server.asked, self.server.connections) != (self.n, 1):
            raise AssertionError(f"{self.server.asked} requests for {self.n} jobs came, on "
                                 f"{self.server.connections} connections")

    def run(self, argv):
        done = subprocess.run(argv, cwd=self.dir, stdin=subprocess.DEVNULL, timeout=PATIENCE,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                              env=harness.environment())
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(argv)}: exit code {done.returncode}: "
                                 f"{done.stderr[-2000:]}")
        self.check()


# So slow as a program is under a tool, on a machine that has much to do, it must have time.
SETTINGS = [f"--set=fetch.{key}={PATIENCE}s" for key in ("connect_timeout", "timeout")]


def fetch(work, tool):
    """`penstock fetch`, the results to nowhere."""
    trust = [f"--set=origins[*].ca_file={work.ca}"] if work.ca else []
    work.run([*tool, os.path.abspath(harness.PENSTOCK), "fetch", "-s", "-w", "1", *SETTINGS,
              *trust, "-o", "/dev/null", "urls"])


def curl(work, tool):
    with open(work.path("curlrc"), "w", encoding="ascii") as file:
        with open(work.path("urls"), encoding="ascii") as urls:
            file.writelines(f'url="{url.strip()}"\noutput=/dev/null\n' for url in urls)
    work.run([*tool, "curl", "-s", *(["--cacert", work.ca] if work.ca else []), "-K", "curlrc"])


def wget2(work, tool):
    work.run([*tool, "wget2", "-q", "--max-threads=1", "-O", "/dev/null", "-i", "urls",
              *([f"--ca-certificate={work.ca}"] if work.ca else [])])


# How many jobs the daemon's recorder is to find each time, so that the number of transactions
# is the same whatever the machine's load.
BATCH = 100


def _read_slowly(fifo, server, n):
    """Reads n records.  Each waits until the server was asked for BATCH more, or for all: the
    recorder, which must write them, then finds these when it comes back for more."""
    fcntl.fcntl(fifo, fcntl.F_SETPIPE_SZ, 4096)
    records = 0
    while records < n:
        server.await_asked(min(n, records + BATCH))
        data = os.read(fifo, 4096)
        if not data:
            raise AssertionError(f"penstockd has ended after {records} of {n} records")
        records += data.count(b"\n")


def _program_of(process, tool):
    """The process id of the program; strace has it as its child."""
    if "strace" not in tool:
        return process.pid
    with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as children:
        return int(children.read().split()[0])


def serve(work, tool):
    """`penstockd` with its database: jobs come from a file, records go to a FIFO."""
    with open(work.path("penstock.conf"), "w", encoding="ascii") as file:
        file.write('workers = 1;\nsources = ( { type = "file"; path = "urls"; } );\n'
                   'results: { path = "records"; };\n')
    os.mkfifo(work.path("records"))
    fifo = os.open(work.path("records"), os.O_RDONLY | os.O_NONBLOCK)
    process = subprocess.Popen(
        [*tool, os.path.abspath(harness.PENSTOCKD), "-c", "penstock.conf", *SETTINGS], cwd=work.dir,
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=harness.environment())
    try:
        work.server.await_asked(1)
        os.set_blocking(fifo, True)
        _read_slowly(fifo, work.server, work.n)
        os.kill(_program_of(process, tool), 15)
        _, log = process.communicate(timeout=PATIENCE)
        if process.returncode != 0:
            raise AssertionError(f"penstockd: exit code {process.returncode}: {log.decode()}")
        work.check()
    finally:
        os.close(fifo)
        if process.poll() is None:
            with contextlib.suppress(OSError, IndexError):
                os.kill(_program_of(process, tool), 9)  # strace would leave it behind
            process.kill()
            process.communicate()


# --- the counts -------------------------------------------------------------------------

# What a file of code is counted as; all others are "other".
PARTS = (("penstock", r"penstockd?$"), ("libcurl", r"libcurl\b"), ("libc", r"libc\b"),
         ("OpenSSL", r"lib(ssl|crypto)\b"), ("SQLite", r"libsqlite3\b"))


def _part(path):
    name = os.path.basename(path)
    return next((part for part, pattern in PARTS if re.match(pattern, name)), "other")


def _read_callgrind(path):
    """The instructions of each part (valgrind's manual, "Callgrind Format Specification")."""
    names, costs = {}, collections.Counter()
    part, is_call = "other", False
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith(("ob=", "cob=")):
                key, _, name = line.rstrip("\n").partition("=")[2].partition(" ")
                names.setdefault(key, _part(name))
                if line[0] == "o":
                    part = names[key]
            elif line.startswith("calls="):
                is_call = True  # the next line is the cost of what was called
            elif line[0] in "+-*0123456789":
                if not is_call:
                    costs[part] += int(line.split()[-1])
                is_call = False
    return costs


def _read_strace(path):
    """The calls of each name in the table of `strace -c`."""
    counts = collections.Counter()
    with open(path, encoding="utf-8") as file:
        for line in file:
            fields = line.split()
            if len(fields) >= 5 and fields[3].isdigit() and fields[-1] != "total":
                counts[fields[-1]] += int(fields[3])
    return counts


class Tool:
    def __init__(self, argv, output, read):
        self.argv, self.output, self.read = argv, output, read


INSTRUCTIONS = Tool(["valgrind", "-q", "--vgdb=no", "--tool=callgrind"], "--callgrind-out-file={}",
                    _read_callgrind)
SYSTEM_CALLS = Tool(["strace", "-f", "-qq", "-c"], "--output={}", _read_strace)


def _count(tool, do, n, tls):
    with Work(n, tls) as work:
        counts = work.path("counts")
        do(work, [*tool.argv, tool.output.format(counts)])
        return tool.read(counts)


def per_job(tool, do, tls=False):
    """What `do` (fetch, serve, curl, wget2) costs a job: {part or system call: count}."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        few = pool.submit(_count, tool, do, FEW, tls)
        many = pool.submit(_count, tool, do, MANY, tls).result()
        few = few.result()
    return {name: (many[name] - few[name]) / (MANY - FEW) for name in many}
