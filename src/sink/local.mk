libpenstock_a_SOURCES += \
	src/sink/recover.c \
	src/sink/results.c src/sink/results.h \
	src/sink/target.c src/sink/target.h
