dist_man_MANS += doc/penstock.1 doc/penstock-api.7 doc/penstock.conf.5 doc/penstockd.8
dist_doc_DATA = NEWS doc/metrics.md doc/openapi.json doc/operations.md
prometheusdir = $(docdir)/examples/prometheus
dist_prometheus_DATA = \
	doc/prometheus/alerts.yml \
	doc/prometheus/alerts_test.yml \
	doc/prometheus/dashboard.json \
	doc/prometheus/prometheus.yml

# The pages and etc/penstock.conf say what the program does.
TESTS += tests/check-docs.sh
EXTRA_DIST += tests/check-docs.sh

# The README's picture; tests/system/picture.py takes it.
EXTRA_DIST += doc/page.png
