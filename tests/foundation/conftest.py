"""MLflow and a planted model for these tests."""

from tests.learning import endpoint

__all__ = ["endpoint"]
