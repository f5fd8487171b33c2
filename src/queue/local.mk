libpenstock_a_SOURCES += \
	src/queue/lane.c \
	src/queue/lane.h \
	src/queue/lanes.c \
	src/queue/lanes.h \
	src/queue/levers.c \
	src/queue/parts.h \
	src/queue/push.c \
	src/queue/queue.c \
	src/queue/queue.h
