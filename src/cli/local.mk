# The fetch command with all that it needs is in the library too; only main() is not.
libpenstock_a_SOURCES += \
	src/cli/cli.h \
	src/cli/fetch.c \
	src/cli/fetch_args.c src/cli/fetch_args.h \
	src/cli/progress.c src/cli/progress.h \
	src/cli/socket_path.c src/cli/socket_path.h \
	src/cli/status.c \
	src/cli/status_text.c src/cli/status_text.h \
	src/cli/unix_http.c src/cli/unix_http.h

bin_PROGRAMS += penstock
penstock_SOURCES = src/cli/main.c
penstock_LDADD = $(PENSTOCK_LIBS)
