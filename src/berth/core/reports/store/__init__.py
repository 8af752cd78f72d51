"""Statements of reports, by what they answer."""
