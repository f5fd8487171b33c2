# Tests of the built programs, in Python.
SYSTEM_TESTS =
TESTS += $(SYSTEM_TESTS)
EXTRA_DIST += $(SYSTEM_TESTS)
