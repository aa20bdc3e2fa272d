"""What runs in dom0: reports, steps at most once, what really happened."""
