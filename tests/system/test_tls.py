#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TLS against a real server: who is trusted, what is shown, and what is said of what fails."""
import contextlib
import os
import socket
import ssl
import threading

import daemon_harness
import harness
import nginx_harness
from harness import CONFIG, OK, SOME_FAILED
from nginx_harness import NAME


def setting(name, value, match="*"):
    return f"--set=origins[{match}].{name}={value}"


class Case(harness.Case):
    @classmethod
    def setUpClass(cls):
        nginx_harness.share(cls)

    def get(self, kind, *settings, code=OK, path="/seen", host="127.0.0.1", trusts=True, **options):
        """The record of one fetch, which trusts the harness's authority, and what was logged."""
        trust = [setting("ca_file", self.nginx.ca)] if trusts else []
        ended = self.fetch("--quiet", *trust, *settings, code=code,
                           stdin=self.nginx.url(kind, path, host) + "\n", **options)
        return ended.records[0], ended.err

    def refused(self, kind, *settings, **options):
        record, _ = self.get(kind, *settings, "--set=retry.max_attempts=1", code=SOME_FAILED,
                             **options)
        self.assertEqual(record["outcome"], "dead")
        return record["reason"]


class Trust(Case):
    def test_a_good_certificate_is_trusted_by_its_authority(self):
        record, log = self.get("good")
        self.assertEqual((record["outcome"], record["response_code"]), ("done", 200))
        self.assertEqual(record["http_version"], "2")
        self.assertEqual(log, "")

    def test_the_systems_authorities_do_not_know_ours(self):
        self.assertEqual(self.refused("good", trusts=False),
                         "tls: certificate not trusted: unable to get local issuer certificate")

    def test_what_is_wrong_with_a_certificate_is_said(self):
        for kind, words in (("expired", "certificate has expired"),
                            ("wrong_host", "it is for another host"),
                            ("self_signed", "self-signed certificate"),
                            ("unknown_ca", "unable to get local issuer certificate")):
            with self.subTest(kind):
                self.assertEqual(self.refused(kind), "tls: certificate not trusted: " + words)

    def test_a_certificate_of_its_own_can_be_trusted_by_itself(self):
        record, _ = self.get("self_signed", setting("ca_file", self.nginx.cert("self_signed.pem")),
                             trusts=False)
        self.assertEqual(record["outcome"], "done")

    def test_many_connections_share_the_authorities(self):
        ended = self.fetch("--quiet", setting("ca_file", self.nginx.ca), "--workers=16",
                           "--set=fetch.idle_connections=0",
                           stdin=f"{self.nginx.url('good')}\n{self.nginx.url('tls12')}\n" * 50)
        self.assertEqual([r["outcome"] for r in ended.records], ["done"] * 100)

    def test_a_name_is_what_the_server_is_asked_for(self):
        names = self.server(harness.NameServer)
        record, _ = self.get("good", f"--set=fetch.dns_servers={names.address}",
                             host=NAME)
        self.assertEqual(record["outcome"], "done")
        harness.eventually(lambda: self.nginx.requests(server="good", sni=NAME), "the request")
        self.assertEqual(self.refused("wrong_host", f"--set=fetch.dns_servers={names.address}",
                                      host=NAME),
                         "tls: certificate not trusted: it is for another host")

    def test_an_insecure_origin_takes_any_certificate_and_is_warned_of(self):
        for kind in "expired", "wrong_host", "self_signed", "unknown_ca":
            with self.subTest(kind):
                match = self.nginx.name(kind)
                record, log = self.get(kind, setting("insecure", "true", match))
                self.assertEqual(record["outcome"], "done")
                self.assertIn(f"warning: origins[{match}].insecure: certificates are not checked",
                              log)

    def test_insecure_is_for_its_origin_only(self):
        self.assertIn("self-signed",
                      self.refused("self_signed",
                                   setting("insecure", "true", self.nginx.name("expired"))))

    def test_a_bundle_that_is_none_is_refused_at_the_start(self):
        for text, words in (("", "has no certificate in PEM"),
                            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                             "has a certificate that cannot be read")):
            with self.subTest(text):
                bundle = self.write("ca.pem", text)
                ended = self.fetch(setting("ca_file", bundle), code=CONFIG, stdin="http://x/\n")
                self.assertIn(f"origins[*].ca_file: {bundle}: {words}", ended.err)


