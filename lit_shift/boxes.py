"""Boxes around objects, one at a time, in whatever format a data set gives them.

Memory does not grow with the number of boxes or files; of a COCO file the images and categories are held, which its
boxes refer to.
"""

import csv
import math
import os
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, NamedTuple
from xml.etree import ElementTree
from xml.parsers.expat import ErrorString

import ijson

from lit_shift.errors import InputError
from lit_shift.files import given

COLUMNS = ["image", "category", "width", "height", "xmin", "ymin", "xmax", "ymax"]


class Box(NamedTuple):
    """A box around an object.

    ``width`` and ``height`` of the image and the box's edges are in pixels, from the image's upper left corner: a box
    inside its image has 0 <= xmin < xmax <= width. ``where`` it was read is for people.
    """

    image: str
    category: str
    width: float
    height: float
    xmin: float
    ymin: float
    xmax: float
    ymax: float
    where: str


def read(path: Path, skip: Callable[[str], None] | None = None) -> Iterator[Box]:
    """The boxes of a data set, in no particular order.

    Args:
        path: a folder tree of PASCAL VOC's XML files, as ImageNet's, or one such file; COCO's ``instances_*.json``; or
            a CSV file whose header is :data:`COLUMNS`.
        skip: is told, in a sentence, of each box that is empty, reaches outside its image or has an image without a
            size, which is then left out; None takes such a box as an error.

    Raises:
        InputError: at once where there is no such path or no such format; while reading for a file that is malformed
            or lacks something, with the file and the line or object.
    """
    path = given(path)
    if not path.exists():
        raise InputError(f"There is no file or folder {str(path)!r}.")
    reader = _voc if path.is_dir() else READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path} must be a folder of .xml files, or a file with the suffix {', '.join(READERS)}.")
    return _checked(reader(path), skip)


def _checked(boxes: Iterator[Box], skip: Callable[[str], None] | None) -> Iterator[Box]:
    for box in boxes:
        flaw = _flaw(box)
        if flaw is None:
            yield box
        elif skip is None:
            raise InputError(flaw)
        else:
            skip(flaw)


def _flaw(box: Box) -> str | None:
    width, height, xmin, ymin, xmax, ymax = box[2:8]
    if width > 0 and height > 0 and 0 <= xmin < xmax <= width and 0 <= ymin < ymax <= height:
        return None
    size = f"{width:.10g} x {height:.10g} pixels"
    if width <= 0 or height <= 0:
        return f"{box.where}: the image has a size of {size}."
    edges = ", ".join(f"{name} {value:.10g}" for name, value in zip(COLUMNS[4:], box[4:8], strict=True))
    empty = xmin >= xmax or ymin >= ymax
    return f"{box.where}: the box ({edges}) {'is empty' if empty else f'reaches outside its image of {size}'}."


