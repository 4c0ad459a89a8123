"""Boxes around objects, read one at a time from the annotation formats of data sets.

Memory does not grow with the number of boxes or files, except that the images and categories of a COCO file are held,
since its boxes refer to them.
"""

import csv
import math
import os
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TextIO
from xml.etree import ElementTree
from xml.parsers.expat import ErrorString

import ijson

from lit_shift.utils.errors import InputError
from lit_shift.utils.files import decode, encoding, given, hidden, read_text

COLUMNS = ["image", "category", "width", "height", "xmin", "ymin", "xmax", "ymax"]


class Box(NamedTuple):
    """A box around an object.

    ``width`` and ``height`` are those of the image. They and the box's edges are in pixels, measured from the image's
    upper left corner; a box inside its image has 0 <= xmin < xmax <= width. ``image`` is the name of its file, None if
    the data set gives none. ``where`` tells people where the box was read.
    """

    image: str | None
    category: str
    width: float
    height: float
    xmin: float
    ymin: float
    xmax: float
    ymax: float
    where: str


Make = Callable[[], Box]  # reads one box; raises an InputError if this box alone is faulty


def read(path: Path, skip: Callable[[str], None] | None = None) -> Iterator[Box]:
    """Read the boxes of a data set, in no particular order.

    Args:
        path: a folder tree of PASCAL VOC XML files, as ImageNet has them, or a single one; COCO's
            ``instances_*.json``; or a CSV file whose header is :data:`COLUMNS`. Hidden files are ignored.
        skip: called with a sentence for each box that is empty, reaches outside its image or lacks a value, and for
            each file of a folder that is not XML. These are left out. If None, they are errors.

    Raises:
        InputError: immediately, if the path does not exist or has an unknown format; while reading, if a file as a
            whole is malformed, or for what ``skip`` would be told. It names the file and the line or object.
    """
    path = given(path)
    if not path.exists():
        raise InputError(f"There is no file or folder {str(path)!r}.")
    reader = _voc if path.is_dir() else READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path} must be a folder of .xml files, or a file with the suffix {', '.join(READERS)}.")
    return _good(reader(path), skip)


def _good(makes: Iterator[Make], skip: Callable[[str], None] | None) -> Iterator[Box]:
    for make in makes:
        try:
            box = make()
            _check(box)
        except InputError as flaw:
            if skip is None:
                raise
            skip(str(flaw))
        else:
            yield box


def _check(box: Box) -> None:
    width, height, xmin, ymin, xmax, ymax = box[2:8]
    if width > 0 and height > 0 and 0 <= xmin < xmax <= width and 0 <= ymin < ymax <= height:
        return
    size = f"{width:.10g} x {height:.10g} pixels"
    if width <= 0 or height <= 0:
        raise InputError(f"{box.where}: the image has a size of {size}.")
    edges = ", ".join(f"{name} {value:.10g}" for name, value in zip(COLUMNS[4:], box[4:8], strict=True))
    empty = xmin >= xmax or ymin >= ymax
    raise InputError(
        f"{box.where}: the box ({edges}) {'is empty' if empty else f'reaches outside its image of {size}'}."
    )


