"""A network of my own: how deep, how wide, which kernels, how much dropout."""

from torch import nn

from metanas import Choice, Space


def build(values, shape, outputs):
    layers, channels = [], shape[0]
    for _ in range(values["depth"]):
        conv = nn.Conv2d(channels, values["width"], values["kernel"], padding="same")
        layers += [conv, nn.BatchNorm2d(values["width"]), nn.ReLU(), nn.MaxPool2d(2)]
        channels = values["width"]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(values["dropout"])]
    return nn.Sequential(*layers, nn.Linear(channels, outputs))


CHOICES = (
    Choice("depth", (1, 2, 3), ordered=True),
    Choice("width", (8, 16, 32), ordered=True),
    Choice("kernel", (3, 5, 7), ordered=True),
    Choice("dropout", (0.0, 0.1, 0.3), ordered=True),
)
space = Space("my_net", CHOICES, build)
