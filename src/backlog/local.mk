libpenstock_a_SOURCES += \
	src/backlog/backlog.h \
	src/backlog/due_heap.c src/backlog/due_heap.h \
	src/backlog/memory.c src/backlog/memory.h
