#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The address guard: what is refused is not connected to, by either program."""
import json

import daemon_harness
import harness
from harness import OK, SOME_FAILED

LOOPBACK = 'refused: 127.0.0.1 is denied by "loopback" (127.0.0.0/8)'
LINK_LOCAL = 'refused: 169.254.169.254 is denied by "link-local" (169.254.0.0/16)'


class Fetch(harness.Case):
    def connections(self):
        """Those that the origin has had, but for ours that ask."""
        self.asked = getattr(self, "asked", 0) + 1
        return self.origin.counters()["connections"] - self.asked

    def refuse(self, *args, urls):
        """Fetches what must be refused, each once; returns the records in the order of 'urls'."""
        before = self.connections()
        jobs = "".join(json.dumps({"url": url, "id": str(i)}) + "\n" for i, url in enumerate(urls))
        ended = self.fetch(*args, stdin=jobs, code=SOME_FAILED)
        self.assertEqual(self.connections(), before)
        records = {record["id"]: record for record in ended.records}
        self.assertEqual(len(records), len(urls))
        for record in records.values():
            self.assertEqual((record["outcome"], record["attempts"], record["response_code"]),
                             ("dead", 1, 0), record)
        return [records[str(i)] for i in range(len(urls))]

    def test_the_record_says_which_rule(self):
        record, = self.refuse("--set", "guard.deny=private,loopback",
                              urls=[self.origin.url("/ok")])
        self.assertEqual(record["reason"],
                         'refused: 127.0.0.1 is denied by "private" (127.0.0.0/8)')
        self.assertEqual((record["exitcode"], record["remote_ip"]), (7, None))
        record, = self.refuse("--set", "guard.deny=10.0.0.0/8,127.0.0.0/16",
                              urls=[self.origin.url("/ok")])
        self.assertEqual(record["reason"], 'refused: 127.0.0.1 is denied by "127.0.0.0/16"')

    def test_the_default_denies_the_metadata_of_clouds_alone(self):
        urls = ["http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/",
                "http://[::ffff:169.254.169.254]/", "http://2852039166/"]
        reasons = [record["reason"] for record in self.refuse(urls=urls)]
        self.assertEqual(reasons, [
            LINK_LOCAL, 'refused: fd00:ec2::254 is denied by "metadata" (fd00:ec2::254/128)',
            'refused: ::ffff:169.254.169.254 (169.254.169.254) is denied by "link-local" '
            "(169.254.0.0/16)", LINK_LOCAL])
        self.fetch(stdin=self.urls("/ok"), code=OK)

    def test_no_spelling_leads_around_it(self):
        hosts = ["127.1", "0x7f000001", "2130706433", "0177.0.0.1", "0", "[::ffff:127.0.0.1]",
                 "[::127.0.0.1]", "[64:ff9b::7f00:1]", "localhost", "LOCALHOST.", "a.localhost",
                 "①②⑦.⓪.⓪.①", "127。0。0。1", "%31%32%37.0.0.1", "good.example@127.0.0.1",
                 "good.example\\@127.0.0.1"]
        records = self.refuse("--set", "guard.deny=loopback",
                              urls=[f"http://{host}:{self.origin.port}/ok" for host in hosts])
        for record in records:
            self.assertRegex(record["reason"], r"^refused: .* is denied by \"loopback\" \(")

    def test_a_name_is_refused_by_its_address(self):
        names = self.server(harness.NameServer)
        url = f"http://one.up.test:{self.origin.port}/ok"
        args = "--set", "fetch.dns_servers=" + names.address, "--set", "guard.deny=loopback"
        record, = self.refuse(*args, urls=[url])
        self.assertEqual(record["reason"], LOOPBACK)
        record, = self.fetch(*args, "--set", "guard.allow=127.0.0.1", stdin=url).records
        self.assertEqual(record["remote_ip"], "127.0.0.1")

    def test_redirects_are_checked(self):
        inner = "http://10.0.0.1/secret"
        url = self.origin.url(f"/redirect-to?url={inner}")
        record, = self.fetch("--set", "guard.deny=private", "--set", "guard.allow=127.0.0.0/8",
                             stdin=url, code=SOME_FAILED).records
        self.assertEqual(record["reason"], 'refused: 10.0.0.1 is denied by "private" (10.0.0.0/8)')
        self.assertEqual((record["url_effective"], record["num_redirects"], record["attempts"]),
                         (inner, 1, 1))

    def test_an_origin_is_not_broken_by_refusals(self):
        # Were it, the later ones would wait for an hour.
        urls = [self.origin.url(f"/ok/{i}") for i in range(6)]
        self.refuse("-w", 1, "--set", "guard.deny=loopback", "--set", "origins[*].breaker=2",
                    "--set", "origins[*].breaker_pause=1h", "--set", "origins[*].breaker_max=1h",
                    urls=urls)

    def test_bad_entries_are_told_with_their_line(self):
        config = self.write("penstock.conf", 'guard: {\n  deny = ( "private",\n'
                            '    "10.1.2.3/8" );\n  allow = "example.com";\n};\n')
        err = self.fetch("-c", config, code=harness.CONFIG).err
        self.assertIn('penstock.conf:2: guard.deny: "10.1.2.3/8": there are bits set behind the '
                      "prefix\n", err)
        self.assertIn('penstock.conf:4: guard.allow: "example.com": no IPv4 or IPv6 address\n', err)


