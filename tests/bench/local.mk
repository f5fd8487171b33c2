# Benchmarks: built by `make check`, run by `make bench`; see tests/bench/README.md.
BENCHMARKS = \
	tests/bench/bench_backlog \
	tests/bench/bench_durable \
	tests/bench/bench_queue \
	tests/bench/rusage
check_PROGRAMS += $(BENCHMARKS)
tests_bench_bench_queue_LDADD = $(PENSTOCK_LIBS)
tests_bench_bench_backlog_LDADD = $(PENSTOCK_LIBS)
tests_bench_bench_durable_LDADD = $(PENSTOCK_LIBS)

# All parts in turn, with their peers: into build/bench, or to be kept, beside the sources.
BENCH = @$(AM_TESTS_ENVIRONMENT) $(PYTHON) $(srcdir)/tests/bench/bench.py
BENCH_NEEDS = penstock penstockd penstock-origin $(BENCHMARKS)
bench: $(BENCH_NEEDS)
	$(BENCH) bench
bench-quick: $(BENCH_NEEDS)
	$(BENCH) --quick bench
bench-record: $(BENCH_NEEDS)
	$(BENCH) $(srcdir)/tests/bench/results
.PHONY: bench bench-quick bench-record

EXTRA_DIST += \
	tests/bench/README.md \
	tests/bench/backlog.py \
	tests/bench/bench.py \
	tests/bench/counting.py \
	tests/bench/counts.json \
	tests/bench/counts.py \
	tests/bench/daemons.py \
	tests/bench/fairness.json \
	tests/bench/fairness.py \
	tests/bench/fairness.svg \
	tests/bench/fairness_plot.py \
	tests/bench/fetching.py \
	tests/bench/memory.py \
	tests/bench/origins.json \
	tests/bench/origins.py \
	tests/bench/peers.py \
	tests/bench/peers/aiohttp_fetch.py \
	tests/bench/peers/channel.go \
	tests/bench/peers/fetch.go \
	tests/bench/peers/queues.py \
	tests/bench/plot.py \
	tests/bench/queues.py \
	tests/bench/report.py \
	tests/bench/results/RESULTS.md \
	tests/bench/results/rate.svg \
	tests/bench/results/ratios.svg \
	tests/bench/results/results.json \
	tests/bench/scenarios.py \
	tests/bench/servers.py \
	tests/bench/startup.py \
	tests/bench/svg.py \
	tests/bench/targets.py
TESTS += tests/bench/test_bench.py
EXTRA_DIST += tests/bench/test_bench.py

# Records anew what tests/system/test_counts.py holds; what is recorded is to be committed.
bench-counts: all
	@$(AM_TESTS_ENVIRONMENT) $(PYTHON) $(srcdir)/tests/bench/counts.py --record
.PHONY: bench-counts
