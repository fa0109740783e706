from __future__ import annotations

from metanas.core.plugins import reference, resolve
from metanas.core.space import Choice, Space
from metanas.estimators.train import Train
from metanas.spaces._cnn_network import ConvNet
from metanas.tasks.digits import digits
from metanas.testing import check_estimator

SMALL = Space(
    "small",
    (Choice("width", (4, 8)),),
    lambda values, shape, outputs: ConvNet(
        shape,
        outputs,
        kernels=(3,),
        depth=1,
        width=int(values["width"]),
        growth=1.0,
        block="plain",
        pool="max",
        norm="batch",
        activation="relu",
    ),
)


def test_training_keeps_the_laws_of_an_estimator() -> None:
    objectives = [resolve(reference("objectives", name)) for name in ("accuracy", "params")]
    check_estimator(Train(), SMALL, digits(), objectives=objectives)
