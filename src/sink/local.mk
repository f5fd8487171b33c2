libpenstock_a_SOURCES += \
	src/sink/results.c src/sink/results.h
