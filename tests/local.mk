# Every test is an executable that prints nothing it need not and ends with 0, or 77 to skip.
AM_TESTS_ENVIRONMENT = \
	PYTHON='$(PYTHON)'; export PYTHON; PYTHONDONTWRITEBYTECODE=1; export PYTHONDONTWRITEBYTECODE; \
	PENSTOCK='$(abs_top_builddir)/penstock'; export PENSTOCK; \
	PENSTOCKD='$(abs_top_builddir)/penstockd'; export PENSTOCKD; \
	PENSTOCK_ORIGIN='$(abs_top_builddir)/penstock-origin'; export PENSTOCK_ORIGIN; \
	PENSTOCK_SRC='$(abs_top_srcdir)'; export PENSTOCK_SRC;

if HAVE_CUNIT
include tests/unit/local.mk
endif
include tests/origin/local.mk
include tests/system/local.mk
include tests/bench/local.mk
include tests/fuzz/local.mk
include tests/seed/local.mk

# Without CUnit there are neither all tests nor all of their files.
if !HAVE_CUNIT
WITHOUT_CUNIT = without-cunit
endif
check_DATA += $(WITHOUT_CUNIT)
without-cunit:
	@echo 'make check and make dist need CUnit (libcunit1-dev): install it, and run configure' \
		'again' >&2; exit 1
.PHONY: without-cunit

TESTS += tests/check-includes.sh tests/check-completions.sh
EXTRA_DIST += tests/check-includes.sh tests/check-completions.sh
