"""The site's API pages: one for each room of the package, made from its docstrings."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PACKAGE = Path(__file__).parents[1] / "lit_shift"
ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`~?([\w.]+)`")


def rooms() -> dict[str, list[str]]:
    """The dotted names of each room's modules, by the name of the room; a module beside the rooms is one of its own."""
    found: dict[str, list[str]] = {}
    for file in sorted(PACKAGE.rglob("[!_]*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        found.setdefault(parts[0], []).append(".".join((PACKAGE.name, *parts)))
    return found


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages into the navigation, where it says API."""
    pages = [{room: f"api/{room}.md"} for room in rooms()]
    config.nav = [entry if entry != "API" else {"API": pages} for entry in config.nav or []]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Write the pages: what the room is for, then its modules."""
    for room, modules in rooms().items():
        options = "{show_root_heading: false}"
        if (whole := f"{PACKAGE.name}.{room}") not in modules:
            modules, options = [whole, *modules], "{show_root_heading: false, members: false}"
        text = f"# {whole}\n" + "".join(f"\n::: {module}\n" for module in modules)
        text = text.replace(f"::: {whole}\n", f"::: {whole}\n    options: {options}\n")
        files.append(File.generated(config, f"api/{room}.md", content=text))
    return files


class Roles(griffe.Extension):
    """Turn ``:func:`lit_shift.orbit.orbit_logits``` into a link, where its target is documented."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        for obj in _objects(pkg):
            if obj.docstring:
                obj.docstring.value = ROLE.sub(lambda role: _link(obj, role[1]), obj.docstring.value)  # noqa: B023


def _objects(parent: griffe.Object) -> Iterator[griffe.Object]:
    yield parent
    for member in parent.members.values():
        if not member.is_alias:
            yield from _objects(member)  # type: ignore[arg-type]


def _link(scope: griffe.Object, name: str) -> str:
    """Markdown for a name in a docstring; one that does not exist stays a link, for ``--strict`` to refuse."""
    try:
        path = name if name.startswith(f"{PACKAGE.name}.") else scope.resolve(name)
        documented = scope.package[path.removeprefix(f"{PACKAGE.name}.")].has_docstring
    except (griffe.NameResolutionError, KeyError):
        path, documented = name, True
    return f"[`{name}`][{path}]" if documented else f"`{name}`"
