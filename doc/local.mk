dist_man_MANS += doc/penstock.1 doc/penstock.conf.5 doc/penstockd.8
dist_doc_DATA = NEWS doc/operations.md

# The pages and etc/penstock.conf say what the program does.
TESTS += tests/check-docs.sh
EXTRA_DIST += tests/check-docs.sh
