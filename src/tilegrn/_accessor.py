"""``mdata.grn``: the functions that take a MuData, on the MuData itself.

mudata has a place where packages register such names, once it is loaded. Whoever loads it, ``import tilegrn`` does not:
a finder waits for the import and registers then, whichever of both packages is imported first.
"""

from __future__ import annotations

import inspect
import re
import sys
from functools import wraps
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from mudata import MuData

__all__ = ["GRN", "Room", "bound", "register_once"]

NAME = "grn"
ROOMS = ("get", "io", "pl", "pp", "tl")


def data_parameter(function: Callable[..., Any]) -> str | None:
    """Name of the first parameter of a function that may be a MuData."""
    for parameter in inspect.signature(function).parameters.values():
        if str(parameter.annotation).startswith("MuData"):
            return parameter.name
    return None


def bound(function: Callable[..., Any], mdata: MuData) -> Callable[..., Any]:
    """Give a function its MuData; what is left has the signature and the docstring without that parameter."""
    taken = data_parameter(function)
    whole = inspect.signature(function)
    rest = whole.replace(parameters=[p for p in whole.parameters.values() if p.name != taken])

    @wraps(function)
    def method(*args: Any, **kwargs: Any) -> Any:
        return function(**{str(taken): mdata}, **rest.bind(*args, **kwargs).arguments)

    method.__signature__ = rest  # type: ignore[attr-defined]
    method.__doc__ = _without(str(taken), inspect.getdoc(function) or "")
    return method


def _without(name: str, doc: str) -> str:
    """Take a parameter out of a numpy docstring."""
    head, mark, tail = doc.partition("Parameters\n----------\n")
    inside = re.sub(rf"^{name}, (?=\w)|(?<=\w), {name}$", "", tail, count=1, flags=re.MULTILINE)
    if inside != tail:  # it shares its words with others
        return head + mark + inside
    inside = re.sub(rf"^{name}\n(?:[ ].*\n|\n(?=[ ]))+", "", tail, count=1, flags=re.MULTILINE)
    if inside.lstrip("\n").startswith(("Returns\n", "Raises\n")):  # it was the only one
        return head + inside.lstrip("\n")
    return head + mark + inside


class Room:
    """The functions of a part of tilegrn that take a MuData, with this one."""

    def __init__(self, name: str, mdata: MuData) -> None:
        self._name = name
        self._mdata = mdata

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in dir(self):
            msg = f"mdata.{NAME} has no '{name}' here; it has {', '.join(dir(self)) if name[:1] != '_' else 'others'}."
            raise AttributeError(msg)
        return bound(getattr(import_module(f"tilegrn.{self._name}"), name), self._mdata)

    def __dir__(self) -> list[str]:
        module = import_module(f"tilegrn.{self.__dict__['_name']}")
        things = ((n, getattr(module, n)) for n in module.__all__)
        return sorted(n for n, thing in things if inspect.isfunction(thing) and data_parameter(thing))

    def __repr__(self) -> str:
        return f"mdata.{NAME}.{self._name}: {', '.join(dir(self))}"


class GRN:
    """The rooms of tilegrn, whose functions work on this MuData.

    Parameters
    ----------
    mdata
        The MuData.
    """

    def __init__(self, mdata: MuData) -> None:
        self._mdata = mdata

    @property
    def get(self) -> Room:
        """Labelled tables."""
        return Room("get", self._mdata)

    @property
    def io(self) -> Room:
        """Files."""
        return Room("io", self._mdata)

    @property
    def pl(self) -> Room:
        """Plots."""
        return Room("pl", self._mdata)

    @property
    def pp(self) -> Room:
        """Preprocessing."""
        return Room("pp", self._mdata)

    @property
    def tl(self) -> Room:
        """Tools."""
        return Room("tl", self._mdata)

    def __repr__(self) -> str:
        return f"tilegrn on a MuData: mdata.{NAME}.{{{', '.join(ROOMS)}}}"


def _register(mudata: ModuleType) -> None:
    """Register the name, where mudata can and nobody else has it."""
    decorate = getattr(mudata, "register_mudata_namespace", None)
    if decorate is None or hasattr(mudata.MuData, NAME):
        return
    GRN.__init__.__annotations__["mdata"] = mudata.MuData  # it is checked, and resolved where there is no such import
    decorate(NAME)(GRN)


class _Waiting:
    """A finder that finds nothing, but has the name registered when mudata has been loaded."""

    def __init__(self) -> None:
        self._busy = False

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> ModuleSpec | None:
        if name != "mudata" or self._busy:
            return None
        self._busy = True
        try:
            spec = find_spec(name)
        finally:
            self._busy = False
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            _register(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def register_once() -> None:
    """Register ``mdata.grn`` now if mudata is loaded, else when it is."""
    loaded = sys.modules.get("mudata")
    if loaded is not None:
        _register(loaded)
    elif not any(isinstance(finder, _Waiting) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Waiting())
