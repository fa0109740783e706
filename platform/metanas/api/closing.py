"""What a search leaves in its folder when it is over: the winner's export and the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from metanas.api.exporting import export_finished
from metanas.core.errors import MetanasError

if TYPE_CHECKING:
    from metanas.api.searching import Finished


def leave(finished: Finished, home: Path, folder: Path, say: Callable[[str], None]) -> None:
    """Write what is missing; what cannot be written is said and ends nothing.

    Args:
        finished: The search.
        home: As `home_folder` gives it.
        folder: The search's own.
        say: Told what could not be written, and why.
    """
    final = finished.result.final
    if final is not None and final.weights and final.outcome.status == "completed":
        try:
            export_finished(finished, home, folder / "export", onnx=False)
        except MetanasError as error:
            say(f"the winner could not be exported: {error}")
