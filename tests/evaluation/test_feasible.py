import pytest

from lit_shift.evaluation.feasible import possible_top
from lit_shift.utils.errors import InputError


@pytest.mark.parametrize("classes", range(2, 12))
def test_by_default_the_top_goes_by_the_number_of_classes_and_what_is_left_out_is_said(classes, capsys):
    possible = possible_top(None, classes)
    assert possible == tuple(k for k in (1, 5) if k < classes)
    assert ("Only the top 1 is measured" in capsys.readouterr().err) == (5 not in possible)


def test_what_is_asked_for_is_refused_where_it_cannot_be():
    assert possible_top((2, 3), 4) == (2, 3)
    with pytest.raises(InputError, match=r"^top=\[1, 3\]: of 3 classes the correct one is always among the 3 most"):
        possible_top((1, 3), 3)
    with pytest.raises(InputError, match="of 1 classes"):
        possible_top(None, 1)
