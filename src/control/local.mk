libpenstock_a_SOURCES += \
	src/control/asker.c \
	src/control/asker.h \
	src/control/batch.c \
	src/control/batch.h \
	src/control/body.c \
	src/control/body.h \
	src/control/change.c \
	src/control/change.h \
	src/control/clients.c \
	src/control/clients.h \
	src/control/control.h \
	src/control/exposition.c \
	src/control/exposition.h \
	src/control/history.c \
	src/control/history.h \
	src/control/http.c \
	src/control/http.h \
	src/control/inbox.c \
	src/control/inbox.h \
	src/control/jobs.c \
	src/control/lanes.c \
	src/control/levers.c \
	src/control/metrics.c \
	src/control/metrics.h \
	src/control/metrics_fetch.c \
	src/control/metrics_jobs.c \
	src/control/metrics_parts.h \
	src/control/metrics_process.c \
	src/control/metrics_results.c \
	src/control/metrics_sources.c \
	src/control/order.c \
	src/control/order.h \
	src/control/page.c \
	src/control/page.h \
	src/control/problem.c \
	src/control/problem.h \
	src/control/receipts.c \
	src/control/receipts.h \
	src/control/reply.c \
	src/control/reply.h \
	src/control/requeue.c \
	src/control/results.c \
	src/control/results.h \
	src/control/routes.c \
	src/control/routes.h \
	src/control/server.c \
	src/control/settings.c \
	src/control/socket.c \
	src/control/socket.h \
	src/control/status.c \
	src/control/status.h \
	src/control/submitter.c \
	src/control/submitter.h \
	src/control/task.h \
	src/control/tcp.c \
	src/control/tcp.h \
	src/control/text.c \
	src/control/text.h \
	src/control/upload.c \
	src/control/upload.h \
	src/control/upload_job.c \
	src/control/upload_lines.c

# The files of the page are part of the program.
PAGE_FILES = \
	src/control/page/icon.svg \
	src/control/page/index.html \
	src/control/page/page.js \
	src/control/page/plot.js \
	src/control/page/samples.js \
	src/control/page/style.css \
	src/control/page/words.js
EXTRA_DIST += src/control/embed.sh $(PAGE_FILES)
nodist_libpenstock_a_SOURCES = src/control/page_files.c
CLEANFILES += src/control/page_files.c
src/control/page_files.c: src/control/embed.sh $(PAGE_FILES)
	$(AM_V_GEN)$(MKDIR_P) src/control && cd $(srcdir) && \
		sh src/control/embed.sh $(PAGE_FILES) >$(abs_builddir)/$@.new && \
		mv $(abs_builddir)/$@.new $(abs_builddir)/$@
