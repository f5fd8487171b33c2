# Tests of the built programs, in Python.
SYSTEM_TESTS = \
	tests/system/test_answer.py \
	tests/system/test_audit.py \
	tests/system/test_bodies.py \
	tests/system/test_bounds.py \
	tests/system/test_cli.py \
	tests/system/test_control_socket.py \
	tests/system/test_counts.py \
	tests/system/test_crash.py \
	tests/system/test_crash_steps.py \
	tests/system/test_credentials.py \
	tests/system/test_daemon.py \
	tests/system/test_daemon_results.py \
	tests/system/test_daemon_set.py \
	tests/system/test_daemon_signals.py \
	tests/system/test_deadline.py \
	tests/system/test_disk_trouble.py \
	tests/system/test_drop_ins.py \
	tests/system/test_examples.py \
	tests/system/test_fuzz_http.py \
	tests/system/test_guard.py \
	tests/system/test_http2.py \
	tests/system/test_input.py \
	tests/system/test_jobs.py \
	tests/system/test_lanes.py \
	tests/system/test_levers.py \
	tests/system/test_memory.py \
	tests/system/test_names.py \
	tests/system/test_openapi.py \
	tests/system/test_package.py \
	tests/system/test_page.py \
	tests/system/test_poison.py \
	tests/system/test_prometheus.py \
	tests/system/test_proxy.py \
	tests/system/test_readers.py \
	tests/system/test_request.py \
	tests/system/test_results.py \
	tests/system/test_results_stream.py \
	tests/system/test_retry.py \
	tests/system/test_service.py \
	tests/system/test_stop.py \
	tests/system/test_submit.py \
	tests/system/test_systemd.py \
	tests/system/test_systemd_trouble.py \
	tests/system/test_timeouts.py \
	tests/system/test_tls.py \
	tests/system/test_top.py \
	tests/system/test_torture.py
TESTS += $(SYSTEM_TESTS)
EXTRA_DIST += $(SYSTEM_TESTS) \
	tests/system/browser_harness.py \
	tests/system/daemon_harness.py \
	tests/system/dns_server.py \
	tests/system/durable_harness.py \
	tests/system/harness.py \
	tests/system/httpbin_harness.py \
	tests/system/memory_harness.py \
	tests/system/nginx_harness.py \
	tests/system/package_harness.py \
	tests/system/picture.py \
	tests/system/stub_daemon.py \
	tests/system/systemd_harness.py \
	tests/system/torture.py \
	tests/system/torture_cases.py \
	tests/system/torture_tls.py
EXTRA_DIST += tests/system/systemd-lab/boot.sh

# Preloaded by tests into penstockd; what that is built with, a sanitizer say, is its own affair.
check_DATA = tests/system/faults.so tests/system/hold
tests/system/faults.so: $(srcdir)/tests/system/faults.c
	$(AM_V_CC)$(MKDIR_P) tests/system && $(CC) -std=gnu17 -D_GNU_SOURCE -O2 -g -Wall -Wextra \
		-shared -fPIC -o $@ $(srcdir)/tests/system/faults.c -ldl
EXTRA_DIST += tests/system/faults.c
CLEANFILES += tests/system/faults.so

# Makes a thread of penstockd hang.
tests/system/hold: $(srcdir)/tests/system/hold.c
	$(AM_V_CC)$(MKDIR_P) tests/system && $(CC) -std=gnu17 -D_GNU_SOURCE -O2 -g -Wall -Wextra \
		-o $@ $(srcdir)/tests/system/hold.c
EXTRA_DIST += tests/system/hold.c
CLEANFILES += tests/system/hold
