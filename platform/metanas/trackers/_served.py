"""What MLflow runs when it serves a winner: models from code, nothing pickled.

MLflow stores the text of this file beside the exported folder and runs it where the model
is loaded, so it must import nothing but MLflow, NumPy and, through the folder, torch.
"""

import importlib.util
from pathlib import Path
from typing import Any

import mlflow
import numpy as np


class Winner(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Pixels ``[n, *shape]``, 0 to 255, to scores ``[n, classes]``."""

    def load_context(self, context: Any) -> None:
        """Load the exported model."""
        path = Path(context.artifacts["export"]) / "model.py"
        spec = importlib.util.spec_from_file_location("exported_winner", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.model = module.load()

    # MLflow takes type hints here for a schema; the signature that is stored says more.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """The scores of a batch."""
        import torch

        with torch.no_grad():
            return self.model(torch.from_numpy(np.ascontiguousarray(model_input))).numpy()


mlflow.models.set_model(Winner())
