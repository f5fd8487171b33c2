# Benchmarks: built by `make check`, run on demand; see tests/bench/README.md.
