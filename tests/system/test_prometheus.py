#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""/metrics as Prometheus and its like read them, and what doc/ says of them."""
import http.client
import json
import os
import re
import shutil
import subprocess
import unittest
import urllib.parse

import daemon_harness
import harness

DOC = os.path.join(os.environ.get("PENSTOCK_SRC", "."), "doc")
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
SUFFIXES = {"counter": ["_total"], "gauge": [""], "info": ["_info"],
            "histogram": ["_bucket", "_sum", "_count"]}
SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\]|\\[\\"n])*",?)+)\})? '
                    r'([0-9]+(?:\.[0-9]+)?)')


class Family:
    def __init__(self, name):
        self.name, self.meta, self.samples = name, {}, []


def read_openmetrics(text):
    """The families of an exposition that keeps to OpenMetrics 1.0; fails if it does not."""
    assert text.endswith("\n# EOF\n") and text.count("# EOF") == 1, text[-100:]
    families = {}
    family = None
    for line in text.splitlines()[:-1]:
        if line.startswith("# "):
            _, word, name, rest = line.split(" ", 3)
            if family is None or family.name != name:
                assert name not in families, f"{name} comes in two pieces"
                family = families[name] = Family(name)
            assert word in ("TYPE", "HELP", "UNIT") and word not in family.meta, line
            assert not family.samples, f"{line} comes behind samples"
            family.meta[word] = rest
            continue
        found = SAMPLE.fullmatch(line)
        assert found, line
        name, labels, value = found.groups()
        suffix = name[len(family.name):]
        assert name.startswith(family.name) and suffix in SUFFIXES[family.meta["TYPE"]], line
        labels = re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', labels or "")
        assert len(dict(labels)) == len(labels), line
        family.samples.append((suffix, dict(labels), float(value)))
    for family in families.values():
        check_family(family)
    return families


def check_family(family):
    assert {"TYPE", "HELP"} <= set(family.meta), family.name
    unit = family.name.rsplit("_", 1)[1]
    assert family.meta.get("UNIT") == (unit if unit in ("seconds", "bytes") else None), family.name
    series = [(suffix, tuple(sorted(labels.items()))) for suffix, labels, _ in family.samples]
    assert series and len(set(series)) == len(series), family.name
    if family.meta["TYPE"] == "histogram":
        check_histogram(family)


def check_histogram(family):
    """Each series of buckets rises to +Inf, which is the count; each series is in one piece."""
    pieces = {}
    for suffix, labels, value in family.samples:
        bound = labels.pop("le", None)
        pieces.setdefault(tuple(labels.items()), []).append((suffix, bound, value))
    for samples in pieces.values():
        assert [s for s, _, _ in samples[-2:]] == ["_sum", "_count"], samples
        buckets = [(float(bound), value) for suffix, bound, value in samples[:-2]]
        assert buckets == sorted(buckets) and buckets[-1] == (float("inf"), samples[-1][2]), samples
        assert [v for _, v in buckets] == sorted(v for _, v in buckets), samples


def shown(families):
    """The rows of the table in doc/metrics.md."""
    rows = []
    for family in families.values():
        suffix = SUFFIXES[family.meta["TYPE"]][0].replace("_bucket", "")
        labels = sorted({name for _, labels, _ in family.samples for name in labels})
        rows.append(f"| `{family.name}{suffix}` | {family.meta['TYPE'].replace('info', 'gauge')} | "
                    f"{', '.join(f'`{label}`' for label in labels)} | {family.meta['HELP']} |")
    return rows


class All(daemon_harness.Case):
    """A daemon that has every metric there is."""

    durable = True

    def start_all(self, *lines):
        """With a database, and each kind of source."""
        os.mkdir(self.path("in"))
        self.write("urls", "")
        self.configure('control: { listen = "127.0.0.1:0"; };', *lines, sources=(
            self.follow(), '{ type = "directory"; path = "in"; }',
            f'{{ type = "schedule"; every = "1h"; urls = ( "{self.origin.url("/ok")}" ); }}'))
        daemon = self.daemon()
        daemon.port, = daemon.tcp_ports()
        return daemon


