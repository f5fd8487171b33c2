# The experiments that started it all, run on demand; see tests/seed/README.md.
SEED_RECORDS = seed-data
SEED_PLOT = seed-experiments.svg
SEED_README =
seed-experiments: penstockd penstock-origin
	PENSTOCKD=./penstockd PENSTOCK_ORIGIN=./penstock-origin \
		$(PYTHON) $(srcdir)/tests/seed/run.py $(SEED_RECORDS)
	$(PYTHON) $(srcdir)/tests/seed/plot.py $(SEED_RECORDS) $(SEED_PLOT) $(SEED_README)
.PHONY: seed-experiments
CLEANFILES += seed-experiments.svg seed-data/*.json
EXTRA_DIST += \
	doc/seed-experiments.svg \
	tests/seed/README.md \
	tests/seed/data/balanced.json \
	tests/seed/data/bounded.json \
	tests/seed/data/conditions.json \
	tests/seed/data/memory.json \
	tests/seed/data/pitfall.json \
	tests/seed/peer.py \
	tests/seed/plot.py \
	tests/seed/run.py
