"""The worker protocol without I/O: frames, codec, messages, segments.

It runs in the host and in the worker, which may be different Pythons and
different versions of rldlib: standard library only, nothing newer than 3.10.
"""
