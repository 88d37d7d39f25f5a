"""What a reader answers, compared with the truth."""