def _number(value: Any, name: str, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{where}: {name} is {str(value)!r}, which is no number.")
    return number


def _csv(path: Path) -> Iterator[Box]:
    with path.open("rb") as file:
        rows = csv.reader((line.decode("utf-8-sig") for line in file), strict=True)
        try:
            if next(rows, None) != COLUMNS:
                raise InputError(f"{path}, line 1: the header must be {','.join(COLUMNS)}.")
            for row in filter(None, rows):  # without blank lines
                where = f"{path}, line {rows.line_num}"
                if len(row) != len(COLUMNS) or not all(row):
                    raise InputError(f"{where}: there must be a value for each of {','.join(COLUMNS)}.")
                numbers = [_number(value, name, where) for name, value in zip(COLUMNS[2:], row[2:], strict=True)]
                yield Box._make((row[0], row[1], *numbers, where))
        except csv.Error as error:
            raise InputError(f"{path}, line {rows.line_num}: {error}.") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{path}, line {rows.line_num + 1} is not UTF-8 text.") from error


def _coco(path: Path) -> Iterator[Box]:
    images = {}
    for where, image in _items(path, "images"):
        size = [_number(_field(image, name, where), name, where) for name in ("width", "height")]
        images[str(_field(image, "id", where))] = (str(_field(image, "file_name", where)), *size)
    if not images:
        raise InputError(f"{path} lists no images, as COCO's instances_*.json does.")
    categories = {
        str(_field(category, "id", where)): str(_field(category, "name", where))
        for where, category in _items(path, "categories")
    }
    for where, annotation in _items(path, "annotations"):
        image, width, height = _referred(images, annotation, "image_id", where)
        category = _referred(categories, annotation, "category_id", where)
        bbox = _field(annotation, "bbox", where)
        if not (isinstance(bbox, list) and len(bbox) == 4 and all(isinstance(value, int | Decimal) for value in bbox)):
            raise InputError(f"{where}: bbox must be four numbers, x, y, width and height.")
        left, top, across, down = bbox  # decimal, so that the sums do not round a box out of its image
        edges = (_number(edge, "bbox", where) for edge in (left, top, left + across, top + down))
        yield Box._make((image, category, width, height, *edges, where))


def _items(path: Path, key: str) -> Iterator[tuple[str, Any]]:
    """Where it is and what it is, of each entry of a list in a JSON file."""
    with path.open("rb") as file:
        lines = _Lines(file)
        try:
            for place, item in enumerate(ijson.items(lines, f"{key}.item")):
                yield f"{path}, {key}[{place}]", item
        except (ijson.JSONError, ArithmeticError) as error:
            raise InputError(f"{path}, line {lines.number}: this is not JSON, or was cut short.") from error


class _Lines:
    """A file that is read a line at a time at most, so that the line in which a parser stops is known."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.number = 1
        self.ended = False

    def read(self, size: int) -> bytes:
        piece = self.file.readline(size)
        if piece:
            self.number += self.ended
            self.ended = piece.endswith(b"\n")
        return piece


def _field(record: Any, name: str, where: str) -> Any:
    if not isinstance(record, dict) or record.get(name) is None:
        raise InputError(f"{where}: {name} is missing.")
    return record[name]


def _referred(table: dict[str, Any], annotation: Any, name: str, where: str) -> Any:
    key = str(_field(annotation, name, where))
    if key not in table:
        raise InputError(f"{where}: there is no {name.removesuffix('_id')} with the id {key}.")
    return table[key]


def _voc(path: Path) -> Iterator[Box]:
    where = None
    for where in _xml_files(str(path)):
        try:
            root = ElementTree.parse(where).getroot()
        except ElementTree.ParseError as error:
            reason = ErrorString(error.code)
            raise InputError(f"{where}, line {error.position[0]}: this is not XML ({reason}).") from error
        except (ValueError, LookupError) as error:
            raise InputError(f"{where}: this is not XML ({error}).") from error
        image = _text(root, "filename", where)
        width, height = (_number(_text(root, tag, where), tag, where) for tag in ("size/width", "size/height"))
        for place, found in enumerate(root.iterfind("object"), start=1):
            at = f"{where}, object {place}"
            tags = [f"bndbox/{name}" for name in COLUMNS[4:]]
            edges = (_number(_text(found, tag, at), tag, at) for tag in tags)
            yield Box._make((image, _text(found, "name", at), width, height, *edges, at))
    if where is None:
        raise InputError(f"{path} holds no XML file.")


def _xml_files(path: str) -> Iterator[str]:
    if not os.path.isdir(path):
        yield path
        return
    with os.scandir(path) as entries:  # in whatever order: a list of them all could be long
        for entry in entries:
            if entry.is_dir() or entry.name.lower().endswith(".xml"):
                yield from _xml_files(entry.path)


def _text(element: ElementTree.Element, tag: str, where: str) -> str:
    text = (element.findtext(tag) or "").strip()
    if not text:
        raise InputError(f"{where}: {tag} is missing.")
    return text


READERS: dict[str, Callable[[Path], Iterator[Box]]] = {".csv": _csv, ".json": _coco, ".xml": _voc}
