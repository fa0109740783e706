from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "ray", "mlflow", "pandas", "pyarrow", "sklearn")


def test_nothing_shadows_the_standard_module_platform() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists()


@pytest.mark.parametrize(
    "module",
    [
        "metanas",
        "metanas.core",
        "metanas.core.search",
        "metanas.core.plugins",
        "metanas.core.evaluation",
        "metanas.spaces.cnn",
        "metanas.spaces.nasbench201",
        "metanas.strategies.evolution",
        "metanas.strategies.surrogate",
        "metanas.meta.structure",
        "metanas.measures.zero_cost",
        "metanas.meta.features",
        "metanas.meta.fingerprint",
        "metanas.stores.journal",
        "metanas.testing",
    ],
)
def test_importing_it_imports_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "[]"


def test_the_package_finds_the_linked_folders() -> None:
    import metanas.meta.structure as described
    import metanas.tasks.classification as linked

    assert Path(linked.__file__ or "").resolve() == ROOT / "tasks" / "classification.py"
    assert Path(described.__file__ or "").resolve() == ROOT / "meta" / "structure.py"
