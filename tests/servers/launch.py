"""Becomes the command it is given, after arranging that it dies with the process that started it.

Run as a script: `python -I -S launch.py PARENT SIGNAL USER GROUP COMMAND…`, where USER and GROUP are ids, or -1 to
stay who one is. A script and not a `preexec_fn`, which can deadlock in a process that has threads. Linux only.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, death, user, group = map(int, sys.argv[1:5])
    command = sys.argv[5:]
    if user >= 0:
        # Before the next step: a change of credentials clears the parent-death signal.
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death, 0, 0, 0) != 0:
        sys.exit(f"prctl failed: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:  # it died before the arrangement stood
        sys.exit(1)
    os.execv(command[0], command)


main()
