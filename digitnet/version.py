"""The version of DigitNet."""

__version__ = "0.1.0"

# Raise it when the calibration of a model measures something else, such as other pictures: exports that are kept beside
# a model.pth are then made anew.
CALIBRATION_VERSION = 2
