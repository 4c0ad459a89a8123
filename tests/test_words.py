"""Docstrings begin with a noun phrase or an imperative verb, not with a question or a relative clause."""

import ast
from collections.abc import Iterator
from pathlib import Path

import lit_shift

PACKAGE = Path(lit_shift.__file__).parent
UNFIT = {"What", "Whether", "How", "Of", "That", "Which", "Where", "For"}


def docstrings() -> Iterator[tuple[str, str]]:
    """Yield the location and text of every docstring of the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{path.relative_to(PACKAGE)}: {getattr(node, 'name', 'module')}"
                yield name, ast.get_docstring(node) or ""


def opens_badly(docstring: str) -> bool:
    """True if the first word of a docstring is one of :data:`UNFIT`, whatever punctuation follows it."""
    words = docstring.split(maxsplit=1)
    return bool(words) and words[0].rstrip(",.:;") in UNFIT


def test_docstrings_open_with_a_noun_or_a_verb():
    found = dict(docstrings())
    assert len(found) > 500
    assert [where for where, docstring in found.items() if opens_badly(docstring)] == []


def test_an_opening_that_does_not_fit_is_found():
    assert opens_badly("Whether it rains.")
    assert opens_badly("What: a riddle.")
    assert not opens_badly("Whatever it takes.")
    assert not opens_badly("")
