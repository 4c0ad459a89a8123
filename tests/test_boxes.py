"""One set of boxes in every format; what is wrong with a file is said in a sentence."""

import csv
import json
import re
import tracemalloc

import numpy as np
import pytest

from lit_shift.boxes import COLUMNS, Box, read
from lit_shift.utils.errors import InputError

BOXES = [
    Box("one.jpg", "dog", 100, 80, 0, 0, 100, 80, ""),  # the whole image
    Box("two.jpg", "cat", 50, 60, 10, 20, 11, 60, ""),
    Box("two.jpg", "dog", 50, 60, 0.25, 1.5, 49.75, 30, ""),
]


def random_boxes(count, categories=("cat", "dog"), images=None, seed=0):
    rng = np.random.default_rng(seed)
    for place in range(count):
        image = place % (images or count)
        width, height = 100 + image % 7, 80 + image % 5
        (xmin, xmax), (ymin, ymax) = (sorted(rng.choice(side + 1, 2, replace=False)) for side in (width, height))
        category = categories[rng.integers(len(categories))]
        yield Box(f"{image}.jpg", category, width, height, int(xmin), int(ymin), int(xmax), int(ymax), "")


def write_csv(path, boxes):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(box[:-1] for box in boxes)
    return path


def coco(boxes):
    boxes = list(boxes)
    images = {box.image: {"file_name": box.image, "width": box.width, "height": box.height} for box in boxes}
    categories = sorted({box.category for box in boxes})
    number = {name: place for place, name in enumerate(images, start=100)}
    return {
        "info": {"year": 2017},
        "annotations": [
            {
                "id": place,
                "image_id": number[box.image],
                "category_id": categories.index(box.category),
                "segmentation": [[1.5, 2.5]],
                "bbox": [box.xmin, box.ymin, box.xmax - box.xmin, box.ymax - box.ymin],
            }
            for place, box in enumerate(boxes)
        ],
        "images": [{"id": number[name], **image} for name, image in images.items()],
        "categories": [{"id": place, "name": name} for place, name in enumerate(categories)],
    }


def write_coco(path, boxes):
    path.write_text(json.dumps(coco(boxes)))
    return path


def documents(boxes):
    of_image = {}
    for box in boxes:
        of_image.setdefault(box.image, []).append(box)
    for image, found in of_image.items():
        objects = "".join(
            f"<object>\n<name>{box.category}</name><bndbox><xmin>{box.xmin}</xmin><ymin>{box.ymin}</ymin>"
            f"<xmax>{box.xmax}</xmax><ymax>{box.ymax}</ymax></bndbox></object>\n"
            for box in found
        )
        size = f"<size><width>{found[0].width}</width>\n<height>{found[0].height}</height></size>"
        yield image, f"<annotation>\n<filename>{image}</filename>\n{size}\n{objects}</annotation>\n"


def write_voc(folder, boxes):
    for place, (image, text) in enumerate(documents(boxes)):
        file = folder / f"part{place % 2}" / "deeper" / f"{image}.xml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


FORMATS = {"boxes.csv": write_csv, "coco.json": write_coco, "voc": write_voc}


def found(path, **options):
    return sorted(box[:-1] for box in read(path, **options))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_holds_the_same_boxes(tmp_path, name):
    assert found(FORMATS[name](tmp_path / name, BOXES)) == sorted(box[:-1] for box in BOXES)
    boxes = list(random_boxes(50, images=20))
    assert found(FORMATS[name](tmp_path / f"more-{name}", boxes)) == sorted(box[:-1] for box in boxes)


def test_a_single_xml_file_and_one_without_objects(tmp_path):
    folder = write_voc(tmp_path / "voc", BOXES)
    assert found(folder / "part0" / "deeper" / "one.jpg.xml") == [BOXES[0][:-1]]
    (folder / "empty.XML").write_text(next(documents([BOXES[0]]))[1].replace("object>", "thing>"))
    assert len(found(folder)) == 3
    assert found(folder / "empty.XML") == []


def test_where_a_box_was_read(tmp_path):
    wheres = [box.where for box in read(write_csv(tmp_path / "boxes.csv", BOXES))]
    assert wheres == [f"{tmp_path}/boxes.csv, line {line}" for line in (2, 3, 4)]
    wheres = [box.where for box in read(write_coco(tmp_path / "coco.json", BOXES))]
    assert wheres == [f"{tmp_path}/coco.json, annotations[{place}]" for place in (0, 1, 2)]
    wheres = sorted(box.where for box in read(write_voc(tmp_path / "voc", BOXES)))
    assert wheres[-1] == f"{tmp_path}/voc/part1/deeper/two.jpg.xml, object 2"


