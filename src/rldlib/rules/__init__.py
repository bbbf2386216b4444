"""Decisions, as functions of values: time is passed in, and nobody is asked."""
