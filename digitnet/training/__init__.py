"""The workshop of the package's own networks: recipes, ranks, the networks that find and read lines, export."""
