libpenstock_a_SOURCES += \
	src/job/job.c \
	src/job/job.h \
	src/job/job_headers.c \
	src/job/job_hop.c \
	src/job/job_parse.c \
	src/job/job_parts.h \
	src/job/job_write.c \
	src/job/url.c \
	src/job/url.h \
	src/job/url_known.c \
	src/job/url_known.h \
	src/job/url_show.c \
	src/job/url_match.c \
	src/job/result.c \
	src/job/result.h \
	src/job/wait.c \
	src/job/wait.h
