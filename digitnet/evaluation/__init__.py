"""Scores a model on labelled pictures: metrics, comparisons of two models, and a report."""
