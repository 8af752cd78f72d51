"""Lets `python -m berth` do what the `berth` command does."""

from berth.cli import main

main()
