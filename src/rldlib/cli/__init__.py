"""The command line, ``rld``."""
