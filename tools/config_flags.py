"""Flags from the fields of a frozen configuration, and back: one list of names and defaults."""

import dataclasses
from typing import Any

from absl import flags

flags.disclaim_key_flags()

_DEFINE = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_boolean,
}


def define(config_class: type, skip: tuple[str, ...] = ()) -> None:
    """Defines a flag for every field, with its help, default and choices.

    Args:
        config_class: A frozen dataclass of pgan/config.py; nested ones are left to their own call.
        skip: Fields that are no flags.
    """
    for field in dataclasses.fields(config_class):
        text, choices = field.metadata.get("help"), field.metadata.get("choices")
        if text is None or field.name in skip:
            continue
        if field.type is str and choices:
            flags.DEFINE_enum(field.name, field.default, choices, text)
        elif field.type in _DEFINE:
            _DEFINE[field.type](field.name, field.default, text)
        else:
            flags.DEFINE_list(field.name, list(field.default), text)


def build(config_class: type, **values: Any) -> Any:
    """Builds the configuration from the parsed flags.

    Args:
        config_class: As for `define`.
        **values: Fields that are no flags.

    Raises:
        ValueError: If the configuration refuses a value.
    """
    for field in dataclasses.fields(config_class):
        if field.name not in values and field.name in flags.FLAGS:
            value = flags.FLAGS[field.name].value
            values[field.name] = tuple(value) if isinstance(value, list) else value
    return config_class(**values)


def as_flag_file(names: list[str]) -> str:
    """Text of a flag file that sets the named flags to their present values."""
    return "".join(f"{flags.FLAGS[name].serialize()}\n" for name in names if _is_set(name))


def _is_set(name: str) -> bool:
    return flags.FLAGS[name].value is not None
