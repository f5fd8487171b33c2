# Everything but main(), so that the tests link what the program links.
noinst_LIBRARIES += libpenstock.a
libpenstock_a_SOURCES =

include src/base/local.mk
include src/job/local.mk
include src/config/local.mk
include src/queue/local.mk
include src/backlog/local.mk
include src/source/local.mk
include src/fetch/local.mk
include src/sink/local.mk
include src/engine/local.mk
include src/control/local.mk
include src/daemon/local.mk
include src/cli/local.mk

PENSTOCK_LIBS = libpenstock.a $(CURL_LIBS) $(CARES_LIBS) $(CONFIG_LIBS) $(JANSSON_LIBS) \
	$(MICROHTTPD_LIBS) $(SQLITE_LIBS) $(SSL_LIBS)
EXTRA_DIST += src/README.md
