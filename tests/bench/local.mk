# Benchmarks: built by `make check`, run on demand; see tests/bench/README.md.
check_PROGRAMS += tests/bench/bench_queue tests/bench/bench_backlog
tests_bench_bench_queue_LDADD = $(PENSTOCK_LIBS)
tests_bench_bench_backlog_LDADD = $(PENSTOCK_LIBS)
EXTRA_DIST += \
	tests/bench/README.md \
	tests/bench/counting.py \
	tests/bench/counts.json \
	tests/bench/counts.py \
	tests/bench/daemons.py \
	tests/bench/fairness.json \
	tests/bench/fairness.py \
	tests/bench/fairness.svg \
	tests/bench/fairness_plot.py \
	tests/bench/origins.json \
	tests/bench/origins.py \
	tests/bench/report.py

# Records anew what tests/system/test_counts.py holds; what is recorded is to be committed.
bench-counts: all
	@$(AM_TESTS_ENVIRONMENT) $(PYTHON) $(srcdir)/tests/bench/counts.py --record
.PHONY: bench-counts
