"""A process that the kernel kills at its first internet socket, whichever library opens it.

Python's audit hooks do not see the sockets of compiled code such as ``hf_xet``; seccomp does.
"""

from __future__ import annotations

import ctypes
import platform
import struct
import sys

_SOCKET_CALLS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""By machine: the architecture as the kernel's audit names it, and the number of socket(2)."""

SUPPORTED = sys.platform == "linux" and platform.machine() in _SOCKET_CALLS

_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _KILL_PROCESS = 0x7FFF0000, 0x80000000


def forbid_internet() -> None:
    """Have this process and its children killed (SIGSYS) when they open an internet socket."""
    architecture, socket = _SOCKET_CALLS[platform.machine()]
    rules = [  # code, how many rules to skip if it is true and if not, value
        (_LOAD, 0, 0, 4),  # the architecture
        (_EQUAL, 0, 5, architecture),
        (_LOAD, 0, 0, 0),  # the number of the call
        (_EQUAL, 0, 3, socket),
        (_LOAD, 0, 0, 16),  # its first argument: the family
        (_EQUAL, 2, 0, 2),  # AF_INET
        (_EQUAL, 1, 0, 10),  # AF_INET6
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _KILL_PROCESS),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
    pointer = struct.pack("HxxxxxxP", len(rules), ctypes.addressof(program))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((38, 1, 0, 0, 0), (22, 2, pointer, 0, 0)):  # no new privileges; the filter
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
