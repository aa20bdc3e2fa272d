"""A stand-in for the programs of a Xen dom0.  (Documented in full when complete.)"""
