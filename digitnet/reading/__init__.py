"""From a picture to answers: a picture goes down through these files once (see docs/design.md)."""