def test_csv_as_spreadsheets_write_it(tmp_path):
    path = tmp_path / "boxes.CSV"
    text = ",".join(COLUMNS) + '\n"a, b.jpg","dog ""x""",10,10,1,1,2,2\n\n'
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert found(path) == [("a, b.jpg", 'dog "x"', 10, 10, 1, 1, 2, 2)]


def test_decimals_of_coco_are_added_without_rounding(tmp_path):
    assert 0.1 + 0.2 > 0.3
    path = write_coco(tmp_path / "coco.json", [Box("a", "dog", 0.3, 0.3, 0, 0, 0.1, 0.1, "")])
    path.write_text(path.read_text().replace("[0, 0, 0.1, 0.1]", "[0.1, 0.1, 0.2, 0.2]"))
    assert found(path) == [("a", "dog", 0.3, 0.3, 0.1, 0.1, 0.3, 0.3)]


def refused(path):
    with pytest.raises(InputError) as error:
        list(read(path))
    message = str(error.value)
    assert message.endswith(".")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"xmax": 51}, "reaches outside its image of 50 x 60 pixels"),
        ({"xmin": -1}, "reaches outside its image"),
        ({"ymin": -0.5}, "reaches outside its image"),
        ({"ymax": 60.25}, "(xmin 10, ymin 20, xmax 11, ymax 60.25) reaches outside its image"),
        ({"xmin": 11}, "(xmin 11, ymin 20, xmax 11, ymax 60) is empty."),
        ({"ymax": 20}, "is empty"),
        ({"ymax": 19}, "is empty"),
        ({"width": 0}, "the image has a size of 0 x 60 pixels"),
        ({"height": -60}, "the image has a size of 50 x -60 pixels"),
    ],
)
def test_a_box_that_cannot_be_is_an_error_or_skipped(tmp_path, name, change, sentence):
    bad = BOXES[1]._replace(image="bad.jpg", **change)
    path = FORMATS[name](tmp_path / name, [BOXES[0], bad, BOXES[2]])
    message = refused(path)
    assert sentence in message
    assert message.startswith(str(path))
    assert re.search({"boxes.csv": ", line 3:", "coco.json": r", annotations\[1\]:"}.get(name, ", object 1:"), message)
    flaws = []
    assert found(path, skip=flaws.append) == sorted(box[:-1] for box in (BOXES[0], BOXES[2]))
    assert flaws == [message]


@pytest.mark.parametrize(
    ("line", "text", "sentence"),
    [
        (1, "image,category", "line 1: the header must be image,category,width,height,xmin,ymin,xmax,ymax"),
        (1, "image;category;width;height;xmin;ymin;xmax;ymax", "line 1: the header must be"),
        (3, "two.jpg,cat,50,60,10,20,11", "line 3: there must be a value for each of image,category"),
        (3, "two.jpg,cat,50,60,10,20,11,60,1", "line 3: there must be"),
        (3, "two.jpg,,50,60,10,20,11,60", "line 3: there must be"),
        (3, "two.jpg,cat,50,60,10,20,11,wide", "line 3: ymax is 'wide', which is not a number"),
        (3, "two.jpg,cat,nan,60,10,20,11,60", "line 3: width is 'nan', which is not a number"),
        (3, "two.jpg,cat,50,inf,10,20,11,60", "line 3: height is 'inf', which is not a number"),
        (3, '"two.jpg"x,cat,50,60,10,20,11,60', "line 3: "),
        (4, '"two.jpg,cat,50,60,10,20,11,60', "line 4: unexpected end of data"),
        (3, "tw\udcff.jpg,cat,50,60,10,20,11,60", "line 3 is not UTF-8 text (invalid start byte): save it as UTF-8."),
    ],
)
def test_malformed_csv(tmp_path, line, text, sentence):
    path = write_csv(tmp_path / "boxes.csv", BOXES)
    lines = path.read_text().splitlines()
    lines[line - 1] = text
    path.write_bytes("\n".join(lines).encode(errors="surrogateescape"))
    assert f"{path}, {sentence}" in refused(path)


def test_csv_without_a_line(tmp_path):
    (tmp_path / "boxes.csv").touch()
    assert "line 1: the header must be" in refused(tmp_path / "boxes.csv")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_malformed_json_is_found_in_every_line(tmp_path, end):
    path = tmp_path / "coco.json"
    lines = json.dumps(coco(BOXES), indent=1).splitlines()
    for place in range(len(lines)):
        broken = [*lines[:place], lines[place] + " @", *lines[place + 1 :]]
        path.write_bytes(end.join(broken).encode())
        assert refused(path) == f"{path}, line {place + 1}: this is not JSON, or was cut short."
    for count in range(1, len(lines)):
        path.write_bytes(end.join(lines[:count]).encode() + end.encode())
        assert refused(path) == f"{path}, line {count}: this is not JSON, or was cut short."


