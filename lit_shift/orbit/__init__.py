"""Outputs and features of a network at every circular shift of an image, exactly, at the cost of one dense network.

With circular boundaries every layer commutes with shifts except subsampling by 2, whose result at a shift by an even
number of samples is shifted by half of it. So let each subsampling give its results at four shifts, stacked in the
batch, and run the rest of the network as it is: the stack at the end holds its outputs at every shift. For VGG13 on
32x32 images that is 9.6 GMAC per image instead of 233 for 1,024 passes. Branches that are added or joined again have
subsampled alike, so their stacks fit together.

Which entry of the stack belongs to a shift? Take one axis and an image rolled by h, and let ``s = (-h) mod H``. The
first subsampling keeps what it would keep of the image rolled by ``-(s mod 2)``, which is entry ``s mod 2`` of its
stack, and its result is rolled by ``-(s // 2)``. The next subsampling does the same with ``s // 2``. So the entries are
the bits of s, lowest bit first.
"""

from lit_shift.orbit.all_shifts import LayersAtAllShifts, orbit_logits, sampled_logits
from lit_shift.orbit.trust import obstacle

__all__ = ["LayersAtAllShifts", "obstacle", "orbit_logits", "sampled_logits"]
