"""Digits and pages that the project makes itself, for training and for tests."""
