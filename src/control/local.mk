libpenstock_a_SOURCES += \
	src/control/control.h \
	src/control/exposition.c \
	src/control/exposition.h \
	src/control/metrics.c \
	src/control/metrics.h \
	src/control/problem.c \
	src/control/problem.h \
	src/control/reply.h \
	src/control/routes.c \
	src/control/routes.h \
	src/control/server.c \
	src/control/socket.c \
	src/control/socket.h \
	src/control/status.c \
	src/control/status.h \
	src/control/text.c \
	src/control/text.h
