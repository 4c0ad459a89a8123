"""Names of outputs, and folders matched to them; by hand."""

import sys

import pytest

from lit_shift.classifiers.class_names import IMAGENET, class_names, match_classes, read_names
from lit_shift.utils.errors import InputError


def test_names_from_a_file_a_list_or_what_the_number_of_outputs_tells(tmp_path):
    file = tmp_path / "classes.txt"
    file.write_text("cat\n  großer Hund \n\n3\n", encoding="utf-8")
    assert read_names(str(file)) == ["cat", "großer Hund", "3"]
    assert read_names(["cat", 3]) == ["cat", "3"]
    assert read_names(None) is None
    assert class_names(["a", "b"], 2) == ["a", "b"]
    assert class_names(None, 3) == ["output 0", "output 1", "output 2"]
    assert class_names(None, 1000)[:2] == ["tench", "goldfish"]
    with pytest.raises(InputError, match="has 2 names, but the network has 3 outputs"):
        class_names(["a", "b"], 3)
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(InputError, match="cannot be read as text"):
            read_names(str(path))
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):  # as Windows saves it
        file.write_text("cat\ngroßer Hund\n", encoding=encoding)
        assert read_names(str(file)) == ["cat", "großer Hund"]
    file.write_text("cat\ngroßer Hund\n", encoding="latin-1")
    with pytest.raises(InputError, match=r"classes\.txt, line 2 is not UTF-8 text \(.*\): save it as UTF-8\.$"):
        read_names(str(file))


@pytest.mark.parametrize(
    ("folders", "classes", "expected"),
    [
        (["dog", "cat"], ["cat", "dog", "ship"], [1, 0]),
        (["Golden_Retriever", "cat"], ["tabby", "golden retriever", "Cat"], [1, 2]),
        (["cardigan", "Cardigan"], IMAGENET, [474, 264]),
        (["10", "9"], [str(i) for i in range(20)], [10, 9]),  # names before numbers
        (["1", "2", "0"], ["x", "y", "z"], [1, 2, 0]),
        (["7", "11"], [f"output {i}" for i in range(12)], [7, 11]),
        ([], ["x"], []),
    ],
)
def test_folders_are_matched_by_name_else_by_number(folders, classes, expected):
    assert match_classes(folders, classes) == expected
    assert match_classes(folders, classes, "by_order") == expected


@pytest.mark.parametrize(
    ("folders", "classes", "expected"),
    [
        (["b", "a", "c"], ["x", "y", "z"], [1, 0, 2]),
        (["01", "02", "10"], ["x", "y", "z"], [0, 1, 2]),
        (["crane", "dog"], ["crane", "Crane"], [0, 1]),
        (["CRANE", "dog"], ["crane", "Crane"], [0, 1]),  # of two
        (["10", "9", "1"], ["x", "y", "z"], [1, 2, 0]),
        (["truck", "airplane"], ["0", "1"], [1, 0]),
    ],
)
def test_by_order_only_where_that_is_asked_for(folders, classes, expected):
    assert match_classes(folders, classes, "by_order") == expected
    with pytest.raises(InputError, match="way=by_order") as error:
        match_classes(folders, classes)
    assert "names=FILE" in str(error.value)


def test_other_classes_are_refused_with_both_lists():
    photographs = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    with pytest.raises(InputError) as error:
        match_classes(photographs, [str(digit) for digit in range(10)])
    assert "(airplane, automobile, bird, cat, deer and 5 more)" in str(error.value)
    assert "(0, 1, 2, 3, 4 and 5 more)" in str(error.value)


def test_an_unknown_way():
    with pytest.raises(InputError, match=r"Unknown way 'by_ordr'. Did you mean 'by_order'\? Choices: by_name, by_o"):
        match_classes(["a"], ["a"], "by_ordr")


@pytest.mark.parametrize(
    ("folders", "classes", "sentence"),
    [
        (["cat", "mouse"], ["cat", "dog", "ship"], "not named like exactly one class: mouse, and 2 folders"),
        (["7", "12"], [f"output {i}" for i in range(12)], "cannot be matched to 12 classes"),
        (["-1", "1"], ["x", "y", "z"], "cannot be matched"),
        (
            [str(i) for i in range(11)],
            [f"output {i}" for i in range(11)],
            "folders, or in the order of their names, 0, 1, 10",
        ),
        (["CRANE"], ["crane", "Crane"], "CRANE"),
    ],
)
def test_what_cannot_be_matched_says_what_to_do(folders, classes, sentence):
    with pytest.raises(InputError, match=r"names=FILE") as error:
        match_classes(folders, classes)
    assert sentence in str(error.value)


def test_by_order_the_named_are_not_mixed_up():
    with pytest.raises(
        InputError, match="not named like exactly one class: ants, and by order the others would be mixed up"
    ):
        match_classes(["ants", "zebra"], ["zebra", "ant"], "by_order")


def test_synsets_of_imagenet():
    pytest.importorskip("timm")
    folders = ["n02099601", "n01440764", "n03126707", "n02012849"]
    names = [IMAGENET[i] for i in match_classes(folders, IMAGENET)]
    assert names == ["golden retriever", "tench", "crane", "crane bird"]
    with pytest.raises(InputError, match="not among ImageNet's 1,000: n00000001"):
        match_classes(["n00000001", "n01440764"], IMAGENET)


def test_synsets_without_timm(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm.data", None)
    with pytest.raises(InputError, match="install it with 'uv sync --extra timm'"):
        match_classes(["n02099601"], IMAGENET)
