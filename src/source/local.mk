libpenstock_a_SOURCES += \
	src/source/input.c \
	src/source/input.h \
	src/source/lines.c \
	src/source/lines.h \
	src/source/schedule.c \
	src/source/schedule.h \
	src/source/source.c \
	src/source/source.h \
	src/source/urlfile.c \
	src/source/urlfile.h \
	src/source/watch.c \
	src/source/watch.h
