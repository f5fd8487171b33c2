libpenstock_a_SOURCES += \
	src/config/change.c \
	src/config/config.c \
	src/config/config.h \
	src/config/copy.c \
	src/config/copy.h \
	src/config/drop_ins.c \
	src/config/drop_ins.h \
	src/config/elements.c \
	src/config/elements.h \
	src/config/load.c \
	src/config/load.h \
	src/config/names.c \
	src/config/names.h \
	src/config/print.c \
	src/config/print.h \
	src/config/read.c \
	src/config/read.h \
	src/config/text.c \
	src/config/text.h \
	src/config/value.c \
	src/config/value.h
