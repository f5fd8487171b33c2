libpenstock_a_SOURCES += \
	src/fetch/addresses.c src/fetch/addresses.h \
	src/fetch/answer.c \
	src/fetch/dns.c src/fetch/dns.h \
	src/fetch/failure.c \
	src/fetch/fetch.c src/fetch/fetch.h \
	src/fetch/handle.c src/fetch/handle.h \
	src/fetch/head.c src/fetch/head.h \
	src/fetch/hop.c src/fetch/hop.h \
	src/fetch/lend.c \
	src/fetch/names.c src/fetch/names.h \
	src/fetch/pool.c src/fetch/pool.h \
	src/fetch/resolver.c src/fetch/resolver.h \
	src/fetch/rules.c src/fetch/rules.h \
	src/fetch/transfer.h
