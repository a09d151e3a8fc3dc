"""Programs by name: the seed programs, and .opt files."""

from importlib import resources
from pathlib import Path

from programs.parsing import MAX_BYTES, did_you_mean, parse
from programs.program import Program, ProgramError


def seed_programs() -> tuple[str, ...]:
    """Give the names of the seed programs, sorted."""
    folder = resources.files("programs") / "seeds"
    return tuple(sorted(entry.name[:-4] for entry in folder.iterdir() if entry.name.endswith(".opt")))


def load(name: str | Path) -> Program:
    """Read a seed program by its name, or an .opt file by its path.

    Raises:
        ProgramError: where there is neither, the file cannot be read, or it holds no program.
    """
    return parse(source_text(name))


def source_text(name: str | Path) -> str:
    """Give the text of a seed program or an .opt file, with its comment header (name, source).

    Raises:
        ProgramError: where there is neither, or the file cannot be read.
    """
    if str(name) in seed_programs():
        return (resources.files("programs") / "seeds" / f"{name}.opt").read_text(encoding="utf-8")
    path = Path(name)
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        if path.suffix == ".opt":
            raise ProgramError(f"there is no file {path}") from error
        raise ProgramError(
            f"no seed program is called '{name}'{did_you_mean(str(name), seed_programs())}; "
            f"there are {', '.join(seed_programs())}, or give a path to an .opt file"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise ProgramError(f"{str(path)[:200]} cannot be read: {reason}") from error
    if len(text) > MAX_BYTES:
        raise ProgramError(f"{path} has more than {MAX_BYTES} bytes, the most that is read")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProgramError(f"{path} is not UTF-8 text (byte {error.start})") from error