class Versions(Case):
    def test_the_oldest_version_that_will_do(self):
        for kind, least, works in (("tls12", "1.2", True), ("tls12", "1.3", False),
                                   ("tls13", "1.3", True), ("tls13", "1.0", True)):
            with self.subTest(kind=kind, least=least):
                if works:
                    record, _ = self.get(kind, setting("tls_min", least))
                    self.assertEqual(record["outcome"], "done")
                else:
                    self.assertEqual(self.refused(kind, setting("tls_min", least)),
                                     "tls: handshake failed: tlsv1 alert protocol version")
        versions = harness.eventually(
            lambda: self.nginx.requests(server="tls12") and self.nginx.requests(server="tls13"),
            "the requests")
        self.assertEqual({r["tls"] for r in versions}, {nginx_harness.TLS13})

    def test_http1_where_there_is_no_http2(self):
        record, _ = self.get("http1")
        self.assertEqual(record["http_version"], "1.1")

    def test_a_version_that_there_is_not(self):
        ended = self.fetch(setting("tls_min", "1.4"), code=CONFIG, stdin="http://x/\n")
        self.assertIn("origins[*].tls_min", ended.err)


class ClientCertificate(Case):
    def identity(self, name, key=True):
        settings = [setting("client_cert", self.nginx.cert(name + ".pem"))]
        return settings + [setting("client_key", self.nginx.cert(name + ".key"))] * key

    def test_it_is_shown_where_it_is_wanted(self):
        record, _ = self.get("client_certificate", *self.identity("client"))
        self.assertEqual(record["response_code"], 200)
        seen = harness.eventually(
            lambda: self.nginx.requests(server="client_certificate", status=200), "the request")
        self.assertEqual(seen[0]["client"], "CN=client")

    def test_none_or_a_wrong_one_does_not_do(self):
        for settings in [], self.identity("wrong_client"):
            with self.subTest(settings):
                record, _ = self.get("client_certificate", *settings, code=SOME_FAILED)
                self.assertEqual(record["response_code"], 400)

    def test_a_server_that_breaks_the_handshake_off(self):
        server = self.server(Demanding, self.nginx)
        ended = self.fetch("--quiet", setting("ca_file", self.nginx.ca),
                           "--set=retry.max_attempts=1", code=SOME_FAILED,
                           stdin=f"https://127.0.0.1:{server.port}/\n")
        self.assertRegex(ended.records[0]["reason"],
                         "^tls: .*: tlsv13 alert certificate required$")

    def test_the_key_can_be_in_the_file_of_the_certificate(self):
        path = self.write("both.pem", self.nginx.read_cert("client.pem") +
                          self.nginx.read_cert("client.key"))
        os.chmod(path, 0o600)
        record, log = self.get("client_certificate", setting("client_cert", path))
        self.assertEqual((record["response_code"], log), (200, ""))

    def test_what_does_not_go_together_is_refused(self):
        self.nginx.certificates.run_openssl("pkey", "-in", "client.key", "-aes256", "-passout",
                                            "pass:hidden", "-out", "locked.key")
        cert, other = self.nginx.cert("client.pem"), self.nginx.cert("wrong_client.key")
        locked, missing = self.nginx.cert("locked.key"), self.path("missing.pem")
        for client_cert, client_key, message in (
                (cert, other, f"client_key: {other}: has a key that is not the certificate's"),
                (cert, locked, f"client_key: {locked}: has a key with a passphrase"),
                (cert, cert, f"client_key: {cert}: has no private key in PEM"),
                (cert, "", f"client_cert: {cert}: has no private key in PEM"),
                (other, other, f"client_key: {other}: has no certificate in PEM"),
                (missing, "", f"client_cert: {missing}: cannot be read: No such file"),
                (self.dir, "", f"client_cert: {self.dir}: is no regular file"),
                ("", cert, 'client_key: of "*": needs client_cert')):
            with self.subTest(message):
                ended = self.fetch(setting("client_cert", client_cert),
                                   setting("client_key", client_key), "--check", code=CONFIG)
                self.assertIn(message, ended.err)


