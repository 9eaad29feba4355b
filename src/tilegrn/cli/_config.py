"""Options of a command from a YAML file; the command line takes precedence."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["add_config", "as_yaml", "with_config"]

_NOT_THE_RESULT = frozenset({"out", "folder", "checkpoint", "force", "quiet", "verbose", "debug"})
"""Options that do not decide on what comes out."""


def add_config(parser: argparse.ArgumentParser) -> None:
    """Let a command take its options from a file."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="YAML",
        help="options from a YAML file, one 'name: value' a line, named as here without the dashes; options given on "
        "the command line take precedence",
    )


def with_config(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Read the file that ``--config`` names into the defaults of the command's parser.

    Raises
    ------
    InputError
        If the file is no mapping of this command's options, or a value does not fit its option.
    """
    file = _named(argv)
    command = next((commands.choices.get(argv[0]) for commands in _commands(parser) if argv), None)
    if file is None or command is None:
        return
    actions = {name: action for action in command._actions for name in _names(action)}
    for name, value in _read(file).items():
        key = str(name).replace("_", "-")
        if key not in actions:
            known = ", ".join(sorted({max(_names(a), key=len) for a in command._actions if _names(a)}))
            msg = f"'{file}' names the option '{name}', which 'tilegrn {argv[0]}' does not have. It has: {known}."
            raise InputError(msg)
        action = actions[key]
        action.default = _fitting(action, value, f"'{file}': {name}")
        action.required = False
        if not action.option_strings:
            action.nargs = "?"


def as_yaml(parser: argparse.ArgumentParser, options: argparse.Namespace) -> str:
    """Write the options of a command, defaults included, as a file that ``--config`` takes; paths in full."""
    import yaml

    name = options.argv[0]
    command = next(commands.choices[name] for commands in _commands(parser))
    found = {}
    for action in command._actions:
        value = getattr(options, action.dest, None)
        if not _names(action) or action.dest in _NOT_THE_RESULT or value is None or value == []:
            continue
        if isinstance(value, Path) or (isinstance(value, str) and Path(value).is_file()):
            value = str(Path(value).absolute())
        found[max(_names(action), key=len)] = value
    head = f"# tilegrn {name} --config options.yaml does the same again\n"
    return head + str(yaml.safe_dump(found, sort_keys=False))


def _named(argv: Sequence[str]) -> Path | None:
    for i, word in enumerate(argv):
        if word == "--config" and i + 1 < len(argv):
            return Path(argv[i + 1])
        if word.startswith("--config="):
            return Path(word.partition("=")[2])
    return None


def _commands(parser: argparse.ArgumentParser) -> list[Any]:
    return [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]


def _names(action: argparse.Action) -> list[str]:
    """How a file may call an option: as the command line does, without dashes."""
    if action.dest in {"help", "config", "==SUPPRESS=="}:
        return []
    return [word.lstrip("-") for word in action.option_strings] or [action.dest.replace("_", "-")]


def _read(file: Path) -> dict[Any, Any]:
    import yaml

    from tilegrn._core.text import existing_file

    try:
        found = yaml.safe_load(existing_file(file, "The file of options").read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as err:
        msg = f"'{file}' is no YAML: {err}"
        raise InputError(msg) from err
    if not isinstance(found, dict):
        msg = f"'{file}' holds no options: one 'name: value' a line is expected, such as 'genome: mm10'."
        raise InputError(msg)
    return found


def _fitting(action: argparse.Action, value: Any, where: str) -> Any:
    """Bring a value to what the command line would have made of it."""
    if action.nargs == 0:  # a switch
        if not isinstance(value, bool):
            msg = f"{where} is a switch: true or false, not {value!r}."
            raise InputError(msg)
        return value
    if value is None:
        return action.default
    many = value if isinstance(value, list) else [value]
    if (isinstance(value, list) and action.nargs != "+") or any(isinstance(v, list | dict | bool) for v in many):
        msg = f"{where} takes {'words' if action.nargs == '+' else 'one value'}, not {value!r}."
        raise InputError(msg)
    out = []
    for one in many:
        try:
            made = action.type(str(one)) if callable(action.type) else str(one)
        except (ValueError, TypeError, argparse.ArgumentTypeError) as err:
            msg = f"{where} is {one!r}: {err}."
            raise InputError(msg) from err
        if action.choices is not None and made not in action.choices:
            msg = f"{where} is {one!r}; there are: {', '.join(map(str, action.choices))}."
            raise InputError(msg)
        out.append(made)
    return out if action.nargs == "+" else out[0]
