"""Three real Xen hosts in QEMU, on this machine alone, for tests and for one's own experiments.

Standard library only, so that it runs with any Python 3.11 before anything of the project is set
up. README.md says what is emulated, what is real and what this cannot show.
"""
