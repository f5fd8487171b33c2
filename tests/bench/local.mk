# Benchmarks: built by `make check`, run on demand; see tests/bench/README.md.
check_PROGRAMS += tests/bench/bench_queue tests/bench/bench_backlog tests/bench/bench_durable
tests_bench_bench_queue_LDADD = $(PENSTOCK_LIBS)
tests_bench_bench_backlog_LDADD = $(PENSTOCK_LIBS)
tests_bench_bench_durable_LDADD = $(PENSTOCK_LIBS)
EXTRA_DIST += \
	tests/bench/README.md \
	tests/bench/backlog.py \
	tests/bench/daemons.py \
	tests/bench/fairness.json \
	tests/bench/fairness.py \
	tests/bench/fairness.svg \
	tests/bench/fairness_plot.py \
	tests/bench/origins.json \
	tests/bench/origins.py \
	tests/bench/report.py \
	tests/bench/small_nginx.py \
	tests/bench/startup.py
