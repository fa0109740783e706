from __future__ import annotations

import pytest

from metanas.core.graph import INPUT, Graph


@pytest.mark.parametrize(
    ("inputs", "output", "message"),
    [
        (((INPUT,),), (1,), "operation 1 of a graph takes term 1, expected -1 to 0"),
        (((0,),), (0,), "operation 0 of a graph takes term 0, expected -1 to -1"),
        (((-2,),), (0,), "takes term -2"),
        ((), (), "1 operations and 0 inputs"),
    ],
)
def test_a_graph_whose_terms_do_not_come_before_is_refused(inputs, output, message) -> None:
    with pytest.raises(ValueError, match=message):
        Graph(("conv",), inputs, output)


def test_graphs_are_values() -> None:
    one, other = (Graph(("conv",), ((INPUT, INPUT),), (INPUT, 0)) for _ in range(2))
    assert one == other
    assert len({one, other}) == 1
