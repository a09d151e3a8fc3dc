"""Ray's private parts that tests use, as workers/ray_private.py holds those that Pride uses; see there."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def is_left_out(folder: Path, patterns: Sequence[str]) -> Callable[[Path], bool]:
    """Return by what Ray decides which files of a folder it does not send to a cluster."""
    from ray._private.runtime_env.packaging import _get_excludes

    return _get_excludes(folder, list(patterns))


def checked_cluster(config: dict[str, Any]) -> dict[str, Any]:
    """Fill in a file of `ray up` as Ray does, and check it with Ray's own schema."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(config)
    validate_config(prepared)
    return prepared
