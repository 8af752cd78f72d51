"""Benchmarks: Berth beside the limit of what it stands on, measured in one window."""
