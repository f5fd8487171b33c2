# Every test is an executable that prints nothing it need not and ends with 0, or 77 to skip.
AM_TESTS_ENVIRONMENT = \
	PYTHON='$(PYTHON)'; export PYTHON; PYTHONDONTWRITEBYTECODE=1; export PYTHONDONTWRITEBYTECODE; \
	PENSTOCK='$(abs_top_builddir)/penstock'; export PENSTOCK; \
	PENSTOCKD='$(abs_top_builddir)/penstockd'; export PENSTOCKD; \
	PENSTOCK_ORIGIN='$(abs_top_builddir)/penstock-origin'; export PENSTOCK_ORIGIN; \
	PENSTOCK_SRC='$(abs_top_srcdir)'; export PENSTOCK_SRC;

if HAVE_CUNIT
include tests/unit/local.mk
endif
include tests/origin/local.mk
include tests/system/local.mk
include tests/bench/local.mk
include tests/fuzz/local.mk
include tests/seed/local.mk

# Without CUnit there are neither all tests nor all of their files.
if !HAVE_CUNIT
WITHOUT_CUNIT = without-cunit
endif
check_DATA += $(WITHOUT_CUNIT)
without-cunit:
	@echo 'make check and make dist need CUnit (libcunit1-dev): install it, and run configure' \
		'again' >&2; exit 1
.PHONY: without-cunit

CHECKS = \
	tests/check-catalog.sh \
	tests/check-completions.sh \
	tests/check-includes.sh \
	tests/check-man.sh
TESTS += $(CHECKS)
EXTRA_DIST += $(CHECKS)

# These are about what is around the programs, or go the same ways as others do at length: a
# sanitizer would see nothing new, or what it takes itself.
PLAIN_TESTS = \
	$(CHECKS) \
	tests/bench/test_bench.py \
	tests/check-docs.sh \
	tests/origin/test_origin.py \
	tests/system/test_counts.py \
	tests/system/test_crash_steps.py \
	tests/system/test_examples.py \
	tests/system/test_memory.py \
	tests/system/test_package.py \
	tests/system/test_page.py \
	tests/system/test_prometheus.py \
	tests/system/test_systemd.py

# One thread is all that these use, or one at a time, so ThreadSanitizer is not shown them.
SERIAL_TESTS = \
	tests/system/test_answer.py \
	tests/system/test_audit.py \
	tests/system/test_cli.py \
	tests/system/test_credentials.py \
	tests/system/test_drop_ins.py \
	tests/system/test_guard.py \
	tests/system/test_http2.py \
	tests/system/test_poison.py \
	tests/system/test_proxy.py \
	tests/system/test_request.py \
	tests/system/test_tls.py \
	tests/system/test_top.py \
	tests/system/test_torture.py \
	tests/unit/test_base64 \
	tests/unit/test_buf \
	tests/unit/test_claims \
	tests/unit/test_clock \
	tests/unit/test_config \
	tests/unit/test_config_change \
	tests/unit/test_config_drop_ins \
	tests/unit/test_config_elements \
	tests/unit/test_config_errors \
	tests/unit/test_decode \
	tests/unit/test_guard \
	tests/unit/test_head \
	tests/unit/test_heap \
	tests/unit/test_hop \
	tests/unit/test_job \
	tests/unit/test_job_hop \
	tests/unit/test_job_refusals \
	tests/unit/test_job_write \
	tests/unit/test_lane \
	tests/unit/test_memory_lanes \
	tests/unit/test_profiles \
	tests/unit/test_queue_lanes \
	tests/unit/test_queue_model \
	tests/unit/test_random \
	tests/unit/test_result \
	tests/unit/test_retry \
	tests/unit/test_seq_set \
	tests/unit/test_settings \
	tests/unit/test_speed \
	tests/unit/test_units \
	tests/unit/test_upload \
	tests/unit/test_url \
	tests/unit/test_urlfile \
	tests/unit/test_urlfile_cursor
