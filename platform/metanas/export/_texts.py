"""The texts of an exported folder's files, with places for what differs."""

MODEL = '''"""{title}

Needs torch and nothing else::

    from model import load

    model = load()
    scores = model(images)  # images [n, {shape}], pixels 0 to 255; scores [n, {outputs}]

`CLASSES[i]` is what score `i` stands for.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn
{imports}
SHAPE = {shape_tuple}
CLASSES = {classes}
KINDS = {{
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}}


{network}


class Model(nn.Module):
    """Scales pixels as in training, then runs the network."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros({view}))
        self.register_buffer("deviation", torch.ones({view}))
        self.network = Network()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Pixels ``[n, {shape}]``, 0 to 255, to scores ``[n, {outputs}]``."""
        return self.network((images.float() - self.mean) / self.deviation)


def read(path: str | Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file: 8 bytes with the header's size, the header, the data."""
    content = Path(path).read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    tensors = {{}}
    for name, facts in json.loads(content[8:start]).items():
        if name == "__metadata__":
            continue
        first, last = facts["data_offsets"]
        raw = bytearray(content[start + first : start + last])
        tensor = torch.frombuffer(raw, dtype=KINDS[facts["dtype"]])
        tensors[name] = tensor.reshape(facts["shape"])
    return tensors


def load(weights: str | Path = Path(__file__).with_name("weights.safetensors")) -> Model:
    """The trained model, ready to use."""
    model = Model()
    model.load_state_dict(read(weights))
    return model.eval()
'''

CHECK = '''"""Compare the model with what the searched network gave; needs torch alone.

Run: python check.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from model import load, read

FOLDER = Path(__file__).parent


def main() -> int:
    """Print how far the outputs are from those of the search; 0 if near enough."""
    sample = read(FOLDER / "sample.safetensors")
    with torch.no_grad():
        outputs = load()(sample["inputs"])
    worst = float((outputs - sample["outputs"]).abs().max())
    good = worst < 1e-5
    print(f"model.py: largest difference {{worst:.1e}}, {{'good' if good else 'NOT below 1e-5'}}")
    return 0 if good and onnx(sample) else 1


def onnx(sample: dict[str, torch.Tensor]) -> bool:
    """The same for model.onnx, where it is there and onnxruntime can be imported."""
    path = FOLDER / "model.onnx"
    if not path.exists():
        print("model.onnx: not in this folder, not checked")
        return True
    try:
        import numpy
        import onnxruntime
    except ImportError as error:
        print(f"model.onnx: not checked, {{error.name}} is not installed")
        return True
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = numpy.asarray(sample["inputs"].float().tolist(), dtype=numpy.float32)
    (outputs,) = session.run(None, {{session.get_inputs()[0].name: inputs}})
    worst = float((torch.tensor(outputs.tolist()) - sample["outputs"]).abs().max())
    good = worst < 1e-4
    print(f"model.onnx: largest difference {{worst:.1e}}, {{'good' if good else 'NOT below 1e-4'}}")
    return good


if __name__ == "__main__":
    sys.exit(main())
'''

README = """# {name}

{title}

```python
from model import load

model = load()
scores = model(images)  # [n, {shape}], pixels 0 to 255
```

{scores}

| file | what |
|---|---|
| `model.py` | the network as plain code; needs torch alone |
| `weights.safetensors` | its weights, and how pixels are scaled |
| `recipe.json` | task, architecture, training, seeds and metrics |
| `sample.safetensors` | eight inputs, and what the searched network gave for them |
| `check.py` | compares the two: `python check.py` |
{onnx}
The architecture:

{architecture}
"""
