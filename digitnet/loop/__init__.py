"""What the loop in train.py needs: what a run carries, what it adds to a batch, the device, the files."""
