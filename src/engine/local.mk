libpenstock_a_SOURCES += \
	src/engine/attempt_log.c src/engine/attempt_log.h \
	src/engine/deadline.c src/engine/deadline.h \
	src/engine/engine.c src/engine/engine.h \
	src/engine/explain.c \
	src/engine/feeder.c src/engine/feeder.h \
	src/engine/fetching.c \
	src/engine/give_back.c src/engine/give_back.h \
	src/engine/intake.c src/engine/intake.h \
	src/engine/key_file.c src/engine/key_file.h \
	src/engine/ledger.c src/engine/ledger.h \
	src/engine/lanes.c \
	src/engine/parts.h \
	src/engine/profiles.c src/engine/profiles.h \
	src/engine/recorder.c src/engine/recorder.h \
	src/engine/retry.c src/engine/retry.h \
	src/engine/settings.c src/engine/settings.h src/engine/settings_parts.h \
	src/engine/settings_check.c src/engine/settings_sources.c src/engine/settings_table.c \
	src/engine/start.c \
	src/engine/store.c \
	src/engine/tally.c src/engine/tally.h \
	src/engine/tail.c src/engine/tail.h \
	src/engine/worker.c src/engine/worker.h \
	src/engine/workers.c src/engine/workers.h
