# SPDX-License-Identifier: Apache-2.0
"""The servers that are fetched from: nginx, and penstock-origin where an answer has to be late.

Both are pinned to one processor, listen on loopback only, on ports that the system chooses, and
end with this program whatever ends it.  Each can say how many connections and requests it has
seen, so that a client is held to what it claims.
"""
import collections
import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../system"))
import harness  # noqa: E402
import nginx_harness  # noqa: E402

PROCESSOR = max(os.sched_getaffinity(0))  # of the server: cpu 1 of two
ANSWER_BYTES = 128
DESCRIPTORS = 20000

# What a server has seen since it started.
Seen = collections.namedtuple("Seen", "connections requests")

CONFIG = """
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile {descriptors};
pid nginx.pid;
error_log error.log crit;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp;
    uwsgi_temp_path tmp; scgi_temp_path tmp;
    default_type application/octet-stream;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    sendfile on; tcp_nopush on;
    server {{
{listen}
        location / {{ return 200 "{answer}"; }}
        location /big/ {{ try_files /big.bin =404; root {files}; }}
    }}
    server {{ {status} location / {{ stub_status; }} }}
}}
"""


def find(program):
    """The path of a program, or None."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def pin():
    """For preexec_fn: one processor, and the end when we end."""
    os.sched_setaffinity(0, {PROCESSOR})
    nginx_harness.end_with_us()


def bind(address, port=0):
    return socket.create_server((address, port), backlog=4096)


def bind_all(addresses):
    """A socket at each address, all with the same port, which is free at each."""
    while True:
        held = [bind(addresses[0])]
        try:
            held += [bind(address, held[0].getsockname()[1]) for address in addresses[1:]]
            return held
        except OSError:  # another program has that port somewhere
            for each in held:
                each.close()


class Nginx:
    """nginx with one worker.  All paths answer 128 B; those below /big/ a file of big_bytes.
    `addresses` are the origins; with tls they have a certificate of an authority, `ca`, of ours."""

    def __init__(self, addresses=("127.0.0.1",), tls=False, big_bytes=0):
        self.process = self.ca = None
        self.asked = 0
        self.scheme = "https" if tls else "http"
        with contextlib.ExitStack() as stack:
            self.dir = stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-nginx-"))
            os.mkdir(self.path("tmp"))
            self._make_big(big_bytes)
            options = self._certify(addresses) if tls else ""
            self._start(bind_all(addresses), bind("127.0.0.1"), options)
            stack.callback(self._end)
            harness.eventually(self._serves, "nginx serves")
            self._stack = stack.pop_all()

    def _make_big(self, size):
        with open(self.path("big.bin"), "wb") as file:
            file.write(os.urandom(1 << 20) * (size >> 20))

    def _certify(self, addresses):
        made = nginx_harness.Certificates(self.path("certs"))
        made.issue("server", [f"IP:{address}" for address in addresses])
        self.ca = made.ca
        return ("        ssl_certificate certs/server.pem; ssl_certificate_key certs/server.key;\n"
                "        ssl_session_cache shared:tls:10m;\n")

    def _start(self, sockets, status, options):
        names = [held.getsockname() for held in sockets]
        self.origins = [f"{self.scheme}://{address}:{port}" for address, port in names]
        self.status_address = status.getsockname()
        listen = "".join(f"        listen {address}:{port}{' ssl' if options else ''} "
                         "backlog=4096;\n" for address, port in names)
        with open(self.path("nginx.conf"), "w", encoding="ascii") as conf:
            conf.write(CONFIG.format(
                user="user root;" if os.geteuid() == 0 else "", listen=listen + options,
                descriptors=DESCRIPTORS, connections=DESCRIPTORS - 1000, files=self.dir,
                answer="x" * ANSWER_BYTES, status="listen {}:{};".format(*self.status_address)))
        # nginx takes over sockets that its older self hands to it in this variable.
        fds = [held.fileno() for held in [*sockets, status]]
        with open(self.path("stderr"), "wb") as stderr:
            self.process = subprocess.Popen(
                [find("nginx"), "-p", self.dir + "/", "-c", "nginx.conf",
                 "-e", "error.log"], stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr,
                env=dict(os.environ, NGINX="".join(f"{fd};" for fd in fds)), pass_fds=fds,
                preexec_fn=pin)
        for held in [*sockets, status]:
            held.close()

    def _serves(self):
        if self.process.poll() is not None:
            with open(self.path("stderr"), encoding="utf-8") as stderr:
                raise RuntimeError("nginx has ended: " + stderr.read())
        with contextlib.suppress(OSError):
            return self.seen()
        return None

    def path(self, name):
        return os.path.join(self.dir, name)

    def seen(self):
        """Connections and requests since the start, without those that asked for this."""
        connection = http.client.HTTPConnection(*self.status_address, timeout=harness.PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", "/")
            text = connection.getresponse().read().decode()
        accepted, _, requests = map(int, re.search(r"(\d+) (\d+) (\d+)", text).groups())
        self.asked += 1
        return Seen(accepted - self.asked, requests - self.asked)

    def _end(self):
        self.process.terminate()
        self.process.wait(timeout=harness.PATIENCE)

    def stop(self):
        self._stack.close()


class Origin:
    """penstock-origin, as Nginx is used; /delay/0.5-1?… answers after that many seconds."""

    def __init__(self):
        self.ca = None
        self.process = subprocess.Popen(
            [harness.ORIGIN, "--exit-with-stdin"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            preexec_fn=pin)
        self.port = int(self.process.stdout.readline())
        self.origins = [f"http://127.0.0.1:{self.port}"]
        self.asked = 0

    def seen(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=harness.PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", "/_counters")
            counters = json.load(connection.getresponse())
        self.asked += 1
        return Seen(counters["connections"] - self.asked,
                    sum(count for route, count in counters["by_route"].items()
                        if not route.startswith("_")))

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=harness.PATIENCE)
        self.process.stdout.close()


@contextlib.contextmanager
def running(kind, **options):
    """A server while the block runs; it ends with the block, also for Ctrl-C."""
    server = kind(**options)
    try:
        yield server
    finally:
        server.stop()
