"""Antialiasing of the networks of torchvision and timm, with random weights."""

import pytest
import timm
import torch
import torchvision

import lit_shift
from lit_shift.utils.errors import InputError

# One of each kind: plain, shared activations, functions, SAME borders, patches, a pool with ceil_mode, squeezes.
QUICK = ("resnet18", "squeezenet1_1", "googlenet", "shufflenet_v2_x0_5")
QUICK_TIMM = ("tf_efficientnet_lite0", "convnext_atto", "mobilenetv3_small_100", "regnety_002")
TORCHVISION = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "inception_v3", "mnasnet0_5", "mobilenet_v2"),
    *("mobilenet_v3_small", "regnet_x_400mf", "resnet50", "resnext50_32x4d", "vgg11_bn"),
)
TIMM = (
    *("cspresnet50", "darknet17", "dm_nfnet_f0", "dpn48b", "ecaresnet26t", "ese_vovnet19b_dw", "fbnetc_100"),
    *("gernet_s", "ghostnet_100", "hardcorenas_a", "hrnet_w18_small", "inception_v4", "lcnet_050", "legacy_seresnet18"),
    *("mixnet_s", "mobileone_s0", "nf_resnet26", "repvgg_a0", "res2net50_26w_4s", "resnet50d", "resnetv2_50x1_bit"),
    *("rexnet_100", "selecsls42b", "skresnet18", "tf_mobilenetv3_small_075", "vovnet39a", "xception41"),
)
TRANSFORMERS = ("vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "edgenext_xx_small")
ONLY_WHOLE = ("hrnet_w18_small",)  # it takes no image whose sides are no multiples of 32

QUICK_NETWORKS = [*(("torchvision", name) for name in QUICK), *(("timm", name) for name in QUICK_TIMM)]
OTHERS = [*(("torchvision", name) for name in TORCHVISION), *(("timm", name) for name in TIMM)]


def made(source: str, name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    if source == "timm":
        return timm.create_model(name).eval()
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return torchvision.models.get_model(name, weights=None, **options).eval()


@pytest.mark.parametrize(
    ("source", "name"), [*QUICK_NETWORKS, *(pytest.param(*each, marks=pytest.mark.rough) for each in OTHERS)]
)
@torch.no_grad()
def test_networks(source, name):
    net = made(source, name)
    size = 96 if name.startswith(("inception", "xception")) else 64
    example = torch.zeros(1, 3, size, size)
    treated, same = (lit_shift.antialias(net, filter, example=example) for filter in ("tri3", "delta"))
    assert not any(row.left for row in treated.surgery.rows)
    net.load_state_dict(treated.state_dict())
    treated.load_state_dict(net.state_dict())
    for height, width in ((size, size),) if name in ONLY_WHOLE else ((size, size), (size + 5, size + 11)):
        x = torch.randn(1, 3, height, width)
        assert torch.equal(same(x), net(x))
        assert treated(x).shape == net(x).shape
        assert treated(x).isfinite().all()
    # Nothing is left that subsamples.
    with pytest.raises(InputError, match=r"nothing that subsamples|antialiased already"):
        lit_shift.antialias(treated, example=example)


def test_thirty_networks_are_tried():
    assert len(QUICK_NETWORKS) + len(OTHERS) >= 30


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.rough) for name in TRANSFORMERS])
def test_transformers_are_out_of_reach(name):
    with pytest.raises(InputError, match="attends, as transformers do"):
        lit_shift.antialias(made("timm", name))


@torch.no_grad()
def test_a_blur_that_is_there_stays():
    net = made("timm", "resnetblur18")
    treated = lit_shift.antialias(net, example=torch.zeros(1, 3, 64, 64))
    left = {row.name: row.left for row in treated.surgery.rows if row.left}
    assert left.keys() == {"maxpool.1", "layer2.0.aa", "layer3.0.aa", "layer4.0.aa"}
    assert set(left.values()) == {"a fixed filter, such as a blur, and no learned weights"}
