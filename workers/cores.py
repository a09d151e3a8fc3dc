"""How many CPU cores this process may use."""

import os
from pathlib import Path

_CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_V1_QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
_CGROUP_V1_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def default_workers() -> int:
    """Return the number of cores this process may keep busy, at least 1.

    It is limited by the cores the process is bound to, and by the container's CPU quota if there is one.
    """
    bound = hasattr(os, "sched_getaffinity")  # not on macOS
    cores = len(os.sched_getaffinity(0)) if bound else os.cpu_count() or 1
    quota = cores_in_quota(*_cgroup_quota())
    return max(1, cores if quota is None else min(cores, quota))


def cores_in_quota(quota: str, period: str) -> int | None:
    """Return the number of whole cores in a cgroup's CPU quota.

    Args:
        quota: Microseconds of CPU time per period; "max", "-1" or "" for no limit.
        period: Microseconds.

    Returns:
        At least 1, or None if there is no limit.
    """
    if not (quota.isdigit() and period.isdigit() and int(period) > 0):
        return None
    return max(1, int(quota) // int(period))


def _cgroup_quota() -> tuple[str, str]:
    try:
        quota, period = _CGROUP_V2.read_text().split()
    except (OSError, ValueError):
        try:
            quota = _CGROUP_V1_QUOTA.read_text().strip()
            period = _CGROUP_V1_PERIOD.read_text().strip()
        except OSError:
            return "", ""
    return quota, period
