"""What a model learns from corrections: a shift of its last layer, which is kept only if it does no harm."""
