libpenstock_a_SOURCES += \
	src/fetch/addresses.c src/fetch/addresses.h \
	src/fetch/answer.c \
	src/fetch/content.c \
	src/fetch/decode.c src/fetch/decode.h \
	src/fetch/dns.c src/fetch/dns.h \
	src/fetch/failure.c \
	src/fetch/fetch.c src/fetch/fetch.h \
	src/fetch/guard.c src/fetch/guard.h \
	src/fetch/guard_names.c src/fetch/guard_names.h \
	src/fetch/handle.c src/fetch/handle.h \
	src/fetch/handle_configure.c \
	src/fetch/head.c src/fetch/head.h \
	src/fetch/hop.c src/fetch/hop.h \
	src/fetch/ip.c src/fetch/ip.h \
	src/fetch/lend.c \
	src/fetch/names.c src/fetch/names.h \
	src/fetch/pem.c src/fetch/pem.h \
	src/fetch/pool.c src/fetch/pool.h \
	src/fetch/resolver.c src/fetch/resolver.h \
	src/fetch/rules.c src/fetch/rules.h \
	src/fetch/speed.c src/fetch/speed.h \
	src/fetch/target.c src/fetch/target.h \
	src/fetch/tls.c src/fetch/tls.h \
	src/fetch/transfer.h \
	src/fetch/upload.c src/fetch/upload.h
