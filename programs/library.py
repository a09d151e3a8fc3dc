"""Loading programs: seed programs by name, and .opt files by path."""

import os
import stat
from importlib import resources
from pathlib import Path

from programs.parsing import decode, did_you_mean, parse
from programs.program import Program, ProgramError
from programs.scanning import MAX_BYTES


def seed_programs() -> tuple[str, ...]:
    """Return the names of the seed programs, sorted."""
    folder = resources.files("programs") / "seeds"
    return tuple(sorted(entry.name[:-4] for entry in folder.iterdir() if entry.name.endswith(".opt")))


def load(name: str | Path) -> Program:
    """Read a seed program by its name, or an .opt file by its path.

    Raises:
        ProgramError: If there is neither, or the file cannot be read or holds no program.
    """
    return parse(source_text(name))


def source_text(name: str | Path) -> str:
    """Return the text of a seed program or an .opt file, with its comment header (name, source).

    Only regular files are read, and only up to the longest program's size, so that no FIFO or device can block.

    Raises:
        ProgramError: If there is neither, or the file cannot be read.
    """
    if str(name) in seed_programs():
        return (resources.files("programs") / "seeds" / f"{name}.opt").read_text(encoding="utf-8")
    path, shown = Path(name), _printable(str(name)[:200])
    try:
        content = _content(path)
    except FileNotFoundError as error:
        if path.is_symlink():
            raise ProgramError(f"{shown} cannot be read: it is a link to a missing file") from error
        if path.suffix == ".opt":
            raise ProgramError(f"there is no file {shown}") from error
        raise ProgramError(
            f"no seed program is called '{shown}'{did_you_mean(shown, seed_programs())}; "
            "`pride show --help` lists them all, or give a path to an .opt file"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise ProgramError(f"{shown} cannot be read: {reason}") from error
    if content is None:
        raise ProgramError(f"{shown} cannot be read: it is not a regular file")
    if len(content) > MAX_BYTES:
        raise ProgramError(f"{shown} has more than {MAX_BYTES} bytes, the most that is read")
    try:
        return decode(content)
    except UnicodeDecodeError as error:
        raise ProgramError(f"{shown} is not UTF-8 text (byte {error.start})") from error


def _content(path: Path) -> bytes | None:
    """Return a file's beginning, up to one byte more than a program may have; None if it is not a regular file."""
    with open(path, "rb", opener=_open_at_once) as file:
        return file.read(MAX_BYTES + 1) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None


def _open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting for a writer, as opening a FIFO would."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