def test_malformed_json_after_a_line_longer_than_any_buffer(tmp_path):
    path = write_coco(tmp_path / "coco.json", random_boxes(5000))
    text = path.read_text()
    assert len(text) > 2**18
    path.write_text(f"{text}\n\n?")
    assert f"{path}, line 3:" in refused(path)
    path.write_text(text[:-100])
    assert f"{path}, line 1:" in refused(path)
    path.write_bytes(b'{"images": [{"id": "\xff"}]}')
    assert f"{path}, line 1 is not UTF-8 text (invalid start byte)" in refused(path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c.pop("images"), "lists no images, as COCO's instances_*.json does"),
        (lambda c: c["images"][1].pop("width"), "images[1]: width is missing"),
        (lambda c: c["images"][1].update(height="tall"), "images[1]: height is 'tall', which is not a number"),
        (lambda c: c["images"][1].update(height=None), "images[1]: height is missing"),
        (lambda c: c["images"][0].pop("id"), "annotations[0]: there is no image with the id 100"),
        (lambda c: c["categories"][0].pop("id"), "annotations[1]: there is no category with the id 0"),
        (lambda c: c["categories"][0].pop("name"), "categories[0]: name is missing"),
        (lambda c: c["annotations"][2].pop("bbox"), "annotations[2]: bbox is missing"),
        (lambda c: c["annotations"][2].pop("image_id"), "annotations[2]: image_id is missing"),
        (lambda c: c["annotations"][2].update(image_id=7), "annotations[2]: there is no image with the id 7"),
        (lambda c: c["annotations"][2].update(image_id=[7]), "annotations[2]: there is no image with the id [7]"),
        (lambda c: c["annotations"][1].update(category_id=9), "annotations[1]: there is no category with the id 9"),
        (lambda c: c["annotations"][1].update(bbox=[1, 2, 3]), "annotations[1]: bbox must be four numbers"),
        (lambda c: c["annotations"][1].update(bbox=["1", "2", "3", "4"]), "annotations[1]: bbox must be four numbers"),
        (lambda c: c["annotations"][1].update(bbox=10**400 * np.ones(4, object)), "annotations[1]: bbox is '1000"),
        (lambda c: c["annotations"].insert(0, 5), "annotations[0]: image_id is missing"),
    ],
)
def test_incomplete_coco(tmp_path, change, sentence):
    content = coco(BOXES)
    change(content)
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(content, default=list))
    message = refused(path)
    assert message.startswith(str(path))
    assert sentence in message


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("</size>", "", ", line 9: this is not XML (mismatched tag)"),
        ("</annotation>", "", "this is not XML (no element found)"),
        (
            "<annotation>",
            '<?xml version="1.0" encoding="klingon"?><annotation>',
            " declares the encoding 'klingon'",
        ),
        ("<annotation>", '<?xml version="1.0" encoding="base64"?><annotation>', " declares the encoding 'base64'"),
        ("<width>50</width>", "", ": size/width is missing"),
        ("<height>60<", "<height>sixty<", ": size/height is 'sixty', which is not a number"),
        ("<name>dog</name>", "", ", object 2: name is missing"),
        ("<ymax>30</ymax>", "", ", object 2: bndbox/ymax is missing"),
        ("<ymax>30</ymax>", "<ymax>low</ymax>", ", object 2: bndbox/ymax is 'low', which is not a number"),
    ],
)
def test_malformed_or_incomplete_xml(tmp_path, old, new, sentence):
    path = write_voc(tmp_path, BOXES) / "part1" / "deeper" / "two.jpg.xml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    for whole in (path, tmp_path):
        message = refused(whole)
        assert message.startswith(str(path))
        assert sentence in message


def test_an_image_without_a_name_is_read(tmp_path):
    nameless = sorted((None, *box[1:-1]) for box in BOXES)
    key = {box[1:]: box for box in nameless}
    assert len(key) == 3
    content = coco(BOXES)
    for image in content["images"]:
        del image["file_name"]
    (tmp_path / "coco.json").write_text(json.dumps(content))
    write_csv(tmp_path / "boxes.csv", [box._replace(image="") for box in BOXES])
    for box in BOXES:
        file = tmp_path / "voc" / f"{box.category}{box.width}.xml"
        file.parent.mkdir(exist_ok=True)
        ((_, text),) = documents([box])
        file.write_text(text.replace(f"<filename>{box.image}</filename>", "<filename> </filename>" * (box.height > 70)))
    for name in FORMATS:
        boxes = list(read(tmp_path / name))
        assert {box.image for box in boxes} == {None}
        assert {box[1:-1] for box in boxes} == key.keys()


