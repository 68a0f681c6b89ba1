"""MLflow for these tests."""

from tests.learning import endpoint

__all__ = ["endpoint"]