class Demanding:
    """A TLS 1.3 server that ends the handshake of clients without a certificate."""

    def __init__(self, nginx):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(nginx.cert("good.pem"), nginx.cert("good.key"))
        context.load_verify_locations(nginx.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.context = context
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with client.dup() as end:
                with contextlib.suppress(OSError):
                    self.context.wrap_socket(client, server_side=True).close()
                end.settimeout(harness.PATIENCE)
                end.recv(65536)  # closed earlier, the alert might be lost

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()


class Reload(daemon_harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        nginx_harness.share(cls)

    def origins(self, *members):
        return "origins: (\n" + ",\n".join(
            "{ " + " ".join(f"{k} = {v};" for k, v in member.items()) + " }"
            for member in members) + "\n);"

    def fetched(self, daemon, kind):
        """The record of one more fetch."""
        n = len(daemon.records()) + 1
        self.append("urls", self.nginx.url(kind) + "\n")
        return daemon.await_records(n)[-1]

    def reload(self, daemon, code=OK):
        ended = harness.Child([harness.PENSTOCK, "reload", "--socket", daemon.socket],
                              env=daemon_harness.environment()).wait()
        self.assertEqual(ended.code, code, ended.err)
        return ended

    def start_trusting(self, *lines):
        self.write("urls", "")
        self.configure("retry: { max_attempts = 1; };", *lines, sources=[self.follow()])
        return self.daemon()

    def test_trust_changes_with_a_reload_and_with_set(self):
        daemon = self.start_trusting()
        self.assertIn("not trusted", self.fetched(daemon, "good")["reason"])
        self.configure("retry: { max_attempts = 1; };",
                       self.origins({"match": '"*"', "ca_file": f'"{self.nginx.ca}"'}),
                       sources=[self.follow()])
        self.reload(daemon)
        self.assertEqual(self.fetched(daemon, "good")["outcome"], "done")

        ended = harness.Child([harness.PENSTOCK, "set", "--socket", daemon.socket,
                               "origins[*].tls_min=1.3"], env=daemon_harness.environment()).wait()
        self.assertEqual(ended.code, OK, ended.err)
        self.assertIn("handshake", self.fetched(daemon, "tls12")["reason"])
        daemon.stop()

    def test_a_reload_that_cannot_read_a_file_changes_nothing(self):
        daemon = self.start_trusting(
            self.origins({"match": '"*"', "ca_file": f'"{self.nginx.ca}"'}))
        self.assertEqual(self.fetched(daemon, "good")["outcome"], "done")
        self.configure("retry: { max_attempts = 2; };",
                       self.origins({"match": '"*"', "ca_file": '"missing.pem"'}),
                       sources=[self.follow()])
        ended = self.reload(daemon, code=CONFIG)
        self.assertIn("origins[*].ca_file: missing.pem: cannot be read: No such file", ended.err)
        self.assertEqual(self.fetched(daemon, "good")["outcome"], "done")
        daemon.stop()

    def test_insecure_is_warned_of_at_each_start_and_reload(self):
        daemon = self.start_trusting(self.origins({"match": '"*"', "insecure": "true"}))
        self.assertEqual(self.fetched(daemon, "expired")["outcome"], "done")
        self.reload(daemon)
        self.assertEqual(daemon.status()["fetch"]["insecure_origins"], 1)
        ended = daemon.stop()
        self.assertEqual(ended.err.count("origins[*].insecure: certificates are not checked"), 2)


if __name__ == "__main__":
    harness.main()