def test_hidden_files_hold_no_boxes(tmp_path):
    """Editors' checkpoints, macOS's companions of files on foreign disks."""
    folder = write_voc(tmp_path / ".data", BOXES)  # which the user has named
    expected = found(folder)
    for name in (".ipynb_checkpoints/two.jpg.xml", "part0/.ipynb_checkpoints/a.xml", "part1/.b.xml"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(next(documents([BOXES[0]]))[1])
    (folder / "part0" / "._one.jpg.xml").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    assert found(folder) == expected
    assert found(folder / "part1" / ".b.xml") == [BOXES[0][:-1]]  # named too


FLAWED_COCO = {
    "an image without a size": lambda c: c["images"][1].pop("width"),
    "a size that is no number": lambda c: c["images"][1].update(height="tall"),
    "an image without an id": lambda c: c["images"][1].pop("id"),
    "an image that is none": lambda c: c["images"].__setitem__(1, 7),
}


@pytest.mark.parametrize("change", FLAWED_COCO.values(), ids=FLAWED_COCO)
def test_each_box_of_a_bad_image_is_skipped(tmp_path, change):
    content = coco(BOXES)
    change(content)
    (tmp_path / "coco.json").write_text(json.dumps(content))
    flaws = []
    assert found(tmp_path / "coco.json", skip=flaws.append) == [BOXES[0][:-1]]
    assert len(flaws) == 2  # of two.jpg
    content["annotations"] = content["annotations"][:1]
    (tmp_path / "coco.json").write_text(json.dumps(content))
    assert found(tmp_path / "coco.json") == [BOXES[0][:-1]]  # nobody needs the bad one


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["annotations"][1].pop("bbox"),
        lambda c: c["annotations"][1].update(bbox=[1, 2, 3]),
        lambda c: c["annotations"][1].update(bbox=["1", "2", "3", "4"]),
        lambda c: c["annotations"][1].update(bbox=10**400 * np.ones(4, object)),
        lambda c: c["annotations"][1].pop("image_id"),
        lambda c: c["annotations"][1].update(image_id=7),
        lambda c: c["annotations"][1].update(category_id=9),
        lambda c: c["categories"][0].pop("name"),
        lambda c: c["categories"].pop(0),
        lambda c: c["annotations"].__setitem__(1, None),
    ],
)
def test_an_incomplete_annotation_is_skipped(tmp_path, change):
    content = coco(BOXES)
    change(content)
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(content, default=list))
    flaws = []
    assert found(path, skip=flaws.append) == sorted(box[:-1] for box in (BOXES[0], BOXES[2]))
    assert flaws == [refused(path)]


@pytest.mark.parametrize(
    ("old", "new", "kept", "flawed"),
    [
        ("<width>50</width>", "", 0, 2),
        ("<height>60<", "<height>sixty<", 0, 2),
        ("<name>dog</name>", "", 1, 1),
        ("<ymax>30</ymax>", "<ymax>low</ymax>", 1, 1),
        ("<size>", "<sighs>", 0, 1),  # a file that is not XML is one flaw
        ("<annotation>", '<?xml version="1.0" encoding="klingon"?><annotation>', 0, 1),
    ],
)
def test_incomplete_xml_is_skipped(tmp_path, old, new, kept, flawed):
    path = write_voc(tmp_path, BOXES) / "part1" / "deeper" / "two.jpg.xml"
    text = path.read_text()
    path.write_text(text.replace(old, new))
    flaws = []
    assert found(tmp_path, skip=flaws.append) == sorted(box[:-1] for box in [BOXES[0], BOXES[1]][: 1 + kept])
    assert len(flaws) == flawed
    assert all(flaw.startswith(str(path)) for flaw in flaws)


@pytest.mark.parametrize(
    "line",
    [
        "two.jpg,cat,50,60,10,20,11",
        "two.jpg,,50,60,10,20,11,60",
        "two.jpg,cat,50,60,10,20,11,wide",
        "two.jpg,cat,nan,60,1,2,3,4",
    ],
)
def test_an_incomplete_line_is_skipped(tmp_path, line):
    path = write_csv(tmp_path / "boxes.csv", BOXES)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], line, *lines[2:], ""]))
    flaws = []
    assert found(path, skip=flaws.append) == sorted(box[:-1] for box in BOXES)
    assert flaws == [refused(path)]


