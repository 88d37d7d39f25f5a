"""A picture of many digits to lines of digits: detect, crop, weigh, read."""
