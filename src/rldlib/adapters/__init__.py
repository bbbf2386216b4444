"""The outside world, one dependency an adapter. Adapters never import each other."""
