import torch

from lit_shift.constant import constant


def test_it_is_made_once_for_the_same_arguments_and_is_a_constant_to_torch_compile():
    calls = []

    @constant
    def ramp(size, dtype):
        calls.append((size, dtype))
        return torch.arange(size, dtype=dtype)

    traced = []

    def backend(graph, inputs):
        traced.extend(str(node.target) for node in graph.graph.nodes if node.op.startswith("call"))
        return graph.forward

    x = torch.ones(3, requires_grad=True)
    with torch.inference_mode():
        ramp(3, torch.float32)
    compiled = torch.compile(lambda x: x * ramp(3, torch.float32), backend=backend, fullgraph=True)
    for _ in range(2):
        compiled(x).sum().backward()
    assert x.grad.tolist() == [0, 2, 4]
    assert not [name for name in traced if "arange" in name]
    assert ramp(2, torch.float64).tolist() == [0, 1]
    assert calls == [(3, torch.float32), (2, torch.float64)]
    assert ramp.__name__ == "ramp"
