"""Surgery on a network: each subsampling gets its blur, in place."""

from collections.abc import Collection

from torch import Tensor, fx, nn

from lit_shift.padding import PADDINGS, Padding
from lit_shift.pools.pool import MaxPool, MaxPoolBlurDS
from lit_shift.surgery.graph import behind, calls, rewrite, traced
from lit_shift.surgery.report import Row
from lit_shift.surgery.steps import BLUR_FIRST, DENSE_FIRST, BlurDS, Steps, blurred, is_power_of_2, pair, stepped
from lit_shift.surgery.survey import Subsampling, Survey


class Surgeon:
    """Antialiasing of a network, in place: first a plan for each subsampling, then all changes at once."""

    def __init__(
        self,
        net: nn.Module,
        found: Survey,
        filter: str,
        order: str,
        padding: Padding | None,
        leave: Collection[str],
        example: Tensor,
    ) -> None:
        self.net, self.found, self.filter, self.order, self.padding = net, found, filter, order, padding
        self.leave = leave
        self.like = example
        self.paths = {module: path for path, module in net.named_modules()}
        self.treated: dict[nn.Module, str] = {}  # order of the steps
        self.to_rewrite: dict[nn.Module, dict[nn.Module, str]] = {}  # layers and names of their blurs, by caller
        self.to_blur: list[tuple[nn.Module, nn.Module]] = []
        self.to_step: list[tuple[nn.Module, Steps]] = []
        convolutions = [module for module in self.paths if isinstance(module, nn.Conv2d) and any(_borders(module))]
        self.circular = bool(convolutions) and all(conv.padding_mode == "circular" for conv in convolutions)

    def treat(self, each: Subsampling) -> Row:
        """Plan the antialiasing of one subsampling, and return what will be done."""
        was = _was(each)
        if reason := self._reason_to_leave(each):
            return Row(each.path, was, left=reason)
        module = each.pool or each.module
        if module not in self.treated:  # else a second call, or another function of the same module
            self.treated[module] = self._plan(each)
        order = self.treated[module]
        steps = {DENSE_FIRST: "dense, {}, subsampled", BLUR_FIRST: "{} first, then the layer"}
        return Row(each.path, was, steps[order].format(self.filter), self._added(each, order))

    def _plan(self, each: Subsampling) -> str:
        """Plan the antialiasing of a module that subsamples, and return the order of its steps."""
        if isinstance(each.pool, MaxPool):
            return self._replace_pool(each.pool)
        convolution = each.kind == "convolution" and each.is_layer
        if convolution and self.order == DENSE_FIRST:
            return self._antialias_convolution(each)
        pointwise = convolution and _is_pointwise(each)
        steps = Steps(self.filter, self._border(each), self.order, pointwise, self._wraps(each))
        self.to_step.append((each.module, steps))
        return BLUR_FIRST if pointwise else self.order

    def finish(self) -> None:
        """Change the network. Forward passes in which a blur has its place behind a function are rewritten first."""
        for owner, layers in self.to_rewrite.items():
            graphs = {}
            for training in (False, True):
                owner.training = training
                graph = graphs[training] = traced(owner, self.paths[owner])
                for layer, name in layers.items():
                    self._insert(graph, owner, layer, name)
            owner.training = False
            rewrite(owner, graphs)
        for module, blur in self.to_blur:
            blurred(module, blur)
        for module, steps in self.to_step:
            stepped(module, steps)

    def _reason_to_leave(self, each: Subsampling) -> str:
        """Say why a subsampling is left; empty if it is not. A function is left if a layer in its module is."""
        within = f"{each.path}." if each.path else ""
        inside = [] if each.is_layer or each.pool else self.found.subsamplings
        inner = (other.path for other in inside if other.path.startswith(within) and self._flaw(other))
        return self._flaw(each) or next((f"{path}, in the same module, is left" for path in inner), "")

    def _flaw(self, each: Subsampling) -> str:
        if each.path in self.leave:
            return "as asked"
        if each.pool is not None and type(each.pool) is not MaxPool:
            return "antialiased already"
        if each.kind in ("adaptive pooling", "resizing"):
            return "its window follows from the size of the map"
        if each.fixed:
            return "a fixed filter, such as a blur, and no learned weights"
        row, col = each.strides
        if row != col:
            return f"a stride of {row} in one direction and {col} in the other"
        if not is_power_of_2(row):
            return f"a stride of {row}, which is no power of 2"
        return ""

    def _border(self, each: Subsampling) -> Padding:
        """Border of a layer's blur."""
        if self.padding is not None:
            return self.padding
        layer = each.module
        if isinstance(layer, nn.Conv2d) and (type(layer).forward is not nn.Conv2d.forward or any(_borders(layer))):
            return layer.padding_mode if layer.padding_mode in PADDINGS else "reflect"
        if self.circular:
            return "circular"
        return "zeros" if isinstance(layer, nn.AvgPool2d) and layer.count_include_pad and layer.padding else "reflect"

    def _wraps(self, each: Subsampling) -> bool:
        layer = each.module
        square = each.window[0] == each.window[1]
        unpadded = not any(_borders(layer)) and getattr(layer, "dilation", 1) in (1, (1, 1))
        return self.circular and each.is_layer and square and unpadded and 1 < each.window[0] <= each.strides[0]

    def _replace_pool(self, pool: MaxPool) -> str:
        border = self.padding or pool.padding
        blurred: nn.Module = MaxPoolBlurDS(self.filter, border)
        if self.order == BLUR_FIRST:
            self.to_step.append((pool, Steps(self.filter, border, self.order)))
            return self.order
        for path in [path for path, module in self.net.named_modules(remove_duplicate=False) if module is pool]:
            self.net.set_submodule(path, blurred)
        return self.order

    def _antialias_convolution(self, each: Subsampling) -> str:
        """Make a convolution dense, and blur behind the activation that follows it."""
        layer, border = each.module, self._border(each)
        assert isinstance(layer, nn.Conv2d)
        ends = [
            (owner, graph, *behind(node, owner, layer.out_channels, self.like))
            for owner in self.found.callers[layer]
            for graph in [traced(owner, self.paths[owner])]
            for node in calls(graph, owner, layer)
        ]
        if _is_pointwise(each) and all(linear for *_, linear in ends):
            self.to_step.append((layer, Steps(self.filter, border, self.order, pointwise=True)))
            return BLUR_FIRST
        if all(end in calls(graph, owner, layer) for owner, graph, end, _ in ends):
            self.to_step.append((layer, Steps(self.filter, border, self.order, wrap=self._wraps(each))))
            return self.order
        blurs = [BlurDS(self.filter, border) for _ in range(each.strides[0].bit_length() - 1)]
        blur: nn.Module = nn.Sequential(*blurs) if len(blurs) > 1 else blurs[0]
        if self.filter == "delta":
            blur = nn.Identity()
        elif type(layer).forward is nn.Conv2d.forward and not self._wraps(each):
            layer.stride = (1, 1)
        else:
            self.to_step.append((layer, Steps(self.filter, border, "dense", wrap=self._wraps(each))))
        for owner, graph, end, _ in ends:
            last = owner.get_submodule(str(end.target)) if end.op == "call_module" else None
            alone = last is not None and self.found.callers[last] == {owner} and len(calls(graph, owner, last)) == 1
            if last is not None and alone and not isinstance(last, nn.Sequential):
                self.to_blur.append((last, blur))
            else:
                name = f"{self.paths[layer].removeprefix(self.paths[owner]).strip('.').replace('.', '_')}_blur"
                owner.add_module(name, blur)
                self.to_rewrite.setdefault(owner, {})[layer] = name
        return self.order

    def _insert(self, graph: fx.Graph, owner: nn.Module, layer: nn.Module, name: str) -> None:
        """Insert a layer's blur into its caller's graph."""
        assert isinstance(layer, nn.Conv2d)
        for node in calls(graph, owner, layer):
            end, _ = behind(node, owner, layer.out_channels, self.like)
            with graph.inserting_after(end):
                blur = graph.call_module(name)
            end.replace_all_uses_with(blur)
            blur.args = (end,)

    def _added(self, each: Subsampling, order: str) -> int:
        """Number of multiplications that the steps add."""
        (_, channels, height, width), (_, made, h, w) = each.shape, each.made
        steps = Steps(self.filter, "zeros", order, _is_pointwise(each))
        if order == BLUR_FIRST or self.filter == "delta":
            return steps.multiplications(each.strides[0], channels, made, height, width)
        rows, cols = each.dense
        more = each.multiplications * (rows * cols - h * w) // (h * w)
        return more + steps.multiplications(each.strides[0], channels, made, rows, cols)


def _borders(layer: nn.Module) -> tuple[int, ...]:
    """Widths of a layer's border; a convolution that pads to the same size says so in words."""
    padding = getattr(layer, "padding", 0)
    return (0,) if padding == "valid" else (1,) if padding == "same" else pair(padding)


def _is_pointwise(each: Subsampling) -> bool:
    return each.window == (1, 1) and not any(_borders(each.module))


def _was(each: Subsampling) -> str:
    """Describe an operation."""
    (rows, cols), (row, col) = each.window, each.strides
    window = f" {rows}x{cols}" if each.kind not in ("slicing", "adaptive pooling", "resizing") else ""
    return f"{each.kind}{window}, stride {row if row == col else (row, col)}"
