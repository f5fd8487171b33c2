#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fetches through HTTP and HTTPS proxies: what these are asked for, and what is said of failures."""
import base64
import contextlib
import os
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import unittest

import harness
import nginx_harness
from harness import OK, PATIENCE, SOME_FAILED
from nginx_harness import NAME


def setting(name, value, match="*"):
    return f"--set=origins[{match}].{name}={value}"


class Proxy:
    """A proxy that notes the head of each request.  It tunnels, and relays requests in the clear,
    to `behind` of 127.0.0.1 whatever it is asked for; or answers with `status`; or says nothing."""

    def __init__(self, behind=None, login=None, status=None, silent=False, tls=None):
        self.behind, self.login, self.status, self.silent = behind, login, status, silent
        self.context = None
        if tls:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*tls)
        self.heads = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.threads = []
        self.sockets = []
        self.lock = threading.Lock()
        self._start(self._accept)

    def _start(self, target, *args):
        thread = threading.Thread(target=target, args=args)
        self.threads.append(thread)
        thread.start()

    def _keep(self, sock):
        with self.lock:
            self.sockets.append(sock)
        return sock

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self._start(self._serve, self._keep(client))

    def _serve(self, client):
        with contextlib.suppress(OSError):
            if self.context:
                client = self._keep(self.context.wrap_socket(client, server_side=True))
            self._speak(client)
        client.close()

    def _speak(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            chunk = client.recv(65536)
            if not chunk:
                return
            head += chunk
        self.heads.append(head.decode())
        if self.silent:
            client.recv(1)
        elif self.status:
            client.sendall(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % self.status)
        elif self.login and not self._is_logged_in(head.decode()):
            client.sendall(b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=x\r\n"
                           b"Content-Length: 0\r\n\r\n")
        else:
            self._relay(client, head)

    def _is_logged_in(self, head):
        wanted = base64.b64encode(self.login.encode()).decode()
        return f"\r\nProxy-Authorization: Basic {wanted}\r\n" in head

    def _relay(self, client, head):
        server = self._keep(socket.create_connection(("127.0.0.1", self.behind)))
        if head.startswith(b"CONNECT "):
            client.sendall(b"HTTP/1.1 200 Yes\r\n\r\n")
        else:
            server.sendall(head)
        self._start(self._pump, server, client)
        self._pump(client, server)

    @staticmethod
    def _pump(source, sink):
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                sink.sendall(chunk)
        for end in source, sink:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    @property
    def asked(self):
        """The first lines of the requests."""
        return [head.split("\r\n", 1)[0] for head in self.heads]

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.threads[0].join()
        self.listener.close()
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        for sock in self.sockets:
            sock.close()


class EndlessProxy(Proxy):
    """One whose wish for a login comes with a body that never ends."""

    def _speak(self, client):
        client.recv(65536)
        client.sendall(b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=x\r\n"
                       b"Content-Length: 1000000000000\r\n\r\n")
        while True:
            client.sendall(b"x" * 65536)


class DualNameServer(harness.NameServer):
    """One for which all names have an IPv6 address as well."""

    def _answer(self, query):
        end = query.index(b"\0", 12) + 5
        if query[end - 4:end - 2] != b"\0\x1c":  # AAAA, RFC 3596
            return super()._answer(query)
        return (query[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + query[12:end] +
                struct.pack("!HHHIH", 0xC00C, 28, 1, 60, 16) +
                socket.inet_pton(socket.AF_INET6, "2001:db8::1"))


class Case(harness.Case):
    """A test with a name server, for whom NAME and all names with `up` are 127.0.0.1."""

    def setUp(self):
        super().setUp()
        self.names = self.server(harness.NameServer)

    def through(self, port, *settings, scheme="http", host="127.0.0.1"):
        return [setting("proxy", f"{scheme}://{host}:{port}"),
                f"--set=fetch.dns_servers={self.names.address}", *settings]

    def get(self, url, *settings, code=OK, **options):
        ended = self.fetch("--quiet", *settings, stdin=url + "\n", code=code, **options)
        return ended.records[0]

    def fail(self, url, *settings, **options):
        record = self.get(url, *settings, "--set=retry.max_attempts=1", code=SOME_FAILED, **options)
        self.assertEqual(record["outcome"], "dead")
        return record["reason"]

    def login(self, text):
        path = self.write("login", text + "\n")
        os.chmod(path, 0o600)
        return setting("proxy_login", path)


class Tunnel(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        nginx_harness.share(cls)

    def test_the_proxy_is_asked_for_an_address_and_the_server_for_a_name(self):
        proxy = self.server(Proxy, self.nginx.port("good"))
        record = self.get(f"https://{NAME}:7443/seen", *self.through(proxy.port),
                          setting("ca_file", self.nginx.ca))
        self.assertEqual((record["outcome"], record["http_version"]), ("done", "2"))
        self.assertEqual(proxy.asked, ["CONNECT 127.0.0.1:7443 HTTP/1.1"])
        self.assertNotIn(NAME, proxy.heads[0])
        seen = harness.eventually(lambda: self.nginx.requests(sni=NAME), "the request")
        self.assertEqual(seen[0]["host"], f"{NAME}:7443")

    def test_http_is_tunnelled_too(self):
        proxy = self.server(Proxy, self.origin.port)
        record = self.get("http://a.up:81/ok", *self.through(proxy.port))
        self.assertEqual(record["outcome"], "done")
        self.assertEqual(proxy.asked, ["CONNECT 127.0.0.1:81 HTTP/1.1"])
        self.assertNotIn("a.up", proxy.heads[0])
        self.assertEqual(record["remote_ip"], "127.0.0.1")

    def test_an_address_is_asked_for_as_it_is(self):
        proxy = self.server(Proxy, self.origin.port)
        for host in "10.1.2.3", "[2001:db8::1]":
            self.get(f"http://{host}:81/ok", *self.through(proxy.port))
        self.assertEqual(proxy.asked, ["CONNECT 10.1.2.3:81 HTTP/1.1",
                                       "CONNECT [2001:db8::1]:81 HTTP/1.1"])

    def test_ipv4_is_preferred_which_every_proxy_has(self):
        self.names = self.server(DualNameServer)
        proxy = self.server(Proxy, self.origin.port)
        for host in "a.up", "a.nx":
            self.get(f"http://{host}:81/ok", *self.through(proxy.port))
        self.assertEqual(proxy.asked, ["CONNECT 127.0.0.1:81 HTTP/1.1",
                                       "CONNECT [2001:db8::1]:81 HTTP/1.1"])

    def test_a_tunnel_is_used_again(self):
        proxy = self.server(Proxy, self.origin.port)
        ended = self.fetch("--quiet", *self.through(proxy.port), "--workers=1",
                           stdin="http://a.up:81/ok\n" * 5)
        self.assertEqual([r["outcome"] for r in ended.records], ["done"] * 5)
        self.assertEqual(len(proxy.asked), 1)

    def test_certificates_are_checked_behind_a_proxy(self):
        proxy = self.server(Proxy, self.nginx.port("wrong_host"))
        self.assertEqual(self.fail(f"https://{NAME}/seen", *self.through(proxy.port),
                                   setting("ca_file", self.nginx.ca)),
                         "tls: certificate not trusted: it is for another host")

    def test_a_name_that_does_not_exist_is_not_asked_for(self):
        proxy = self.server(Proxy, self.origin.port)
        self.assertEqual(self.fail("http://nx/", *self.through(proxy.port)), "name: no such host")
        self.assertEqual(proxy.asked, [])

    def test_redirects_go_the_way_of_their_origin(self):
        proxy = self.server(Proxy, self.origin.port)
        direct = f"http://127.0.0.1:{self.origin.port}"
        record = self.get(f"{direct}/redirect-to?url=http%3A%2F%2Fa.up%3A81%2Fok",
                          *self.through(proxy.port),
                          setting("proxy", "", direct))
        self.assertEqual((record["outcome"], record["num_redirects"]), ("done", 1))
        self.assertEqual(proxy.asked, ["CONNECT 127.0.0.1:81 HTTP/1.1"])

    def test_a_limit_of_one_origin_does_not_lead_around_it(self):
        proxy = self.server(Proxy, self.origin.port)
        record = self.get("http://a.up:81/ok", *self.through(proxy.port),
                          setting("concurrency", 1, "a.up"))
        self.assertEqual(record["outcome"], "done")
        self.assertEqual(proxy.asked, ["CONNECT 127.0.0.1:81 HTTP/1.1"])

    def test_the_environment_is_not_looked_at(self):
        trap = self.server(Proxy, self.origin.port)
        where = f"http://127.0.0.1:{trap.port}"
        env = harness.environment(http_proxy=where, https_proxy=where, HTTPS_PROXY=where,
                                  ALL_PROXY=where, all_proxy=where)
        self.assertEqual(self.get(self.origin.url("/ok"), env=env)["outcome"], "done")
        self.assertEqual(self.get(self.nginx.url("good"), setting("ca_file", self.nginx.ca),
                                  env=env)["outcome"], "done")
        self.assertEqual(trap.asked, [])

        proxy = self.server(Proxy, self.origin.port)
        env = harness.environment(no_proxy="*", NO_PROXY="*")
        self.get("http://a.up:81/ok", *self.through(proxy.port), env=env)
        self.assertEqual(len(proxy.asked), 1)


class ProxyResolves(Case):
    """guard = "proxy"."""

    def test_http_is_relayed_and_the_name_is_the_proxys(self):
        proxy = self.server(Proxy, self.origin.port)
        record = self.get("http://nx.example:81/ok", *self.through(proxy.port),
                          setting("guard", "proxy"))
        self.assertEqual(record["outcome"], "done")
        self.assertEqual(proxy.asked, ["GET http://nx.example:81/ok HTTP/1.1"])
        self.assertEqual(list(self.names.questions), [])

    def test_https_is_tunnelled_to_the_name(self):
        proxy = self.server(Proxy, status=403)
        self.assertEqual(self.fail("https://nx.example:81/ok", *self.through(proxy.port),
                                   setting("guard", "proxy")), "proxy: no tunnel: http 403")
        self.assertEqual(proxy.asked, ["CONNECT nx.example:81 HTTP/1.1"])
        self.assertEqual(list(self.names.questions), [])


class Login(Case):
    def test_the_proxy_gets_it_and_the_origin_does_not(self):
        notebook = self.server(harness.Notebook)
        proxy = self.server(Proxy, notebook.port, login="us er:pa:ss%41wörd")
        for guard in "address", "proxy":
            record = self.get("http://a.up:81/ok", *self.through(proxy.port),
                              self.login("us er:pa:ss%41wörd"), setting("guard", guard))
            self.assertEqual(record["outcome"], "done")
        headers = notebook.requests[0][2]
        self.assertEqual([name for name in headers if "auth" in name.lower()], [])

    def test_none_or_a_wrong_one_is_named(self):
        proxy = self.server(Proxy, self.origin.port, login="user:right")
        for guard in "address", "proxy":
            with self.subTest(guard):
                way = self.through(proxy.port, setting("guard", guard))
                self.assertEqual(self.fail("http://a.up:81/ok", *way),
                                 "proxy: 407, wants a proxy_login")
                self.assertEqual(self.fail("http://a.up:81/ok", *way, self.login("user:wrong")),
                                 "proxy: 407, does not take its proxy_login")

    def test_what_it_says_of_it_may_be_too_long(self):
        proxy = self.server(EndlessProxy)
        for oversize in "fail", "truncate":
            with self.subTest(oversize):
                record = self.get("http://a.up/", *self.through(proxy.port),
                                  setting("guard", "proxy"), "--set=fetch.oversize=" + oversize,
                                  "--max-attempts=1", code=SOME_FAILED)
                self.assertEqual((record["reason"], record["errormsg"]),
                                 ("proxy: 407, wants a proxy_login", None))

    def test_it_is_tried_again(self):
        for status in 407, 401:  # tinyproxy has 401 for a wrong one
            proxy = self.server(Proxy, status=status)
            record = self.get("http://a.up:81/ok", *self.through(proxy.port), self.login("u:p"),
                              "--set=retry.base=1ms", "--max-attempts=3", code=SOME_FAILED)
            self.assertEqual((record["attempts"], len(proxy.asked)), (3, 3))
            self.assertEqual(record["reason"], f"retries exhausted: proxy: {status}, "
                             "does not take its proxy_login")

    def test_an_origins_407_is_its_answer(self):
        proxy = self.server(Proxy, self.origin.port)
        record = self.get("http://a.up:81/status/407", *self.through(proxy.port), code=SOME_FAILED)
        self.assertEqual((record["reason"], record["response_code"]), ("http 407", 407))


class Failures(Case):
    def time_out(self, reason, url, *settings):
        """The fetch comes as far as that, and no further; returns its record."""
        def attempt(seconds):
            record = self.get(url, *settings, f"--timeout={round(seconds * 1000)}ms",
                              "--max-attempts=1", code=SOME_FAILED)
            # The thread may be late on a busy machine, but there is nothing else to wait for.
            self.assertLess(record["time_total"], seconds + 5 * harness.SLOWNESS)
            return record
        record = harness.in_time(attempt, lambda record: record["reason"] == reason, 0.3)
        self.assertEqual(record["reason"], reason)
        return record

    def test_a_proxy_that_is_not_there(self):
        holder = harness.closed_port()
        self.addCleanup(holder.close)
        port = holder.getsockname()[1]
        record = self.get("http://a.up/", *self.through(port), "--max-attempts=2",
                          "--set=retry.base=1ms", code=SOME_FAILED)
        self.assertEqual((record["reason"], record["attempts"]),
                         ("retries exhausted: proxy: connect failed", 2))

    def test_a_proxy_by_name_is_found_by_our_resolver(self):
        proxy = self.server(Proxy, self.origin.port)
        record = self.get("http://a.up:81/ok", *self.through(proxy.port, host="proxy.up"))
        self.assertEqual(record["outcome"], "done")
        self.assertGreater(self.names.questions["proxy.up"], 0)
        record = self.get("http://a.up:81/ok", *self.through(proxy.port, host="proxy.nx"),
                          "--max-attempts=2", "--set=retry.base=1ms", code=SOME_FAILED)
        self.assertEqual((record["reason"], record["attempts"]),
                         ("retries exhausted: proxy: name: no such host", 2))

    def test_a_proxy_that_refuses(self):
        for status, attempts in (403, 1), (404, 1), (502, 2), (503, 2):
            with self.subTest(status):
                proxy = self.server(Proxy, status=status)
                record = self.get("http://a.up/", *self.through(proxy.port), "--max-attempts=2",
                                  "--set=retry.base=1ms", code=SOME_FAILED)
                self.assertEqual(record["attempts"], attempts)
                self.assertTrue(record["reason"].endswith(f"proxy: no tunnel: http {status}"))
                self.assertEqual(record["response_code"], 0)

    def test_the_timeout_holds_in_each_phase(self):
        silent = self.server(harness.Silent)
        stalled = self.server(Proxy, silent=True)
        full = self.server(harness.Silent, full=True)
        for port, scheme, phase in ((full.port, "http", "connecting"),
                                    (stalled.port, "http", "waiting for a tunnel"),
                                    (silent.port, "https", "tls handshake")):
            with self.subTest(phase):
                self.time_out("timeout: proxy: " + phase, "http://a.up/",
                              *self.through(port, scheme=scheme))

    def test_the_timeout_holds_although_the_proxy_never_stops(self):
        proxy = self.server(EndlessProxy)
        record = self.time_out("timeout: proxy: waiting for a tunnel", "http://a.up/",
                               *self.through(proxy.port))
        self.assertIsNone(record["errormsg"])

    def test_behind_the_tunnel_the_origin_is_slow(self):
        silent = self.server(harness.Silent)
        proxy = self.server(Proxy, silent.port)
        for url, phase in (("http://a.up/", "waiting for the response"),
                           ("https://a.up/", "tls handshake")):
            self.time_out("timeout: " + phase, url, *self.through(proxy.port))

    def test_settings_that_do_not_go_together(self):
        for settings, message in (
                ([setting("proxy", "socks5://x:1")],
                 "proxy: of \"*\": must be http:// or https://"),
                ([setting("proxy", "x:1")], "must be http://host:port or https://host:port"),
                ([setting("proxy", "http://x:1/y")], "must have no path"),
                ([setting("proxy", "http://me:hidden@x:1")], "must have no user and password"),
                ([setting("guard", "proxy")], 'guard: of "*": "proxy" needs proxy'),
                ([setting("proxy_login", "x")], 'proxy_login: of "*": needs proxy')):
            with self.subTest(message):
                ended = self.fetch(*settings, "--check", code=harness.CONFIG)
                self.assertIn(message, ended.err)
                self.assertNotIn("hidden", ended.err + ended.out)


class HttpsProxy(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        nginx_harness.share(cls)

    def proxy(self, behind, certificate="good"):
        return self.server(Proxy, behind, tls=(self.nginx.cert(certificate + ".pem"),
                                               self.nginx.cert(certificate + ".key")))

    def through(self, port, *settings, **options):
        return super().through(port, setting("ca_file", self.nginx.ca), *settings, scheme="https",
                               **options)

    def test_tls_within_tls(self):
        proxy = self.proxy(self.nginx.port("good"))
        for url in f"https://{NAME}:7443/seen", f"https://{NAME}:7443/":
            record = self.get(url, *self.through(proxy.port))
            self.assertEqual(record["outcome"], "done")
        self.assertEqual(proxy.asked, ["CONNECT 127.0.0.1:7443 HTTP/1.1"] * 2)

    def test_its_certificate_is_checked_though_the_origins_is_not(self):
        for certificate, words in ("expired", "certificate has expired"), \
                ("wrong_host", "it is for another host"):
            with self.subTest(certificate):
                proxy = self.proxy(self.origin.port, certificate)
                self.assertEqual(self.fail("http://a.up/", *self.through(proxy.port),
                                           setting("insecure", "true")),
                                 "proxy: tls: certificate not trusted: " + words)
                self.assertEqual(proxy.asked, [])

    def test_it_does_not_see_our_certificate(self):
        proxy = self.proxy(self.nginx.port("client_certificate"))
        proxy.context.load_verify_locations(self.nginx.ca)
        proxy.context.verify_mode = ssl.CERT_OPTIONAL
        shown = []
        speak = proxy._speak

        def note(client):
            shown.append(client.getpeercert())
            speak(client)
        proxy._speak = note
        record = self.get(f"https://{NAME}:7443/seen", *self.through(proxy.port),
                          setting("client_cert", self.nginx.cert("client.pem")),
                          setting("client_key", self.nginx.cert("client.key")))
        self.assertEqual((record["response_code"], shown), (200, [None]))


class Tinyproxy(Case):
    """A proxy that others have written."""

    CONFIG = """
Port {port}
Listen 127.0.0.1
Timeout 60
LogFile "{dir}/log"
LogLevel Connect
PidFile "{dir}/pid"
MaxClients 20
Allow 127.0.0.1
BasicAuth user secret
"""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.program = shutil.which("tinyproxy")
        if not cls.program:
            raise unittest.SkipTest("not installed: tinyproxy")

    def setUp(self):
        super().setUp()
        self.work = tempfile.mkdtemp(prefix="penstock-tinyproxy-")
        self.addCleanup(shutil.rmtree, self.work)
        self.port, self.process = self.start_on_some_port()

    def start_on_some_port(self):
        """It takes no port 0 and no socket of ours: another port if somebody is quicker."""
        for _ in range(20):
            with socket.create_server(("127.0.0.1", 0)) as holder:
                port = holder.getsockname()[1]
            self.write("tinyproxy.conf", self.CONFIG.format(port=port, dir=self.work))
            process = subprocess.Popen([self.program, "-d", "-c", self.path("tinyproxy.conf")],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL,
                                       preexec_fn=nginx_harness.end_with_us)
            self.addCleanup(self.end, process)
            harness.eventually(lambda: process.poll() is not None or self.answers(port),
                               "tinyproxy answers")
            if process.poll() is None:
                return port, process
        raise AssertionError("tinyproxy finds no port")

    @staticmethod
    def answers(port):
        try:
            socket.create_connection(("127.0.0.1", port), PATIENCE).close()
        except OSError:
            return False
        return True

    @staticmethod
    def end(process):
        process.terminate()
        process.wait(timeout=PATIENCE)

    def log(self):
        with open(os.path.join(self.work, "log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def test_both_ways_with_a_login(self):
        login = self.login("user:secret")
        url = f"http://a.up:{self.origin.port}/ok"
        self.assertEqual(self.get(url, *self.through(self.port), login)["outcome"], "done")
        self.assertIn(f"CONNECT 127.0.0.1:{self.origin.port} ", self.log())
        record = self.get(self.origin.url("/ok"), *self.through(self.port), login,
                          setting("guard", "proxy"))
        self.assertEqual(record["outcome"], "done")
        self.assertIn(f"GET {self.origin.url('/ok')} ", self.log())

    def test_without_a_login_or_an_origin(self):
        url = f"http://a.up:{self.origin.port}/ok"
        self.assertEqual(self.fail(url, *self.through(self.port)),
                         "proxy: 407, wants a proxy_login")
        holder = harness.closed_port()
        self.addCleanup(holder.close)
        self.assertRegex(self.fail(f"http://a.up:{holder.getsockname()[1]}/",
                                   *self.through(self.port), self.login("user:secret")),
                         "^proxy: no tunnel: http 50[0-9]$")


if __name__ == "__main__":
    harness.main()
