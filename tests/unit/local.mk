# One CUnit program a module.
UNIT_LIBS = $(PENSTOCK_LIBS) $(CUNIT_LIBS)
EXTRA_DIST += \
	tests/unit/config_example.h \
	tests/unit/dns_server.h \
	tests/unit/source_stage.h \
	tests/unit/unit.h

check_PROGRAMS += tests/unit/test_config
TESTS += tests/unit/test_config
tests_unit_test_config_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_config_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_config_errors
TESTS += tests/unit/test_config_errors
tests_unit_test_config_errors_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_config_errors_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_follow
TESTS += tests/unit/test_follow
tests_unit_test_follow_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_follow_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_lines
TESTS += tests/unit/test_lines
tests_unit_test_lines_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_lines_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_resolver
TESTS += tests/unit/test_resolver
tests_unit_test_resolver_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_resolver_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_schedule
TESTS += tests/unit/test_schedule
tests_unit_test_schedule_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_schedule_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_units
TESTS += tests/unit/test_units
tests_unit_test_units_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_units_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_urlfile
TESTS += tests/unit/test_urlfile
tests_unit_test_urlfile_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_urlfile_LDADD = $(UNIT_LIBS)
