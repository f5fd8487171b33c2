libpenstock_a_SOURCES += \
	src/base/attr.h \
	src/base/base64.c \
	src/base/base64.h \
	src/base/buf.c \
	src/base/buf.h \
	src/base/clock.c \
	src/base/clock.h \
	src/base/crash.c \
	src/base/crash.h \
	src/base/event.c \
	src/base/event.h \
	src/base/log.c \
	src/base/log.h \
	src/base/process.c \
	src/base/process.h \
	src/base/pulse.h \
	src/base/random.c \
	src/base/random.h \
	src/base/sync.c \
	src/base/sync.h \
	src/base/thread.c \
	src/base/thread.h \
	src/base/units.c \
	src/base/units.h \
	src/base/wake.c \
	src/base/wake.h
