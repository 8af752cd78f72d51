"""The tests. A package of its own, so that no other that calls itself `tests` takes its place."""
