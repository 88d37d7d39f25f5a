"""Everything that trains, calibrates and exports the networks. The only folder that needs PyTorch."""
