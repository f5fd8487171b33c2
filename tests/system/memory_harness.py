# SPDX-License-Identifier: Apache-2.0
"""What programs have in memory, and penstockd with as much to hold as one likes.

Memory is what /proc/PID/smaps_rollup calls Anonymous: all that the process has touched and does
not share with a file.  What one of many takes is the difference between two sizes of the same,
divided by the difference of their numbers, so what the program has anyhow does not count.
"""
import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile

import daemon_harness
import harness
import nginx_harness

# Bounds that are far away, as the tests and the benchmark say themselves how much there is.
SETTINGS = """
workers = {workers};
stop_timeout = "10ms";
origins: ( {{ match = "*"; concurrency = 0; breaker = 0; {origin} }} );
backlog: {{ type = "{backlog}"; max_jobs = {max_jobs}; max_bytes = "{max_bytes}"; }};
queue: {{ capacity = {capacity}; max_bytes = "{queue_bytes}"; }};
fetch: {{ timeout = "1h"; connect_timeout = "5m"; idle_connections = {idle}; }};
sources: ( {{ type = "file"; path = "urls"; follow = true; }} );
"""
USUAL = {"workers": 1, "origin": "", "backlog": "memory", "max_jobs": 10000000,
         "max_bytes": "16G", "capacity": 1, "queue_bytes": "4G", "idle": 0}


def anonymous_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        return int(re.search(r"^Anonymous:\s+(\d+) kB", rollup.read(), re.M)[1])


def each(small, large):
    """What one takes, of two pairs (how many, what they take)."""
    return (large[1] - small[1]) / (large[0] - small[0])


class Holder(daemon_harness.Daemon):
    """A penstockd that is given jobs by a file that it follows."""

    def __init__(self, directory, **settings):
        with open(os.path.join(directory, "penstock.conf"), "w", encoding="ascii") as conf:
            conf.write(SETTINGS.format(**{**USUAL, **settings}))
        self.urls = os.path.join(directory, "urls")
        with open(self.urls, "w", encoding="ascii"):
            pass
        super().__init__(directory)

    def give(self, lines):
        with open(self.urls, "a", encoding="ascii") as file:
            file.writelines(lines)

    def hold(self, lines, **accounts):
        """Gives it lines, and waits until so many jobs are in these accounts of the ledger."""
        self.give(lines)
        harness.eventually(lambda: self.has(accounts), f"the ledger has {accounts}",
                           seconds=10 * harness.PATIENCE)

    def has(self, accounts):
        ledger = self.status()["ledger"]
        return all(ledger[account] == n for account, n in accounts.items())

    def kib(self):
        return anonymous_kib(self.pid)

    def ceiling_kib(self):
        """What --check says of these settings."""
        shown = subprocess.run([harness.PENSTOCKD, "-c", "penstock.conf", "--check"],
                               cwd=self.directory, env=daemon_harness.environment(),
                               stdout=subprocess.PIPE, text=True, check=True).stdout
        number, unit = re.search(r"^# memory: at most ([\d.]+) (.)iB", shown, re.M).groups()
        return float(number) * {"K": 1, "M": 1 << 10, "G": 1 << 20, "T": 1 << 30}[unit]

    def stopped_database_kib(self):
        """What the database has on disk once the daemon has stopped."""
        self.stop()
        return os.stat(os.path.join(self.directory, "backlog.db")).st_size / 1024


@contextlib.contextmanager
def holder(**settings):
    """A Holder that is ready, in a directory of its own; it is killed at the end."""
    with tempfile.TemporaryDirectory(prefix="penstock-memory-") as directory:
        running = Holder(directory, **settings)
        try:
            yield running.await_ready()
        finally:
            running.kill()


def urls(origin, n, path="/stall"):
    """Lines for n jobs of one origin."""
    return (f"{origin.url(path)}?{i:09}\n" for i in range(n))


def origins_urls(port, n, first=0):
    """Lines for n jobs, each of another origin, as long as those of urls()."""
    for i in range(first, first + n):
        yield f"http://127.{100 + (i >> 16)}.{i >> 8 & 255}.{i & 255}:{port}/stall\n"


class TlsFront:
    """An nginx that takes https and hands it to an origin, which need not answer."""

    CONFIG = """
{user}
daemon off; worker_processes 1; worker_rlimit_nofile {descriptors};
pid nginx.pid; error_log error.log crit;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp;
    uwsgi_temp_path tmp; scgi_temp_path tmp;
    server {{
        listen 127.0.0.1:{port} ssl backlog=4096;
        ssl_certificate certs/front.pem; ssl_certificate_key certs/front.key;
        location / {{ proxy_pass {origin}; proxy_read_timeout 1h; proxy_buffering off; }}
    }}
}}
"""
    CONNECTIONS = 12500  # two for each fetch

    def __init__(self, origin):
        self.dir = tempfile.mkdtemp(prefix="penstock-front-")
        os.mkdir(os.path.join(self.dir, "tmp"))
        certificates = nginx_harness.Certificates(os.path.join(self.dir, "certs"))
        certificates.issue("front", ["IP:127.0.0.1"])
        self.ca = certificates.ca
        with socket.create_server(("127.0.0.1", 0), backlog=4096) as held:
            self.port = held.getsockname()[1]
            with open(os.path.join(self.dir, "nginx.conf"), "w", encoding="ascii") as conf:
                conf.write(self.CONFIG.format(
                    user="user root;" if os.geteuid() == 0 else "", port=self.port,
                    origin=origin.name, connections=self.CONNECTIONS,
                    descriptors=self.CONNECTIONS + 100))
            # nginx takes over a socket that its older self hands to it in this variable.
            program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
            self.process = subprocess.Popen(
                [program, "-p", self.dir + "/", "-c", "nginx.conf", "-e", "error.log"],
                stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=[held.fileno()],
                env=dict(os.environ, NGINX=f"{held.fileno()};"),
                preexec_fn=nginx_harness.end_with_us)

    def url(self, path):
        return f"https://127.0.0.1:{self.port}{path}"

    @property
    def trust(self):
        """What the settings have to say of the origin."""
        return f'ca_file = "{self.ca}";'

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=harness.PATIENCE)
        shutil.rmtree(self.dir)
