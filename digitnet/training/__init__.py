"""Everything that trains, calibrates and exports the networks. The only folder that needs PyTorch."""

# Raise it when `calibration` measures something else, such as other pictures: exports in the cache are then made anew.
CALIBRATION_VERSION = 2
