# SPDX-License-Identifier: Apache-2.0
"""A real web server for the system tests: Debian's nginx on loopback, with TLS and HTTP/2.

One nginx serves the same content on many ports, each with another certificate or another idea of
TLS; SERVERS says which.  It lives in a temporary directory, needs no root, and is known by its
process id.  The sockets are bound here and handed over, so that no port is chosen twice.
"""
import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

from harness import PATIENCE, eventually

NAME = "nginx.up"  # of the good certificates, beside localhost and 127.0.0.1; see NameServer
TLS12, TLS13 = "TLSv1.2", "TLSv1.3"


def missing():
    """Which of the programs are not installed, as the reason to skip a test; None if all are."""
    lacking = [name for name in ("nginx", "openssl") if not _find(name)]
    return f"not installed: {', '.join(lacking)}" if lacking else None


def _find(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def end_with_us():
    """For preexec_fn: the child gets SIGTERM when the test ends in whatever way (prctl(2))."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


# --- certificates -----------------------------------------------------------------------


class Certificates:
    """A certification authority in a directory, and what it issues: NAME.pem with NAME.key."""

    CONFIG = """
[ca]
default_ca = here
[here]
dir = .
new_certs_dir = .
database = index.txt
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = none
[none]
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""

    def __init__(self, directory):
        self.dir = directory
        os.makedirs(directory, exist_ok=True)
        self._write("openssl.cnf", self.CONFIG)
        self._write("index.txt", "")
        self.authority("ca")

    def path(self, name):
        return os.path.join(self.dir, name)

    @property
    def ca(self):
        """The bundle to trust."""
        return self.path("ca.pem")

    def authority(self, name):
        self.run_openssl("req", "-x509", *self._new_key(name),
                         "-subj", f"/CN=penstock test {name}", "-extensions", "authority",
                         "-days", "3650", "-out", name + ".pem")

    def issue(self, name, alternatives, expired=False, ca="ca"):
        """A certificate for names such as "DNS:localhost" or "IP:127.0.0.1"."""
        begins, ends = ("20200101", "20210101") if expired else ("20200101", "20990101")
        self.run_openssl("req", "-new", *self._new_key(name), "-subj", f"/CN={name}",
                         "-out", name + ".csr")
        self._write(name + ".ext", "subjectAltName = " + ", ".join(alternatives) + "\n")
        self.run_openssl("ca", "-batch", "-notext", "-config", "openssl.cnf",
                         "-cert", ca + ".pem", "-keyfile", ca + ".key",
                         "-extfile", name + ".ext", "-in", name + ".csr",
                         "-startdate", begins + "000000Z", "-enddate", ends + "000000Z",
                         "-out", name + ".pem")

    def sign_itself(self, name, alternatives):
        self.run_openssl("req", "-x509", *self._new_key(name), "-subj", f"/CN={name}",
                         "-days", "3650", "-addext",
                         "subjectAltName = " + ", ".join(alternatives), "-out", name + ".pem")

    def _new_key(self, name):
        return ("-config", "openssl.cnf", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-nodes", "-keyout", name + ".key")

    def _write(self, name, text):
        with open(self.path(name), "w", encoding="ascii") as file:
            file.write(text)

    def run_openssl(self, *args):
        done = subprocess.run([_find("openssl"), *args], cwd=self.dir, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=PATIENCE)
        if done.returncode != 0:
            raise AssertionError(f"openssl {' '.join(args)}: {done.stderr.decode()}")


# --- nginx ------------------------------------------------------------------------------

# Each kind of server: its certificate, and what else its block says.
SERVERS = {
    "plain": (None, ""),
    "good": ("good", ""),
    "http1": ("good", ""),  # the only one with TLS and without HTTP/2
    "expired": ("expired", ""),
    "wrong_host": ("wrong_host", ""),
    "self_signed": ("self_signed", ""),
    "unknown_ca": ("unknown_ca", ""),
    "client_certificate": ("good", "ssl_client_certificate certs/ca.pem; ssl_verify_client on;"),
    "tls12": ("good", f"ssl_protocols {TLS12};"),
    "tls13": ("good", f"ssl_protocols {TLS13};"),
}

CONFIG = """
{user}
daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log info;
events {{ worker_connections 256; }}
http {{
    log_format seen escape=json '{{"server":"$kind","method":"$request_method",'
        '"target":"$request_uri","protocol":"$server_protocol","host":"$http_host",'
        '"sni":"$ssl_server_name","tls":"$ssl_protocol","client":"$ssl_client_s_dn",'
        '"authorization":"$http_authorization","status":$status,"connection":$connection}}';
    access_log access.log seen;
    client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp;
    uwsgi_temp_path tmp; scgi_temp_path tmp;
    default_type text/plain;
    keepalive_timeout 60s;
    gzip on; gzip_types *; gzip_min_length 1;
    ssl_protocols {tls12} {tls13};
{servers}
}}
"""

# What /seen answers; a value with a quote in it would break it.
SEEN = json.dumps({
    "server": "$kind", "protocol": "$server_protocol", "tls": "$ssl_protocol",
    "host": "$http_host", "sni": "$ssl_server_name", "client": "$ssl_client_s_dn",
    "authorization": "$http_authorization"})

SERVER = """
    server {{
        listen 127.0.0.1:{port}{options};
        root www;
        set $kind {kind};
        {certificate}
        {more}
        location = /seen {{ return 200 '{seen}\\n'; }}
        location = /redirect {{ return 302 $arg_to; }}
    }}
"""


class Nginx:
    """A running nginx.  GET /seen answers with what the server saw of the request, as JSON;
    /redirect?to=URL leads there; all else are the files that put() has made."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="penstock-nginx-")
        self.process = None
        self.ports = {}
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self):
        for name in "certs", "www", "tmp":
            os.mkdir(self.path(name))
        self.certificates = self._make_certificates()
        self.put("index.html", "hello\n")
        sockets = [socket.create_server(("127.0.0.1", 0), backlog=128) for _ in SERVERS]
        self.ports = {kind: held.getsockname()[1] for kind, held in zip(SERVERS, sockets)}
        with open(self.path("nginx.conf"), "w", encoding="ascii") as conf:
            conf.write(CONFIG.format(
                user="user root;" if os.geteuid() == 0 else "", tls12=TLS12, tls13=TLS13,
                servers="".join(self._server(kind) for kind in SERVERS)))
        # nginx takes over sockets that its older self hands to it in this variable.
        fds = [held.fileno() for held in sockets]
        env = dict(os.environ, NGINX="".join(f"{fd};" for fd in fds))
        with open(self.path("stderr"), "wb") as stderr:
            self.process = subprocess.Popen(
                [_find("nginx"), "-p", self.dir + "/", "-c", "nginx.conf", "-e", "error.log"],
                stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, env=env, pass_fds=fds,
                cwd=self.dir, preexec_fn=end_with_us)
        for held in sockets:
            held.close()
        eventually(lambda: self._has_pid() or self.process.poll() is not None, "nginx runs")
        if self.process.poll() is not None:
            raise AssertionError("nginx has ended: " + self._read("stderr") +
                                 self._read("error.log"))

    def _make_certificates(self):
        made = Certificates(self.path("certs"))
        here = [f"DNS:{NAME}", "DNS:localhost", "IP:127.0.0.1"]
        made.issue("good", here)
        made.issue("expired", here, expired=True)
        made.issue("wrong_host", ["DNS:elsewhere.example"])
        made.sign_itself("self_signed", here)
        made.authority("other_ca")
        made.issue("unknown_ca", here, ca="other_ca")
        made.issue("client", ["DNS:client.example"])
        made.issue("wrong_client", ["DNS:client.example"], ca="other_ca")
        return made

    def _server(self, kind):
        certificate, more = SERVERS[kind]
        options = " ssl" if certificate else ""
        if certificate and kind != "http1":
            options += " http2"
        return SERVER.format(
            port=self.port(kind), kind=kind, more=more, options=options, seen=SEEN,
            certificate=certificate and
            f"ssl_certificate certs/{certificate}.pem; ssl_certificate_key certs/{certificate}.key;"
            or "")

    def _has_pid(self):
        with contextlib.suppress(OSError):
            return self._read("nginx.pid").strip() == str(self.process.pid)
        return False

    def _read(self, name):
        with open(self.path(name), encoding="utf-8", errors="replace") as file:
            return file.read()

    def path(self, name):
        return os.path.join(self.dir, name)

    def cert(self, name):
        """The path of a certificate or key, such as "client.key"."""
        return self.certificates.path(name)

    def read_cert(self, name):
        return self._read(os.path.join("certs", name))

    @property
    def ca(self):
        return self.certificates.ca

    def port(self, kind="good"):
        return self.ports[kind]

    def name(self, kind="good", host="127.0.0.1"):
        """The origin of a server, such as "https://127.0.0.1:40001"."""
        scheme = "https" if SERVERS[kind][0] else "http"
        return f"{scheme}://{host}:{self.port(kind)}"

    def url(self, kind="good", path="/seen", host="127.0.0.1"):
        return self.name(kind, host) + path

    def put(self, name, data):
        """Makes a file that every server has."""
        mode = {"mode": "wb"} if isinstance(data, bytes) else {"mode": "w", "encoding": "utf-8"}
        with open(os.path.join(self.path("www"), name), **mode) as file:
            file.write(data)

    def requests(self, **wanted):
        """What was asked so far, as SEEN has it, of those with these values.  nginx notes a
        request after it has answered: wait with eventually()."""
        lines = self._read("access.log").split("\n")[:-1]
        seen = [json.loads(line) for line in lines]
        return [r for r in seen if all(r[key] == value for key, value in wanted.items())]

    def complaints(self, pattern):
        """Lines of the error log, where handshakes that failed are told of."""
        return [line for line in self._read("error.log").splitlines() if re.search(pattern, line)]

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(timeout=PATIENCE)
        shutil.rmtree(self.dir)


def share(case):
    """For setUpClass: an nginx that all tests of the class have as `cls.nginx`."""
    reason = missing()
    if reason:
        raise unittest.SkipTest(reason)
    case.nginx = Nginx()
    case.addClassCleanup(case.nginx.stop)