class Daemon(daemon_harness.Case):
    def penstock(self, *args):
        return harness.run(args[0], "--socket", self.path("control.sock"), *args[1:])

    def fetch_next(self, daemon):
        """Has the daemon fetch once more, and returns the record."""
        n = len(daemon.records())
        self.append("urls", self.jobs("/ok", [str(n)]))
        return daemon.await_records(n + 1)[n]

    def test_a_change_holds_for_kept_connections(self):
        self.configure(sources=(self.follow(),))
        daemon = self.daemon()
        self.assertEqual(self.fetch_next(daemon)["outcome"], "done")
        requests = len(self.origin.arrivals("/ok"))

        ended = self.penstock("set", "guard.deny=loopback")
        self.assertEqual((ended.code, ended.out), (
            OK, 'guard.deny: ( "loopback" ), was ( "link-local", "metadata" )\n'))
        record = self.fetch_next(daemon)
        self.assertEqual((record["outcome"], record["reason"]), ("dead", LOOPBACK))
        ended = self.penstock("set", "guard.deny=loopback,10.0.0.0/33")
        self.assertEqual((ended.code, ended.out, ended.err), (
            harness.CONFIG, "", 'penstock: error: set: guard.deny: "10.0.0.0/33": an IPv4 prefix '
            "has at most 32 bits\n"))
        self.assertEqual(self.fetch_next(daemon)["reason"], LOOPBACK)
        self.assertEqual(len(self.origin.arrivals("/ok")), requests)

        self.assertEqual(self.penstock("set", "guard.allow=127.0.0.1").code, OK)
        self.assertEqual(self.fetch_next(daemon)["outcome"], "done")
        self.configure('guard: { deny = "private"; };', sources=(self.follow(),))
        self.assertEqual(self.penstock("reload").code, OK)
        record = self.fetch_next(daemon)
        self.assertEqual(record["reason"],
                         'refused: 127.0.0.1 is denied by "private" (127.0.0.0/8)')
        self.assertEqual(len(self.origin.arrivals("/ok")), requests + 1)
        daemon.stop()

    def test_a_refused_job_is_found_in_the_log(self):
        self.configure(sources=(self.follow(),))
        daemon = self.daemon()
        self.append("urls", json.dumps({"url": "http://169.254.169.254/", "id": "m"}) + "\n")
        record, = daemon.await_records(1)
        self.assertEqual((record["id"], record["outcome"], record["reason"]),
                         ("m", "dead", LINK_LOCAL))
        daemon.await_message(LINK_LOCAL)
        daemon.stop()


if __name__ == "__main__":
    harness.main()
