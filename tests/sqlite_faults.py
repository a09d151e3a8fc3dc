"""The n-th system call of SQLite that changes a file fails, or is the last thing the process does.

SQLite's unix layer allows its system calls to be replaced, one by one and by name, as its own tests do. What is
replaced here stays so for the rest of the process. Source: https://www.sqlite.org/c3ref/vfs.html (xSetSystemCall).
"""

import _sqlite3
import ctypes
import errno
import os
import signal
from typing import Any

WRITES = ("write", "pwrite", "pwrite64")
OTHERS = ("ftruncate", "unlink", "fallocate")
ACTIONS = ("torn", "full")
"""Cut a write in half, or skip any other call, and kill the process; or have the disk full from then on."""

calls = 0  # how many calls that change a file SQLite has made

_SIZES = {  # of the arguments after the name or descriptor
    "write": (ctypes.c_void_p, ctypes.c_size_t),
    "pwrite": (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64),
    "pwrite64": (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64),
    "ftruncate": (ctypes.c_int64,),
    "unlink": (),
    "fallocate": (ctypes.c_int64, ctypes.c_int64),
}


class _Vfs(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int) for name in ("iVersion", "szOsFile", "mxPathname")),
        *((name, ctypes.c_void_p) for name in ("pNext", "zName", "pAppData")),
        *((f"before_{place}", ctypes.c_void_p) for place in range(13)),  # xOpen to xCurrentTimeInt64
        *((name, ctypes.c_void_p) for name in ("xSetSystemCall", "xGetSystemCall", "xNextSystemCall")),
    ]


def install(number: int, action: str) -> None:
    """Make the call with this number, from 1, fail."""
    library = ctypes.CDLL(_sqlite3.__file__)
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    vfs = library.sqlite3_vfs_find(None)
    assert vfs.contents.iVersion >= 3
    set_call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
        vfs.contents.xSetSystemCall
    )
    get_call = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(vfs.contents.xGetSystemCall)
    for name in (*WRITES, *OTHERS):
        address = get_call(vfs, name.encode())
        if address is not None:  # a system may have only some of the calls
            replaced = _replacement(name, address, number, action)
            _kept.append(replaced)
            assert set_call(vfs, name.encode(), ctypes.cast(replaced, ctypes.c_void_p)) == 0


_kept: list[object] = []  # keeps alive what SQLite knows by address only


def _replacement(name: str, address: int, number: int, action: str) -> Any:
    result = ctypes.c_ssize_t if name in WRITES else ctypes.c_int
    first = ctypes.c_char_p if name == "unlink" else ctypes.c_int
    kind = ctypes.CFUNCTYPE(result, first, *_SIZES[name], use_errno=True)
    original = kind(address)

    def call(where: int | bytes, *arguments: int) -> int:
        global calls
        calls += 1
        if calls == number and action == "torn":
            if name in WRITES:
                data, size, *offset = arguments
                original(where, data, size // 2, *offset)
            os.kill(os.getpid(), signal.SIGKILL)
        if calls >= number and action == "full" and name in (*WRITES, "fallocate"):
            ctypes.set_errno(errno.ENOSPC)
            return -1
        return original(where, *arguments)

    return kind(call)
