libpenstock_a_SOURCES += \
	src/sink/bodies.c src/sink/bodies.h src/sink/bodies_parts.h \
	src/sink/bodies_dir.c src/sink/bodies_dir.h \
	src/sink/body.c src/sink/body.h \
	src/sink/recover.c \
	src/sink/results.c src/sink/results.h \
	src/sink/target.c src/sink/target.h
