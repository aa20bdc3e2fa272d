"""In dom0: resumes a suspended guest by the hypervisor's own call, for Xen before 4.20.

    resume.py DOMID

xl has `resume` only since 4.20. Co-operative resume: the guest's suspend call returns "cancelled".
"""

import sys

sys.path.insert(0, "/usr/lib/xen-4.17/lib/python")

from xen.lowlevel import xc  # type: ignore[import-not-found]

xc.xc().domain_resume(int(sys.argv[1]), 1)
