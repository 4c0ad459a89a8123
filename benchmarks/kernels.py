"""What the compiler makes of each GPU kernel, on any machine: ``python -m benchmarks.kernels``.

Compiles the Triton kernels for the maps of VGG13's first and fourth blocks, for an A100 (sm_80) and an H100 (sm_90),
which need not be there, and lists the registers of a thread, spilled bytes, loads and stores with the bytes that each
moves for a thread, and the seconds of compiling.
"""

import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import triton
from rich.console import Console
from rich.table import Table
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.compiler import compile as compiled

from benchmarks.timing import Options
from lit_shift.filters import taps
from lit_shift.kernels import triton_norm, triton_pool
from lit_shift.pools.pool import MaxPoolBlurDS

CAPABILITIES = (80, 90)
SHAPES = [(64, 32, 32), (512, 4, 4)]
FLOATS = {"bfloat16": "*bf16", "float32": "*fp32"}


class Work(NamedTuple):
    """A kernel with the types of its arguments and its constants."""

    kernel: Any
    arguments: dict[str, str]
    constants: dict[str, Any]


class Report(NamedTuple):
    """What became of a kernel. ``loads`` and ``stores`` are of global memory; ``bytes`` is the most that one moves."""

    seconds: float
    registers: int
    spilled: int
    loads: int
    stores: int
    bytes: int


def works(filter: str, shape: tuple[int, int, int], dtype: str) -> Iterator[Work]:
    """Yield the kernels as they are launched for a map (C, H, W), with a border."""
    channels, height, width = shape
    maps, size = FLOATS[dtype], {"H": height, "W": width, "C": channels, "BORDER": 1}
    pool = {**size, "TAPS": MaxPoolBlurDS(filter).taps}
    for kernel, names, most in (
        (triton_pool._forward, ("x", "y"), (triton_pool.ROWS, triton_pool.COLUMNS)),
        (triton_pool._backward, ("x", "grad", "out"), (triton_pool.BACKWARD_ROWS, triton_pool.BACKWARD_COLUMNS)),
    ):
        piece = triton_pool.geometry(channels, height, width, *most)
        yield Work(kernel, dict.fromkeys(names, maps) | {"total": "i32"}, pool | piece)
    tile = {"SAMPLES": triton_norm.SAMPLES, "CHANNELS": triton_norm.CHANNELS}
    settled = {"C": channels, "CHANNELS": triton_norm.SETTLED, "ADDED": triton_norm.ADDED}
    lanes = size | {"LANES": triton_norm.LANES}
    counts = {"rows": "i32", "total": "i32"}
    settling = {"strips": "i32", "total": "i32", "momentum": "fp32", "eps": "fp32"}
    for kernel, names, others, constants in (
        (triton_norm._sums, "x partial", counts, {"C": channels, **tile}),
        (
            triton_norm._settle,
            "x partial weight running_mean running_variance statistics scale",
            settling,
            settled,
        ),
        (triton_norm._normalised, "x statistics scale bias y", {}, lanes),
        (triton_norm._gradient_sums, "x grad statistics scale bias partial", counts, size | tile),
        (
            triton_norm._settle_gradient,
            "partial statistics scale to_weight to_bias back",
            {name: settling[name] for name in ("strips", "total", "eps")},
            settled,
        ),
        (triton_norm._gradient, "x grad statistics scale bias back out", {}, lanes),
    ):
        kinds = {name: maps if name in ("x", "y", "grad", "out") else "*fp32" for name in names.split()}
        yield Work(kernel, kinds | others, constants)


def report(work: Work, capability: int) -> Report:
    """Compile a kernel for a GPU and read what the compiler and the binary say."""
    signature = work.arguments | dict.fromkeys(work.constants, "constexpr")
    pointers = [i for i, kind in enumerate(work.arguments.values()) if kind.startswith("*")]
    aligned = {(i,): [["tt.divisibility", 16]] for i in pointers}  # as PyTorch's memory is
    source = ASTSource(work.kernel, signature, work.constants, aligned)
    began = time.perf_counter()
    made = compiled(source, target=GPUTarget("cuda", capability, 32), options={"enable_fp_fusion": True}).asm
    seconds = time.perf_counter() - began
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made["cubin"])
        file.flush()
        command = [triton.knobs.nvidia.cuobjdump.path, "-res-usage", file.name]
        usage = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    registers, stack, local = (int(re.search(rf"{name}:(\d+)", usage)[1]) for name in ("REG", "STACK", "LOCAL"))  # type: ignore[index]
    accesses = re.findall(r"(ld|st)\.global\S*?(?:\.v(\d))?\.b(\d+)", made["ptx"])
    moved = [int(count or 1) * int(bits) // 8 for _, count, bits in accesses]
    loads = sum(what == "ld" for what, *_ in accesses)
    return Report(seconds, registers, stack + local, loads, len(accesses) - loads, max(moved))


def main() -> None:
    parser = Options(__doc__)
    parser.add_argument("--filter", choices=("tri3", "tri5", "pascal7"), default="tri5", help="tri5 by default")
    options = parser.parse_args()
    filter = options.filter
    table = Table(title=f"{filter}, {taps(filter)} taps; Triton {triton.__version__}")
    for column in ("kernel", "map", "type"):
        table.add_column(column)
    for column in ("GPU", "registers", "spilled bytes", "loads", "stores", "bytes", "compiling, s"):
        table.add_column(column, justify="right")
    for dtype in FLOATS:
        for shape in SHAPES[: 1 if options.tiny else None]:
            for work in works(filter, shape, dtype):
                for capability in CAPABILITIES:
                    found = report(work, capability)
                    name = f"{work.kernel.__module__.rpartition('.')[2]}.{work.kernel.__name__.lstrip('_')}"
                    row = (f"sm_{capability}", *map(str, found[1:]), f"{found.seconds:.1f}")
                    table.add_row(name, " x ".join(map(str, shape)), dtype, *row)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
