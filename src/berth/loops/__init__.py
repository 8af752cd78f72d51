"""What happens by itself: each loop keeps one thing true, takes no input, and may be woken early."""
