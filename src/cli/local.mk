# The fetch command with all that it needs is in the library too; only main() is not.
libpenstock_a_SOURCES += \
	src/cli/ask.c src/cli/ask.h \
	src/cli/audit.c \
	src/cli/audit_bodies.c src/cli/audit_bodies.h \
	src/cli/audit_check.c src/cli/audit_check.h \
	src/cli/audit_db.c src/cli/audit_db.h \
	src/cli/audit_log.c src/cli/audit_log.h \
	src/cli/audit_report.c src/cli/audit_report.h \
	src/cli/cli.h \
	src/cli/drain.c \
	src/cli/fetch.c \
	src/cli/fetch_args.c src/cli/fetch_args.h \
	src/cli/interrupt.c src/cli/interrupt.h \
	src/cli/interval.c src/cli/interval.h \
	src/cli/job_lines.c src/cli/job_lines.h \
	src/cli/lane_text.c src/cli/lane_text.h \
	src/cli/lanes.c \
	src/cli/log_level.c \
	src/cli/patience.c src/cli/patience.h \
	src/cli/pause.c \
	src/cli/progress.c src/cli/progress.h \
	src/cli/requeue.c \
	src/cli/results.c src/cli/results.h src/cli/results_read.c \
	src/cli/safe_text.c src/cli/safe_text.h \
	src/cli/seq_set.c src/cli/seq_set.h \
	src/cli/set.c \
	src/cli/socket_path.c src/cli/socket_path.h \
	src/cli/sparkline.c src/cli/sparkline.h \
	src/cli/status.c \
	src/cli/status_text.c src/cli/status_text.h \
	src/cli/submit.c src/cli/submit.h src/cli/submit_send.c src/cli/submit_wait.c \
	src/cli/top_ask.c src/cli/top_ask.h \
	src/cli/top_history.c src/cli/top_history.h \
	src/cli/unix_http.c src/cli/unix_http.h \
	src/cli/upload.c src/cli/upload.h \
	src/cli/url_files.c src/cli/url_files.h \
	src/cli/why.c

bin_PROGRAMS += penstock
penstock_SOURCES = src/cli/main.c src/cli/top.c src/cli/top.h
penstock_CPPFLAGS = $(AM_CPPFLAGS) $(NCURSES_CFLAGS)
penstock_LDADD = $(PENSTOCK_LIBS) $(NCURSES_LIBS)
if HAVE_NCURSES
penstock_SOURCES += \
	src/cli/top_keys.c src/cli/top_keys.h \
	src/cli/top_member.c src/cli/top_member.h \
	src/cli/top_paint.c src/cli/top_paint.h \
	src/cli/top_show.c \
	src/cli/top_terminal.c src/cli/top_terminal.h \
	src/cli/top_view.c src/cli/top_view.h \
	src/cli/top_view_head.c src/cli/top_view_lanes.c src/cli/top_view_lists.c \
	src/cli/top_view_past.c
else
penstock_SOURCES += src/cli/top_absent.c
endif