@pytest.mark.parametrize("name", ["boxes.csv", "coco.json"])
def test_what_is_malformed_as_a_whole_cannot_be_skipped(tmp_path, name):
    path = FORMATS[name](tmp_path / name, BOXES)
    text = path.read_text()
    path.write_text(f'{text[:-3]}"')
    with pytest.raises(InputError):
        found(path, skip=[].append)
    path = tmp_path / "one.xml"
    path.write_text("")
    with pytest.raises(InputError, match="no element found"):
        found(path, skip=[].append)


NAMED = [box._replace(image=f"\u00e9\u72ac{place}.jpg", category="ch\u00e2t") for place, box in enumerate(BOXES)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["boxes.csv", "coco.json"])
def test_unicode_is_read_in_any_of_its_encodings(tmp_path, name, encoding):
    path = FORMATS[name](tmp_path / name, NAMED)
    path.write_bytes(path.read_bytes().decode().encode(encoding))
    assert found(path) == sorted(box[:-1] for box in NAMED)


@pytest.mark.parametrize(
    ("declared", "written", "name"),
    [
        (None, "utf-8", "\u72ac"),
        (None, "utf-8-sig", "\u72ac"),
        (None, "utf-16", "\u72ac"),
        ("UTF-8", "utf-8-sig", "\u72ac"),
        ("UTF-16", "utf-16", "\u72ac"),
        ("windows-1252", "windows-1252", "ch\u00e2t \u20ac"),
        *((encoding, encoding, "\u72ac") for encoding in ("gbk", "gb18030", "big5", "shift_jis", "euc-kr", "utf-7")),
    ],
)
def test_xml_is_read_by_its_declaration(tmp_path, declared, written, name):
    ((_, text),) = documents([BOXES[0]._replace(category=name)])
    declaration = f"<?xml version='1.0' encoding='{declared}'?>\n" if declared else ""
    (tmp_path / "a.xml").write_bytes((declaration + text).encode(written))
    assert [box.category for box in read(tmp_path / "a.xml")] == [name]


def test_text_in_another_encoding_is_told_as_such(tmp_path):
    path = write_coco(tmp_path / "coco.json", NAMED)
    path.write_text(json.dumps(coco(NAMED), ensure_ascii=False, indent=1), encoding="latin-1", errors="replace")
    line = next(place for place, text in enumerate(path.read_bytes().split(b"\n"), 1) if b"\xe9" in text)
    assert refused(path).startswith(f"{path}, line {line} is not UTF-8 text (invalid continuation byte")
    write_csv(tmp_path / "boxes.csv", NAMED)
    path = tmp_path / "boxes.csv"
    path.write_bytes(path.read_bytes().decode().encode("utf-16")[:-1])
    assert refused(path) == f"{path}, line 4 is not UTF-16 text (truncated data): save it as UTF-8."
    ((_, text),) = documents([BOXES[0]._replace(category="ch\u00e2t")])
    for declared, shown in (("", "UTF-8"), ('<?xml version="1.0" encoding="euc-kr"?>', "EUC-KR")):
        (tmp_path / "a.xml").write_bytes((declared + text).encode("latin-1"))
        assert refused(tmp_path / "a.xml").startswith(f"{tmp_path}/a.xml, line 6 is not {shown} text (")


def test_paths_that_hold_no_boxes(tmp_path):
    with pytest.raises(InputError, match="There is no file or folder"):
        read(tmp_path / "nowhere.csv")  # at once
    (tmp_path / "boxes.txt").touch()
    with pytest.raises(
        InputError, match=r"must be a folder of .xml files, or a file with the suffix .csv, .json, .xml\."
    ):
        read(tmp_path / "boxes.txt")
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "folder" / "inner" / "xml").touch()
    assert "holds no XML file" in refused(tmp_path / "folder")


def peak(path):
    tracemalloc.start()
    for _ in read(path):
        pass
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


@pytest.mark.parametrize("name", FORMATS)
def test_memory_does_not_grow_with_the_boxes(tmp_path, name):
    images = 10 if name == "coco.json" else None  # whose images are held
    few, many = (
        FORMATS[name](tmp_path / f"{count}-{name}", list(random_boxes(count, images=images))) for count in (600, 2600)
    )
    peak(few)  # whatever is made once
    assert peak(many) < peak(few) + 100_000  # 2000 boxes take seven times as much
