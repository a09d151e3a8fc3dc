"""The kinds of devices that workers train on: what a worker requests from Ray, and the environment it needs."""

import importlib.metadata
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workers.errors import DeviceError, describe

CPU_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "JAX_PLATFORMS": "cpu",
}

GPU_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_gpu_deterministic_ops=true",
    "JAX_PLATFORMS": "",
}

TPU_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "XLA_FLAGS": "", "JAX_PLATFORMS": ""}


@dataclass(frozen=True)
class Device:
    """A kind of device; each worker has one device for itself."""

    name: str  # as JAX names its platform
    resource: str  # the name of one such device among Ray's resources
    environment: Mapping[str, str]  # variables of a worker's process, set before it imports JAX
    request: Mapping[str, Any] = field(default_factory=dict)  # options of a Ray actor, beside one CPU


CPU = Device("cpu", "CPU", CPU_ENVIRONMENT)
GPU = Device("gpu", "GPU", GPU_ENVIRONMENT, {"num_gpus": 1})
TPU = Device("tpu", "TPU", TPU_ENVIRONMENT, {"resources": {"TPU": 1}})

DEVICES = (GPU, TPU, CPU)
"""All kinds of devices, the best first."""


def device_of(resources: Mapping[str, float]) -> Device:
    """Choose what the workers of a cluster train on: the best kind of device that the cluster has.

    Args:
        resources: Those of the whole cluster, as `ray.cluster_resources` returns them, in use or not: while others use
            all accelerators, workers wait for one instead of training on another kind of device.
    """
    return next((device for device in DEVICES if resources.get(device.resource, 0) >= 1), CPU)


def device_here() -> str:
    """Start JAX in this process, and return what it computes on, as it names its platforms.

    Raises:
        DeviceError: If it cannot start what JAX_PLATFORMS asks for.
    """
    import jax

    try:
        return jax.default_backend()
    except Exception as error:  # JAX raises an AssertionError, too
        asked = f"'{name}'" if (name := os.environ.get("JAX_PLATFORMS")) else "its device"
        reason = describe(error).splitlines()[0].partition(" (set JAX_PLATFORMS")[0]
        raise DeviceError(
            f"JAX cannot start {asked} here ({reason}); right would be JAX_PLATFORMS=cpu, or to unset it, for the best "
            "device there is"
        ) from error


def jax_uses_gpus() -> bool:
    """Return whether the JAX that is installed here has the plugin it needs to compute on GPUs."""
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    return any(plugin.name.startswith(("xla_cuda", "xla_rocm")) for plugin in plugins)


def jax_uses_tpus() -> bool:
    """Return whether the JAX that is installed here has the library it needs to compute on TPUs."""
    return importlib.util.find_spec("libtpu") is not None
