"""Whom we call: one folder per provider, each an implementation of `berth.core.driver.Driver`."""
