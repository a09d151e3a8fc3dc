"""The configs of runs: as a run was made, and as it is resolved now."""

import os

import pydantic

from evolve.config import strict_yaml
from evolve.config.files import load_config
from evolve.config.settings import Config
from evolve.errors import BadProgramOrData, UsageError
from evolve.store.reader import RunReader


def run_config(store: RunReader) -> Config:
    """Return a run's config as it was resolved.

    Raises:
        BadProgramOrData: If the file is missing or damaged.
    """
    path = str(store.folder / "resolved.yaml")
    if not os.path.isfile(path):
        raise BadProgramOrData(f"run {store.name} is damaged: there is no {path}")
    try:
        return load_config(path)
    except UsageError as error:
        raise BadProgramOrData(f"run {store.name} is damaged: {error}") from error


def made_config(store: RunReader) -> Config:
    """Return the config that a run was made with, which `run.db` holds even if the file has changed since.

    Raises:
        BadProgramOrData: If it is damaged.
    """
    text = store.meta.get("config")
    if text is None:  # the run holds none
        return run_config(store)
    try:
        return Config.model_validate(strict_yaml.parse(text, "run.db").value)
    except (UsageError, pydantic.ValidationError) as error:
        raise BadProgramOrData(f"run {store.name} is damaged: its run.db holds no config: {error}") from error
