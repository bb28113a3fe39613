"""Compile the numba kernels into their on-disk cache: `python -m training.warm_kernels`, once at install.

Compilation takes about half a minute; loading from the cache a fifth of a second. No user should wait for it twice.
"""
