"""The models that are trained, promoted and rolled back, by their registered names."""

TRAINED_MODELS = ("return_model", "recommender")
"""The DAG `train_models` has a task `train_<name>` for each."""
