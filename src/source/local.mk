libpenstock_a_SOURCES += \
	src/source/arrivals.c \
	src/source/arrivals.h \
	src/source/directory.c \
	src/source/directory.h \
	src/source/drop.c \
	src/source/drop.h \
	src/source/input.c \
	src/source/input.h \
	src/source/lines.c \
	src/source/lines.h \
	src/source/outcome.c \
	src/source/outcome.h \
	src/source/place.c \
	src/source/place.h \
	src/source/reader.c \
	src/source/reader.h \
	src/source/schedule.c \
	src/source/schedule.h \
	src/source/source.c \
	src/source/source.h \
	src/source/urlfile.c \
	src/source/urlfile.h \
	src/source/watch.c \
	src/source/watch.h
