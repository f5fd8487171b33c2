sbin_PROGRAMS += penstockd
penstockd_SOURCES = \
	src/daemon/daemon.c src/daemon/daemon.h \
	src/daemon/dead_log.c src/daemon/dead_log.h \
	src/daemon/journal.c src/daemon/journal.h \
	src/daemon/listeners.c src/daemon/listeners.h \
	src/daemon/live.c src/daemon/live.h \
	src/daemon/main.c \
	src/daemon/orders.c src/daemon/orders.h \
	src/daemon/paths.c src/daemon/paths.h \
	src/daemon/service.c src/daemon/service.h
penstockd_CPPFLAGS = $(AM_CPPFLAGS) $(SYSTEMD_CFLAGS)
penstockd_LDADD = $(PENSTOCK_LIBS) $(SYSTEMD_LIBS)
