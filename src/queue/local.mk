libpenstock_a_SOURCES += \
	src/queue/lane.c \
	src/queue/lane.h \
	src/queue/lane_heap.c \
	src/queue/lane_heap.h \
	src/queue/lanes.c \
	src/queue/lanes.h \
	src/queue/levers.c \
	src/queue/parts.h \
	src/queue/queue.c \
	src/queue/queue.h
