"""From a picture of many digits to lines of digits: detect, crop, classify, fuse, read each line as a whole."""
