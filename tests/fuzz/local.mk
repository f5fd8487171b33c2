# Fuzz targets: built and run on demand, with clang's libFuzzer; see tests/fuzz/README.md.
FUZZ_CC = clang
FUZZ_FLAGS = -std=gnu17 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
FUZZ_SECONDS = 60
FUZZ_TARGETS = job url head
EXTRA_DIST += tests/fuzz/README.md tests/fuzz/seeds.py \
	tests/fuzz/fuzz_head.c tests/fuzz/fuzz_job.c tests/fuzz/fuzz_url.c

fuzz:
	@set -e; for t in $(FUZZ_TARGETS); do \
	  d=tests/fuzz/corpus-$$t; $(MKDIR_P) $$d; \
	  $(FUZZ_CC) $(FUZZ_FLAGS) $(DEFS) $(DEFAULT_INCLUDES) $(AM_CPPFLAGS) -U_FORTIFY_SOURCE \
	    -o tests/fuzz/fuzz_$$t $(srcdir)/tests/fuzz/fuzz_$$t.c $(srcdir)/src/base/*.c \
	    $(srcdir)/src/job/*.c $(srcdir)/src/fetch/head.c $(PENSTOCK_LIBS); \
	  $(PYTHON) $(srcdir)/tests/fuzz/seeds.py $$t $$d; \
	  tests/fuzz/fuzz_$$t -max_total_time=$(FUZZ_SECONDS) -timeout=10 -print_final_stats=1 \
	    -artifact_prefix=tests/fuzz/ $$d; \
	done
.PHONY: fuzz
