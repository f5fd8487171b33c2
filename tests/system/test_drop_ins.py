#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Settings from penstock.conf and conf.d/*.conf: at the start, with --check and at a reload."""
import os
import re

import daemon_harness
import harness
from harness import CONFIG, OK


class Case(daemon_harness.Case):
    def put(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        return self.write(name, text)

    def check(self, config, program=harness.PENSTOCKD, code=OK, **options):
        command = [program] + ["fetch"] * (program == harness.PENSTOCK)
        ended = harness.Child([*command, "--check", "-c", config], cwd=self.dir,
                              env=daemon_harness.environment(), **options).wait()
        self.assertEqual(ended.code, code, ended.err)
        return ended.out + ended.err


class Check(Case):
    def test_it_shows_the_merged_whole_and_where_each_value_comes_from(self):
        self.write("penstock.conf", 'workers = 3;\nsources = ( { type = "file"; path = "a"; } );\n')
        self.put("conf.d/10-more.conf", "\nworkers = 5;\nqueue: { capacity = 7; };\n")
        self.put("conf.d/20-site.conf", 'sources = ( { type = "directory"; path = "in"; } );\n'
                 'origins = ( { match = "a.example"; rate = "5/s"; } );\n')
        for program in harness.PENSTOCKD, harness.PENSTOCK:
            text = self.check("penstock.conf", program)
            self.assertTrue(text.startswith("# read: penstock.conf\n# read: conf.d/10-more.conf\n"
                                            "# read: conf.d/20-site.conf\n"), text)
            for value, origin in (("workers = 5;", "conf.d/10-more.conf:2"),
                                  ("capacity = 7;", "conf.d/10-more.conf:3"),
                                  ('path = "a";', "penstock.conf:2"),
                                  ('path = "in";', "conf.d/20-site.conf:1"),
                                  ('rate = "5/s";', "conf.d/20-site.conf:2")):
                self.assertRegex(text, rf"(?m)^ *{re.escape(value)} +# {re.escape(origin)}$")
        self.write("penstock.conf", text)  # as a whole it is the same without drop-ins
        os.rename(self.path("conf.d"), self.path("elsewhere"))
        self.assertIn('path = "in";', self.check("penstock.conf"))

    def test_files_beside_each_other_have_drop_ins_of_their_own(self):
        for name in "penstock.conf", "web.conf", "settings":
            self.write(name, "")
        for name, workers in ("conf.d", 11), ("web.conf.d", 12), ("settings.d", 13):
            self.put(f"{name}/a.conf", f"workers = {workers};\n")
        for name, workers in ("penstock.conf", 11), ("web.conf", 12), ("settings", 13):
            for path in name, "./" + name, self.path(name):
                self.assertIn(f"workers = {workers};", self.check(path))
        self.put("other/penstock.conf", "")
        self.assertIn("workers = 64; ", self.check("other/penstock.conf"))

    def test_what_is_wrong_is_said_with_the_name_of_the_drop_in(self):
        self.write("penstock.conf", 'sources = ( { type = "file"; path = "a"; } );\n')
        self.put("conf.d/a.conf", "workrs = 5;\n")
        self.put("conf.d/b.conf", "workers = \n;\n")
        text = self.check("penstock.conf", code=CONFIG)
        self.assertIn("conf.d/a.conf:1: workrs: unknown key; did you mean workers?", text)
        self.assertIn("conf.d/b.conf:2: syntax error", text)
        os.remove(self.path("conf.d/b.conf"))
        # Values that are right by themselves, but not together.
        self.put("conf.d/a.conf", '\nsources = ( { type = "file"; path = "a"; } );\n')
        self.put("conf.d/c.conf", '\n\nretry: { base = "1h"; };\n')
        text = self.check("penstock.conf", code=CONFIG)
        self.assertIn("conf.d/a.conf:2: sources[1]: a is read by sources[0] already", text)
        self.assertIn("conf.d/c.conf:3: retry.base: must not be longer than retry.max", text)
        ended = self.launch().wait()  # and it does not start with them
        self.assertEqual(ended.code, CONFIG)
        self.assertIn("conf.d/c.conf:3: retry.base: must not be longer", ended.err)

    def test_what_cannot_be_read_is_named(self):
        self.write("penstock.conf", "")
        self.put("conf.d/a.conf", "")
        os.chmod(self.path("conf.d/a.conf"), 0)
        self.assertIn("conf.d/a.conf: cannot read it: Permission denied; let this user read it",
                      self.check("penstock.conf", code=CONFIG,
                                 preexec_fn=harness.obey_file_modes))
        os.chmod(self.path("conf.d"), 0)
        self.assertIn("conf.d: cannot read it: Permission denied; let this user read it",
                      self.check("penstock.conf", code=CONFIG,
                                 preexec_fn=harness.obey_file_modes))
        os.chmod(self.path("conf.d"), 0o700)


class Reload(Case):
    def ask(self, daemon, code):
        ended = harness.Child([harness.PENSTOCK, "reload", "--socket", daemon.socket],
                              env=daemon_harness.environment()).wait()
        self.assertEqual(ended.code, code, ended.err)
        return ended.out + ended.err

    def wanted(self, daemon):
        return daemon.status()["workers"]["wanted"]

    def test_a_drop_in_comes_goes_and_is_refused(self):
        self.configure(workers=2)
        daemon = self.daemon()
        self.put("conf.d/10-workers.conf", "workers = 3;\n")
        self.ask(daemon, OK)
        self.assertEqual(self.wanted(daemon), 3)

        self.put("conf.d/10-workers.conf", "workers = 4;\n")
        self.put("conf.d/20-bad.conf", 'fetch: {\n timeout = "soon"; };\n')
        self.assertIn('conf.d/20-bad.conf:2: fetch.timeout: "soon" is not a time',
                      self.ask(daemon, CONFIG))
        self.assertEqual(self.wanted(daemon), 3)  # nothing of it

        os.remove(self.path("conf.d/20-bad.conf"))
        self.ask(daemon, OK)
        self.assertEqual(self.wanted(daemon), 4)
        os.remove(self.path("conf.d/10-workers.conf"))
        self.ask(daemon, OK)
        self.assertEqual(self.wanted(daemon), 2)
        daemon.stop()


class Fetch(Case):
    def test_a_drop_in_brings_a_source_and_how_it_is_fetched(self):
        self.write("penstock.conf", 'sources = ( { type = "file"; path = "urls"; } );\n')
        self.write("urls", self.urls("/ok"))
        self.put("conf.d/site.conf", 'sources = ( { type = "file"; path = "more"; } );\n'
                 "fetch: { success = \"404\"; };\n")
        self.write("more", self.urls("/status/404"))
        ended = self.fetch("--quiet", "-c", "penstock.conf", code=harness.SOME_FAILED, cwd=self.dir)
        self.assertEqual({(r["source"], r["outcome"]) for r in ended.records},
                         {("urls", "dead"), ("more", "done")})


if __name__ == "__main__":
    harness.main()
