"""The parts of bench_quality."""
