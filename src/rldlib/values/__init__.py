"""The words of the domain, as immutable values. Standard library and packaging only."""
