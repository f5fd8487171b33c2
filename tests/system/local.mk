# Tests of the built programs, in Python.
SYSTEM_TESTS = \
	tests/system/test_bounds.py \
	tests/system/test_cli.py \
	tests/system/test_control_socket.py \
	tests/system/test_daemon.py \
	tests/system/test_daemon_results.py \
	tests/system/test_daemon_signals.py \
	tests/system/test_input.py \
	tests/system/test_results.py \
	tests/system/test_retry.py \
	tests/system/test_service.py \
	tests/system/test_stop.py \
	tests/system/test_systemd.py \
	tests/system/test_timeouts.py
TESTS += $(SYSTEM_TESTS)
EXTRA_DIST += $(SYSTEM_TESTS) \
	tests/system/daemon_harness.py \
	tests/system/harness.py
EXTRA_DIST += tests/system/systemd-lab/boot.sh