def _number(value: Any, name: str, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{where}: {name} is {str(value)!r}, which is not a number.")
    return number


def _open(path: Path) -> TextIO:
    with path.open("rb") as file:
        start = file.read(4)
    return path.open(encoding=encoding(start), newline="")


def _csv(path: Path) -> Iterator[Make]:
    with _open(path) as file:
        rows = csv.reader(file, strict=True)
        try:
            if next(rows, None) != COLUMNS:
                raise InputError(f"{path}, line 1: the header must be {','.join(COLUMNS)}.")
            for row in filter(None, rows):  # without blank lines
                yield partial(_of_row, row, f"{path}, line {rows.line_num}")
        except csv.Error as error:
            raise InputError(f"{path}, line {rows.line_num}: {error}.") from error
        except UnicodeDecodeError:
            read_text(path)  # its error names the line
            raise


def _of_row(row: list[str], where: str) -> Box:
    if len(row) != len(COLUMNS) or not all(row[1:]):
        raise InputError(f"{where}: there must be a value for each of {','.join(COLUMNS)}.")
    numbers = [_number(value, name, where) for name, value in zip(COLUMNS[2:], row[2:], strict=True)]
    return Box._make((row[0] or None, row[1], *numbers, where))


def _coco(path: Path) -> Iterator[Make]:
    images = {key: image for key, *image in _table(path, "images", "file_name", "width", "height")}
    if not images:
        raise InputError(f"{path} lists no images, as COCO's instances_*.json does.")
    categories = {key: category for key, *category in _table(path, "categories", "name")}
    for where, annotation in _items(path, "annotations"):
        yield partial(_of_annotation, annotation, images, categories, where)


def _table(path: Path, key: str, *names: str) -> Iterator[tuple[Any, ...]]:
    """Yield the id, the location and the fields of each entry of a list. Missing fields are None.

    Entries without an id are skipped, since no box can refer to them.
    """
    for where, item in _items(path, key):
        if isinstance(item, dict) and item.get("id") is not None:
            yield str(item["id"]), where, *(item.get(name) for name in names)


def _of_annotation(annotation: Any, images: dict[str, Any], categories: dict[str, Any], where: str) -> Box:
    of_image, image, *sides = _referred(images, annotation, "image_id", where)
    width, height = (
        _number(_given(side, name, of_image), name, of_image)
        for side, name in zip(sides, ("width", "height"), strict=True)
    )
    of_category, category = _referred(categories, annotation, "category_id", where)
    bbox = _given(annotation.get("bbox"), "bbox", where)
    if not (isinstance(bbox, list) and len(bbox) == 4 and all(isinstance(value, int | Decimal) for value in bbox)):
        raise InputError(f"{where}: bbox must be four numbers, x, y, width and height.")
    left, top, across, down = bbox  # decimals, so that rounding cannot push a box out of its image
    edges = (_number(edge, "bbox", where) for edge in (left, top, left + across, top + down))
    name = None if image is None else str(image)
    return Box._make((name, str(_given(category, "name", of_category)), width, height, *edges, where))


def _items(path: Path, key: str) -> Iterator[tuple[str, Any]]:
    """Yield the location and content of each entry of a list in a JSON file."""
    with _open(path) as file:
        lines = _Lines(file)
        try:
            for place, item in enumerate(ijson.items(lines, f"{key}.item")):
                yield f"{path}, {key}[{place}]", item
        except (ijson.JSONError, ArithmeticError) as error:
            raise InputError(f"{path}, line {lines.number}: this is not JSON, or was cut short.") from error
        except UnicodeDecodeError:
            read_text(path)  # its error names the line
            raise


class _Lines:
    """File-like object that serves a text as UTF-8, one line at most per read, so that a parser's line is known."""

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.number = 1
        self.ended = False

    def read(self, size: int) -> bytes:
        piece = self.file.readline(size)
        if piece:
            self.number += self.ended
            self.ended = piece.endswith("\n")
        return piece.encode()


def _given(value: Any, name: str, where: str) -> Any:
    if value is None:
        raise InputError(f"{where}: {name} is missing.")
    return value


def _referred(table: dict[str, Any], annotation: Any, name: str, where: str) -> Any:
    key = str(_given(annotation.get(name) if isinstance(annotation, dict) else None, name, where))
    if key not in table:
        raise InputError(f"{where}: there is no {name.removesuffix('_id')} with the id {key}.")
    return table[key]


def _voc(path: Path) -> Iterator[Make]:
    where = None
    for where in _xml_files(str(path)):
        try:
            root = _parsed(where)
        except InputError as error:
            if not path.is_dir():
                raise
            yield partial(_raise, error)
            continue
        for place, found in enumerate(root.iterfind("object"), start=1):
            yield partial(_of_object, found, root, where, place)
    if where is None:
        raise InputError(f"{path} holds no XML file.")


def _raise(error: InputError) -> Box:
    raise error


def _of_object(found: ElementTree.Element, root: ElementTree.Element, file: str, place: int) -> Box:
    width, height = (_number(_text(root, tag, file), tag, file) for tag in ("size/width", "size/height"))
    where = f"{file}, object {place}"
    tags = [f"bndbox/{name}" for name in COLUMNS[4:]]
    edges = (_number(_text(found, tag, where), tag, where) for tag in tags)
    image = (root.findtext("filename") or "").strip() or None
    return Box._make((image, _text(found, "name", where), width, height, *edges, where))


def _xml_files(path: str) -> Iterator[str]:
    if not os.path.isdir(path):
        yield path
        return
    with os.scandir(path) as entries:  # unsorted, because a list of all entries could be long
        for entry in entries:
            if not hidden(entry.name) and (entry.is_dir() or entry.name.lower().endswith(".xml")):
                yield from _xml_files(entry.path)


def _parsed(file: str) -> ElementTree.Element:
    """Parse an XML file in the encoding that it declares and return its root."""
    with open(file, "rb") as opened:  # not a Path, which would intern each name forever
        content = opened.read()
    declaration = re.match(rb"""<\?xml[^>]*\sencoding\s*=\s*["']([^"']*)""", content)
    declared = declaration[1].decode("latin-1") if declaration else None
    try:
        try:
            return ElementTree.fromstring(content)
        except (ValueError, LookupError):  # expat knows few encodings itself
            return ElementTree.fromstring(decode(content, file, declared))
    except ElementTree.ParseError as error:
        decode(content, file, declared)  # expat blames the markup for bytes that are not text
        reason = ErrorString(error.code)
        raise InputError(f"{file}, line {error.position[0]}: this is not XML ({reason}).") from error


def _text(element: ElementTree.Element, tag: str, where: str) -> str:
    text = (element.findtext(tag) or "").strip()
    if not text:
        raise InputError(f"{where}: {tag} is missing.")
    return text


READERS: dict[str, Callable[[Path], Iterator[Make]]] = {".csv": _csv, ".json": _coco, ".xml": _voc}
