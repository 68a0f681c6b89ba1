"""MLflow and a planted model for these tests."""

from tests.learning import endpoint
from tests.planted import only_planted

__all__ = ["endpoint", "only_planted"]
