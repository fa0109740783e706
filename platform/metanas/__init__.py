"""metanas: neural architecture search on Ray, tracked in MLflow, that learns from its past."""

__version__ = "0.1.0"
