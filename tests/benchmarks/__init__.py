"""Benchmarks: what each part costs or gains beside a named baseline, measured in the same run."""
