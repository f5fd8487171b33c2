# The server that the tests fetch from; built with the tests, never installed.
check_PROGRAMS += penstock-origin
penstock_origin_SOURCES = \
	tests/origin/answer.c \
	tests/origin/answer.h \
	tests/origin/attr.h \
	tests/origin/body.c \
	tests/origin/body.h \
	tests/origin/buf.c \
	tests/origin/buf.h \
	tests/origin/clock.h \
	tests/origin/conn.c \
	tests/origin/conn.h \
	tests/origin/handlers.h \
	tests/origin/input.c \
	tests/origin/input.h \
	tests/origin/loop.c \
	tests/origin/loop.h \
	tests/origin/main.c \
	tests/origin/origin.c \
	tests/origin/origin.h \
	tests/origin/request.c \
	tests/origin/request.h \
	tests/origin/routes.c \
	tests/origin/routes.h \
	tests/origin/routes_faulty.c \
	tests/origin/routes_report.c \
	tests/origin/routes_sound.c \
	tests/origin/server.c \
	tests/origin/server.h \
	tests/origin/tally.c \
	tests/origin/tally.h \
	tests/origin/text.c \
	tests/origin/text.h \
	tests/origin/timers.c \
	tests/origin/timers.h
TESTS += tests/origin/test_origin.py
EXTRA_DIST += tests/origin/test_origin.py
