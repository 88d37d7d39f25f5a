"""A normalised digit to probabilities, and probabilities to an answer."""