class Metrics(All):
    def read_all(self, daemon):
        answer = daemon.get("/metrics", Accept=OPENMETRICS)
        self.assertEqual(answer.headers["Content-Type"], OPENMETRICS + "; charset=utf-8")
        return read_openmetrics(answer.body)

    def test_openmetrics_is_kept_to_and_the_document_names_all(self):
        daemon = self.start_all('results: { bodies = "files"; };')
        self.append("urls", self.urls("/bytes/10", "/status/404", "/status/503?retry_after=600"))
        daemon.await_records(3)
        families = self.read_all(daemon)
        kept, = families["penstock_results_bodies"].samples
        self.assertGreaterEqual(kept[2], 2)
        self.assertEqual(families["penstock_results_bodies_publish_seconds"].samples[-1][2], kept[2])
        with open(os.path.join(DOC, "metrics.md"), encoding="utf-8") as file:
            document = file.read()
        rows = shown(families)
        table = document.split("| name | type | labels | what it is |\n| --- | --- | --- | --- |\n")
        self.assertEqual(table[1].splitlines(), rows, "doc/metrics.md should say:\n" +
                         "\n".join(rows))
        names = {family.name + suffix for family in families.values()
                 for suffix in SUFFIXES[family.meta["TYPE"]]} | set(families)
        for name in re.findall(r"penstock_[a-z_]+|process_[a-z_]+", table[0]):
            self.assertIn(name, names, "doc/metrics.md")

    def test_what_the_dashboard_and_the_alerts_ask_for_is_there(self):
        daemon = self.start_all()
        names = set(daemon_harness.samples(daemon.get("/metrics").body))
        names = {series.split("{")[0] for series in names}
        with open(os.path.join(DOC, "prometheus", "dashboard.json"), encoding="utf-8") as file:
            dashboard = json.load(file)
        asked = [target["expr"] for panel in dashboard["panels"]
                 for target in panel.get("targets", [])]
        self.assertGreater(len(asked), 30)
        with open(os.path.join(DOC, "prometheus", "alerts.yml"), encoding="utf-8") as file:
            asked += re.findall(r"^ +expr: (.*)", file.read(), re.M)
        for expression in asked:
            for name in re.findall(r"\b(?:penstock|process)_[a-z_]+", expression):
                self.assertIn(name, names, expression)
        positions = [tuple(p["gridPos"][k] for k in "xy") for p in dashboard["panels"]]
        self.assertEqual(len(set(positions)), len(positions))

    def test_sources_say_how_far_they_are_behind(self):
        # One worker that gets no answer, and room for 10 jobs: the rest stays where it is.
        os.mkdir(self.path("in"))
        for i in range(3):
            self.write(f"in/{i}", self.urls(*["/stall"] * 20))
        self.write("urls", self.urls(*["/stall"] * 100))
        self.configure("queue: { capacity = 1; };", "backlog: { max_jobs = 10; };", sources=(
            self.follow(), '{ type = "directory"; path = "in"; }',
            f'{{ type = "schedule"; every = "10ms"; urls = ( "{self.origin.url("/stall")}" ); }}'),
            workers=1)
        daemon = self.daemon()
        metrics = {}

        def are_behind():
            metrics.update(daemon.metrics())
            return metrics['penstock_source_overdue_seconds{source="schedule"}'] > 0.1 and \
                metrics['penstock_source_lag_files{source="in"}'] == 3 and \
                metrics['penstock_source_lag_bytes{source="urls"}'] > 0
        harness.eventually(are_behind, f"all are behind: {metrics}")
        line = len(self.urls("/stall"))
        behind = metrics['penstock_source_lag_bytes{source="urls"}']
        self.assertEqual(behind % line, 0)
        self.assertLess(behind, 100 * line)
        for source in "urls", "in", "schedule":
            self.assertGreater(
                metrics[f'penstock_source_last_read_timestamp_seconds{{source="{source}"}}'],
                metrics["process_start_time_seconds"] - 1)

    @unittest.skipUnless(shutil.which("promtool"), "promtool is not installed")
    def test_promtool_has_nothing_to_say(self):
        daemon = self.start_all()
        self.append("urls", self.urls("/ok", "/status/404"))
        daemon.await_records(3)
        self.promtool("check", "metrics", text=daemon.get("/metrics").body)
        folder = os.path.join(DOC, "prometheus")
        self.promtool("check", "config", os.path.join(folder, "prometheus.yml"))
        self.promtool("test", "rules", os.path.join(folder, "alerts_test.yml"))

    def promtool(self, *args, text=None):
        done = subprocess.run(["promtool", *args], capture_output=True, input=text, check=False,
                              text=True, timeout=harness.PATIENCE)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)


