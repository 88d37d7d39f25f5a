"""Any picture to the one digit in it: load, detection the ink, normalise to (28, 28)."""
