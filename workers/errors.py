"""What goes wrong with pools, and exceptions in a line."""


class PoolError(RuntimeError):
    """A pool cannot work: its workers do not start, or it is closed."""


class DeviceError(RuntimeError):
    """JAX cannot start the device that its environment asks for."""


def describe(error: BaseException) -> str:
    """Return an exception's type and text, as in "ValueError: no such task"."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
