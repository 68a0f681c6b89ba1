"""A model into the registry: with its test cases, settings, figures and how each source did alone."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from perennial.foundation.modelling import tracking
from perennial.foundation.modelling.registered import Pyfunc, Registered
from perennial.recommend import recommender
from perennial.recommend.any_data import report
from perennial.recommend.data.window_purchases import WindowPurchases
from perennial.recommend.evaluation import comparison, pictures
from perennial.recommend.evaluation.baselines import RULES
from perennial.recommend.evaluation.scorecard import scorecards
from perennial.recommend.recommender import NAME, Recommender
from perennial.recommend.settings import RecommenderSettings

_EXAMPLE_CUSTOMERS = 3
_COMPARED_CUSTOMERS = 500
"""For so many customers every source is judged alone, every day."""
_PROTOCOL = (
    "different merchandise items bought in the 28 days, warm or cold, by customers who had bought before; "
    "every sellable item ranked, none sampled"
)


def register(run: tracking.Run, model: Recommender, truth: WindowPurchases) -> Registered:
    """Register a model, with the purchases that it is judged by beside it."""
    with tempfile.TemporaryDirectory() as folder:
        truth.save(Path(folder) / "bought.parquet")
        run.log_file(Path(folder) / "bought.parquet", tracking.EXAMINATION)
        return run.register(_pyfunc(model, Path(folder) / NAME))


def log(
    run: tracking.Run,
    model: Recommender,
    truth: WindowPurchases,
    settings: RecommenderSettings,
    model_id: str,
) -> None:
    """Log parameters, and the figures of the judged fit and of two simple rules on the newest window."""
    params = {
        **_by_path(settings.model_dump(exclude={"excluded_categories"})),
        "excluded_categories": ", ".join(sorted(settings.excluded_categories)),
        "protocol": _PROTOCOL,
        "customers_examination": len(truth.customer_ids),
        "items_on_shelf": len(model.served.sources.catalogue),
        "texts_on_shelf": len(model.served.sources.catalogue.vectors),
    }
    by_rule = scorecards(model.judged, truth, {"": model.judged.probability, **RULES})
    metrics = {
        f"{name}_{figure}".strip("_"): value
        for name, scorecard in by_rule.items()
        for figure, value in scorecard.figures().items()
    }
    run.log(params=params, metrics=metrics, model=model_id)


def log_comparison(run: tracking.Run, model: Recommender, truth: WindowPurchases) -> None:
    """Log a run within the run for the ranker and each source alone, and the picture of who wins where."""
    compared = comparison.compare(model.judged, truth, truth, max_customers=_COMPARED_CUSTOMERS)
    for method, metrics in comparison.by_method(compared.figures).items():
        with run.child(method, {"way": method}) as child:
            child.log(metrics=metrics)
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / report.PICTURE
        picture.write_text(pictures.who_wins(compared.figures, report.labels(compared)))
        run.log_file(picture)


def _pyfunc(model: Recommender, folder: Path) -> Pyfunc:
    model.save(folder)
    example = pd.DataFrame({"customer_id": model.served.history.customer_ids[:_EXAMPLE_CUSTOMERS]})
    return Pyfunc(
        name=NAME,
        folder=folder,
        loader=recommender.__name__,
        example=example,
        answer=model.predict(example),
        options={"k": 20, "fit": "served"},
        packages=recommender.PACKAGES,
    )


def _by_path(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted path, as MLflow takes them."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        path = f"{prefix}{name}"
        flat |= _by_path(value, f"{path}.") if isinstance(value, Mapping) else {path: value}
    return flat
