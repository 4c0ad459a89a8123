"""Modules that are altered in place: their class becomes a subclass, and everything else of them stays."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

Recipe = tuple[
    type, Any, Mapping[str, Any]
]  # what a class is made of: the alteration, the class before, its attributes


class Altered(nn.Module):
    """Base of alterations. Their classes are made when needed, so copies and pickles hold what they are made of."""

    recipe: ClassVar[Recipe]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _remade, (self.recipe,), self.__dict__


def alter(module: nn.Module, way: type[Altered], **attributes: Any) -> None:
    """Alter a module in place.

    Args:
        module: the module.
        way: a class whose ``forward`` may call the module's own as ``super().forward``.
        attributes: of the new class.
    """
    before = type(module)
    module.__class__ = _class((way, getattr(before, "recipe", before), attributes))


def _class(recipe: Recipe) -> type:
    way, before, attributes = recipe
    base = _class(before) if isinstance(before, tuple) else before
    members = {"__module__": base.__module__, "recipe": recipe} | dict(attributes)
    return type(f"Antialiased{base.__name__.removeprefix('Antialiased')}", (way, base), members)


def _remade(recipe: Recipe) -> nn.Module:
    made: nn.Module = object.__new__(_class(recipe))
    return made
