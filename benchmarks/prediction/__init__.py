"""The processes that `benchmarks.predict` measures with and measures."""
