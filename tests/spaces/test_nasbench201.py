from __future__ import annotations

import numpy as np
import torch

from metanas.core.space import Space, check, sample
from metanas.spaces import _cells
from metanas.spaces.nasbench201 import OPERATIONS, SPACE


def network(
    space: Space, operations: list[str], shape: tuple[int, ...] = (1, 8, 8)
) -> torch.nn.Module:
    values = dict(zip(_cells.NAMES, operations, strict=True))
    torch.manual_seed(0)
    return space.build(check(space, values).values, shape, 3).eval()


def test_it_has_15625_members() -> None:
    assert SPACE().size == 15_625


def test_the_skeletons_size_is_an_option() -> None:
    all_convolutions = ["nor_conv_3x3"] * 6
    sizes = [
        sum(p.numel() for p in network(SPACE(channels=c, cells=n), all_convolutions).parameters())
        for c, n in ((4, 1), (8, 1), (8, 2))
    ]
    assert sizes == sorted(set(sizes))


def test_dead_edges_are_not_built() -> None:
    lone = network(SPACE(), ["none", "none", "none", "nor_conv_3x3", "none", "none"])
    dead = network(SPACE(), ["nor_conv_3x3", "none", "none", "nor_conv_3x3", "none", "none"])
    count = [sum(p.numel() for p in module.parameters()) for module in (lone, dead)]
    assert count[0] == count[1]


def test_a_cell_without_a_path_still_answers() -> None:
    outputs = network(SPACE(), ["none"] * 6)(torch.rand(2, 1, 8, 8))
    assert outputs.shape == (2, 3)
    assert torch.isfinite(outputs).all()


def test_members_of_one_id_are_the_same_function_where_nothing_is_random() -> None:
    space, rng = SPACE(channels=2), np.random.default_rng(0)
    images = torch.rand(2, 1, 8, 8)
    plain = [o for o in OPERATIONS if "conv" not in o]  # identities, pools and zeros learn nothing
    found: dict[str, torch.Tensor] = {}
    shared = 0
    for _ in range(40):
        values = {name: str(rng.choice(plain)) for name in _cells.NAMES}
        torch.manual_seed(0)
        with torch.no_grad():
            outputs = space.build(values, (1, 8, 8), 3).eval()(images)
        identity = check(space, values).id
        shared += identity in found
        torch.testing.assert_close(outputs, found.setdefault(identity, outputs))
    assert shared > 10


def test_options_are_strings_that_a_table_can_hold() -> None:
    drawn = sample(SPACE(), np.random.default_rng(0))
    assert set(drawn.values) == {"e01", "e02", "e12", "e03", "e13", "e23"}
    assert all(value in OPERATIONS for value in drawn.key)
