"""Brings a service to the caller."""