class Prometheus(harness.Child):
    """A Prometheus server that scrapes one port, twice a second."""

    def __init__(self, case, port):
        folder = os.path.join(DOC, "prometheus")
        with open(os.path.join(folder, "prometheus.yml"), encoding="utf-8") as file:
            config = file.read().replace("127.0.0.1:9147", f"127.0.0.1:{port}")
        config = "global: { scrape_interval: 500ms, scrape_timeout: 500ms, " \
            "evaluation_interval: 500ms }\n" + config
        config = config.replace("alerts.yml", os.path.abspath(os.path.join(folder, "alerts.yml")))
        super().__init__(
            ["prometheus", "--config.file=" + case.write("prometheus.yml", config),
             "--storage.tsdb.path=" + case.path("tsdb"), "--web.listen-address=127.0.0.1:0"])
        case.addCleanup(self.kill)
        listening = r'msg="Listening on" address=127\.0\.0\.1:(\d+)'
        self.await_message("Server is ready to receive web requests")
        self.port = int(harness.eventually(lambda: re.search(listening, self.err.text),
                                           "where it listens")[1])

    def ask(self, path, **query):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=harness.PATIENCE)
        try:
            connection.request("GET", f"/api/v1/{path}?{urllib.parse.urlencode(query)}")
            answer = json.load(connection.getresponse())
            assert answer["status"] == "success", answer
            return answer["data"]
        finally:
            connection.close()

    def query(self, text):
        """The value of the only series; None if there is none (yet)."""
        result = self.ask("query", query=text)["result"]
        return float(result[0]["value"][1]) if len(result) == 1 else None


@unittest.skipUnless(shutil.which("prometheus"), "prometheus is not installed")
class Scrapes(All):
    JOBS = 2000

    def test_a_prometheus_server_scrapes_it_under_load(self):
        daemon = self.start_all()
        prometheus = Prometheus(self, daemon.port)
        harness.eventually(lambda: prometheus.query('up{job="penstock"}') == 1, "it is scraped")
        self.append("urls", self.jobs("/delay/0-0.005", [str(i) for i in range(self.JOBS)]))
        self.append("urls", self.jobs("/status/404", ["missing"]))
        queries = {
            'penstock_jobs_settled_total{outcome="done"}': self.JOBS + 1,  # the schedule's
            'penstock_fetch_failures_total{reason="http_4xx"}': 1,
            'penstock_fetch_responses_total{class="2xx"}': self.JOBS + 1,
            "penstock_fetch_duration_seconds_count": self.JOBS + 2,
            'penstock_fetch_duration_seconds_bucket{le="+Inf"}': self.JOBS + 2,
        }
        for text, value in queries.items():
            harness.eventually(lambda t=text, v=value: prometheus.query(t) == v, text)
        median = prometheus.query("histogram_quantile(0.5, penstock_fetch_duration_seconds_bucket)")
        mean = prometheus.query(
            "penstock_fetch_duration_seconds_sum / penstock_fetch_duration_seconds_count")
        self.assertGreater(median, 0)
        self.assertGreater(mean, 0.0005)
        # What is not understood fails each time; on a busy machine some may also come too late.
        harness.eventually(lambda: (prometheus.query("avg_over_time(up[1h])") or 0) > 0.5,
                           "most scrapes succeed")
        # It asks for OpenMetrics, and only that tells units.
        unit = prometheus.ask("metadata", metric="penstock_queue_bytes")
        self.assertEqual(unit["penstock_queue_bytes"][0]["unit"], "bytes")
        rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
        self.assertGreater(len(rules), 10)
        harness.eventually(lambda: all(
            rule["health"] == "ok" for group in prometheus.ask("rules")["groups"]
            for rule in group["rules"]), "every rule can be evaluated")


if __name__ == "__main__":
    harness.main()
