"""Photographs that scikit-image and scikit-learn bring along: images for a demonstration, without a download."""

from importlib.resources import files
from pathlib import Path

from lit_shift.data.sources import UNKNOWN, Photographs, Source
from lit_shift.utils.errors import InputError, at_least, install

# For each package the files inside it, which are never fetched, with the class of ImageNet that each shows. A label is
# given if one class fits, and no other:
# - camera.png: the tripod stands whole in the middle, and the camera on it, for films, is no "reflex camera".
# - chelsea.png: WordNet, which ImageNet's classes are from, has "tiger cat" for "a cat having a striped coat", and
#   "tabby" for "a cat with a grey or tawny coat mottled with black". This one is striped, and nowhere black.
# - coffee.png: an espresso, which ImageNet's pictures of "espresso" also show in its cup.
# - china.jpg: a pavilion of the Summer Palace in Beijing, as scikit-learn's documentation says.
# Of the others, ImageNet's 1,000 classes have none, but only what resembles them: mopeds and motor scooters for the
# motorcycle, missiles and space shuttles for the carrier rocket, daisies for the dahlia. The clock is too blurred.
PHOTOGRAPHS: dict[str, dict[str, str | None]] = {
    "skimage.data": {
        "astronaut.png": None,
        "brick.png": None,
        "camera.png": "tripod",
        "chelsea.png": "tiger cat",
        "clock_motion.png": None,
        "coffee.png": "espresso",
        "coins.png": None,
        "grass.png": None,
        "gravel.png": None,
        "hubble_deep_field.jpg": None,
        "moon.png": None,
        "motorcycle_left.png": None,
        "retina.jpg": None,
        "rocket.jpg": None,
    },
    "sklearn.datasets.images": {"china.jpg": "palace", "flower.jpg": None},
}


class BundledPhotographs(Source):
    """Sixteen photographs, of which four are labelled with a class of ImageNet. Grey ones are grey in RGB.

    Args:
        size: side of the square to which each is resized; None keeps its size, 300 pixels or more.
        eval_batch_size: number of images measured together by votes without a protocol.
    """

    def __init__(self, size: int | None, eval_batch_size: int) -> None:
        self.size = None if size is None else at_least(1, "size", size)
        self.eval_batch_size = at_least(1, "eval_batch_size", eval_batch_size)

    def collection(self) -> Photographs:
        """Return the photographs in the order of :data:`PHOTOGRAPHS`.

        Raises:
            InputError: scikit-image is not installed, or is a version without one of the files.
        """
        paths: list[Path] = []
        for package, names in PHOTOGRAPHS.items():
            try:
                paths += [Path(str(files(package) / name)) for name in names]
            except ImportError as error:
                raise InputError(f"The photographs come with scikit-image: {install('demo')}.") from error
        if missing := [path.name for path in paths if not path.is_file()]:
            raise InputError(f"This version of scikit-image comes without {missing[0]}: {install('demo')}.")
        shown = [label for names in PHOTOGRAPHS.values() for label in names.values()]
        classes = sorted({label for label in shown if label})
        return _ByName(paths, [classes.index(label) if label else UNKNOWN for label in shown], classes, self.size)


class _ByName(Photographs):
    """Photographs whose folder says nothing."""

    def title(self, place: int) -> str:
        return self.files[place].name
