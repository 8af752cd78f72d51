"""Real processes: servers that are started, used over HTTP and SSH, and killed."""
