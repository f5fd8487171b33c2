libpenstock_a_SOURCES += \
	src/backlog/backlog.c src/backlog/backlog.h \
	src/backlog/claims.c src/backlog/claims.h \
	src/backlog/memory.c src/backlog/memory.h \
	src/backlog/memory_lanes.c src/backlog/memory_lanes.h \
	src/backlog/records.c src/backlog/records.h \
	src/backlog/sqlite.c src/backlog/sqlite.h src/backlog/sqlite_parts.h \
	src/backlog/sqlite_add.c \
	src/backlog/sqlite_db.c src/backlog/sqlite_db.h \
	src/backlog/sqlite_expire.c \
	src/backlog/sqlite_history.c \
	src/backlog/sqlite_lanes.c \
	src/backlog/sqlite_open.c \
	src/backlog/sqlite_query.c \
	src/backlog/sqlite_reader.c \
	src/backlog/sqlite_round.c \
	src/backlog/sqlite_settle.c \
	src/backlog/sqlite_take.c \
	src/backlog/sqlite_write.c \
	src/backlog/sqlite_writer.c \
	src/backlog/submissions.c src/backlog/submissions.h \
	src/backlog/turns.c src/backlog/turns.h
