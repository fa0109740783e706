"""Features of small networks by hand, and of every built-in space."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from metanas.core.space import Choice, Space, Values, check, sample
from metanas.measures.flops import flops
from metanas.measures.params import params
from metanas.measures.trace import trace
from metanas.meta.features import NAMES, described, features
from metanas.spaces.cnn import SPACE as CNN
from metanas.spaces.nasbench201 import nasbench201
from metanas.spaces.transnas_micro import transnas_micro

SHAPE = (3, 16, 16)
SPACES = [CNN, nasbench201(), transnas_micro()]


def conv(inputs: int, outputs: int, kernel: int = 3, **options: int) -> nn.Module:
    padding = kernel // 2 * options.get("dilation", 1)
    return nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False, **options)


def of(module: nn.Module, shape: tuple[int, ...] = SHAPE) -> dict[str, float]:
    return dict(zip(NAMES, described(trace(module, shape)).tolist(), strict=True))


class Merging(nn.Module):
    """Two branches of one input and, if asked, the input itself, summed or joined."""

    def __init__(self, *, skip: bool, join: bool = False) -> None:
        super().__init__()
        self.left, self.right, self.last = conv(3, 3), conv(3, 3, 5), conv(6 if join else 3, 2, 1)
        self.skip, self.join = skip, join

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        left, right = self.left(images), self.right(images)
        if self.join:
            return self.last(torch.cat([left, right], 1))
        return self.last(left + right + images if self.skip else left + right)


def test_the_features_of_a_chain_by_hand() -> None:
    chain = nn.Sequential(
        conv(3, 8, 3, stride=2),  # 8 x 8 x 8, sees 3
        nn.BatchNorm2d(8),
        nn.ReLU(),
        conv(8, 8, 5, groups=8, dilation=2),  # sees 3 + 4 x 2 x 2 = 19
        nn.MaxPool2d(2),  # 8 x 4 x 4, sees 19 + 2
        conv(8, 16, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )
    found = of(chain)
    assert found["log_params"] == pytest.approx(math.log1p(params(chain)))
    assert found["log_flops"] == pytest.approx(math.log1p(flops(chain, SHAPE)))
    sizes = [768, 512, 512, 512, 512, 128, 256, 16, 16, 10]
    assert found["log_activations"] == pytest.approx(math.log1p(sum(sizes)))
    assert found["log_peak_bytes"] == pytest.approx(math.log1p(4 * (768 + 512)))
    assert found["log_depth"] == pytest.approx(math.log1p(4))
    assert found["log_paths"] == pytest.approx(math.log1p(1))
    assert found["log_path_length"] == pytest.approx(math.log1p(4))
    assert found["log_receptive_field"] == pytest.approx(math.log1p(21))
    assert found["depthwise_ratio"] == pytest.approx(1 / 6)
    assert found["pool_ratio"] == pytest.approx(2 / 6)
    shares = [found[f"kernel_{size}"] for size in (1, 3, 5, 7, "larger")]
    assert shares == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0, 0])
    widths = [found[f"log_width_{q}"] for q in (25, 50, 75, 100)]
    assert widths == pytest.approx(np.log1p([8, 8, 16, 16]))
    sides = [found[f"log_resolution_{q}"] for q in (25, 50, 75, 100)]
    assert sides == pytest.approx(np.log1p([8, 8, 4, 4]))


def test_paths_skips_and_parallel_branches_are_told_apart() -> None:
    parallel, skipping = of(Merging(skip=False)), of(Merging(skip=True))
    assert parallel["log_paths"] == pytest.approx(math.log1p(2))
    assert parallel["log_path_length"] == pytest.approx(math.log1p(2))
    assert parallel["parallel_ratio"] == pytest.approx(1 / 4)
    assert parallel["skip_ratio"] == 0
    assert skipping["log_paths"] == pytest.approx(math.log1p(3))
    assert skipping["log_path_length"] == pytest.approx(math.log1p((2 + 2 + 1) / 3))
    assert skipping["skip_ratio"] == pytest.approx(1 / 4)
    assert skipping["parallel_ratio"] == 0
    assert of(Merging(skip=False, join=True))["parallel_ratio"] == pytest.approx(1 / 4)


def test_the_order_of_a_sum_does_not_matter() -> None:
    class Sum(nn.Module):
        def __init__(self, turned: bool) -> None:
            super().__init__()
            self.branch, self.last, self.turned = conv(3, 3), conv(3, 2), turned

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if self.turned:
                return self.last((images + images) + self.branch(images))
            return self.last((images + self.branch(images)) + images)

    assert of(Sum(False)) == of(Sum(True))


def test_what_outlives_its_next_operation_counts_in_the_peak() -> None:
    class Long(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.third = conv(3, 4), conv(4, 4), conv(4, 4)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            first = self.first(images)
            return self.third(self.second(first)) + first

    one = 4 * 16 * 16
    assert of(Long())["log_peak_bytes"] == pytest.approx(math.log1p(4 * 3 * one))


def test_attention_sees_everything_and_sequences_have_their_channels_last() -> None:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Linear(6, 8), nn.Linear(8, 8)
            self.attend = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            first = self.stem(tokens)
            return self.head(first + self.attend(first, first, first)[0])

    found = of(Attending(), (12, 6))
    assert found["attention_ratio"] == pytest.approx(1 / 4)
    assert found["skip_ratio"] == pytest.approx(1 / 4)
    assert found["log_depth"] == pytest.approx(math.log1p(3))
    assert found["log_width_100"] == pytest.approx(math.log1p(8))
    assert found["log_resolution_100"] == pytest.approx(math.log1p(12))


def test_pools_that_are_functions_widen_the_field() -> None:
    class Pooled(nn.Module):
        def __init__(self, pool: nn.Module | None) -> None:
            super().__init__()
            self.first, self.second, self.pool = conv(3, 4), conv(4, 4), pool

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            features = self.first(images)
            return self.second(self.pool(features) if self.pool else F.max_pool2d(features, 2))

    assert of(Pooled(None)) == of(Pooled(nn.MaxPool2d(2)))


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_every_space_has_finite_features_that_differ(space: Space) -> None:
    rng = np.random.default_rng(0)
    found = features(space, [sample(space, rng) for _ in range(12)], SHAPE, 10)
    assert found.values.shape == (12, len(NAMES))
    assert found.known.all()
    assert np.isfinite(found.values).all()
    assert len(np.unique(found.values, axis=0)) > 8


def test_writings_of_one_network_have_equal_features() -> None:
    """So what is remembered by a network's identifier hangs on nobody's order of asking."""
    space, rng = nasbench201(), np.random.default_rng(5)
    classes: dict[str, list[Values]] = {}
    for _ in range(4000):
        member = sample(space, rng)
        written = classes.setdefault(member.id, [])
        if member.values not in written:
            written.append(member.values)
    several = [written for written in classes.values() if len(written) > 2][:25]
    assert len(several) == 25
    for written in several:
        rows = [described(trace(space.build(v, SHAPE, 10), SHAPE)) for v in written[:4]]
        assert all(np.array_equal(row, rows[0]) for row in rows), written[:4]


def build(values: Values, shape: tuple[int, ...], outputs: int) -> nn.Module:
    class Undecided(nn.Module):
        """Takes one way or the other by what it sees, which symbols cannot follow."""

        def __init__(self) -> None:
            super().__init__()
            self.layer, self.other = conv(shape[0], int(values["width"])), conv(shape[0], 1)
            self.head = nn.Linear(int(values["width"]), outputs)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if images.sum() > 1:
                return self.head(self.other(images).mean((2, 3)))
            return self.head(self.layer(images).mean((2, 3)))

    if values["width"] == 5:
        raise ValueError("five is too many")
    return Undecided()


def test_a_users_network_is_described_also_where_it_cannot_be_traced() -> None:
    mine = Space("mine", (Choice("width", (2, 4, 5)),), build)
    members = [check(mine, {"width": width}) for width in (2, 5, 4)]
    found = features(mine, members, SHAPE, 10)
    assert found.known.tolist() == [True, False, True]
    assert not found.values[1].any()
    column = NAMES.index("log_width_100")
    assert found.values[[0, 2], column] == pytest.approx(np.log1p([2, 4]))
    assert found.values[0, NAMES.index("log_depth")] == pytest.approx(math.log1p(2))


def test_no_architectures_have_no_features() -> None:
    assert features(CNN, [], SHAPE, 10).values.shape == (0, len(NAMES))


def test_features_are_of_the_skeleton_and_the_task() -> None:
    member = sample(nasbench201(), np.random.default_rng(0))
    small = features(nasbench201(), [member], SHAPE, 10).values
    wide_space = nasbench201(channels=16)
    wide = features(wide_space, [check(wide_space, member.values)], SHAPE, 10).values
    large = features(nasbench201(), [member], (3, 32, 32), 10).values
    assert wide[0, 0] > small[0, 0]
    assert large[0, 1] > small[0, 1]
    assert np.array_equal(features(nasbench201(), [member], SHAPE, 10).values, small)
