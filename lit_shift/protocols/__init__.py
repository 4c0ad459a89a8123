"""Protocols: from one image to a path of slightly changed ones (Azulay & Weiss, section 2)."""

from lit_shift.protocols.base import Protocol, Whole
from lit_shift.protocols.canvas import Embed, Placement, Scale
from lit_shift.protocols.crop import Crop
from lit_shift.protocols.roll import Circular, Subpixel
from lit_shift.protocols.video import Frames

__all__ = ["Circular", "Crop", "Embed", "Frames", "Placement", "Protocol", "Scale", "Subpixel", "Whole"]
