"""The suite: a package, because some library brings one of this name that would stand in its way."""
