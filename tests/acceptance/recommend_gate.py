"""The recommender's gate, through the real promotion and a real MLflow: five situations, five decisions.

The models are the demo's, learned once. A worse one is made of it by noise on the weights of its networks;
one that is bad for a slice by turning what it learned of things never bought upside down.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import torch

from perennial.embeddings import pipeline as embeddings
from perennial.foundation.endpoint import Endpoint
from perennial.foundation.modelling import promotion, tracking
from perennial.recommend import pipeline, registration
from perennial.recommend.data.window_purchases import WindowPurchases
from perennial.recommend.evaluation.scorecard import NEW
from perennial.recommend.fit import Fit
from perennial.recommend.ranking.listwise_network import ListwiseNetwork
from perennial.recommend.ranking.ranker import CandidateKind
from perennial.recommend.recommender import FITS, NAME, Recommender
from perennial.recommend.settings import recommender_settings
from tests.acceptance import year
from tests.acceptance.forks import settled
from tests.acceptance.lines import Line
from tests.learning import empty_mlflow

DAY = date(2017, 9, 30)
_NOISE = 2.0
"""Standard deviations of the noise, in mean sizes of a weight; 1 is worse by less than the margin."""

Made = Callable[[Recommender], Recommender]


@dataclass(frozen=True)
class Situation:
    """Who is champion, who comes so many days later, what is decided, and what the reason must say."""

    champion: Made
    candidate: Made
    days: int
    verdict: str
    reason: str


def gate() -> Iterator[Line]:
    """Five candidates for what customers want next against one champion each: who is promoted, and why."""
    with year.shop() as lake:
        embeddings.embed(str(DAY))
        model, truth = pipeline.fit_both(lake, DAY, recommender_settings())
    yield from decided(model, truth)


def decided(model: Recommender, truth: WindowPurchases) -> Iterator[Line]:
    """The five decisions on what is made of a model."""
    for name, situation in SITUATIONS.items():
        message = _played(situation, model, truth)
        print(f"  {name}: {message}", flush=True)
        decision, _, reason = message.partition(": ")
        right = decision == situation.verdict and situation.reason in reason
        yield Line(f"recommend.gate_{name}", decision, f"={situation.verdict}", right)


def same(model: Recommender) -> Recommender:
    """As it is."""
    return model


def worse(model: Recommender) -> Recommender:
    """Everything it learned to rank by is blurred."""
    return _changed(model, dict.fromkeys(CandidateKind, _blurred))


def unfair(model: Recommender) -> Recommender:
    """What customers never bought is ranked the wrong way round."""
    return _changed(model, {CandidateKind.NEW: _turned})


SITUATIONS = {
    "copy_of_the_champion_but_fresher": Situation(same, same, 1, "promoted", "fresher and not worse"),
    "worse_model": Situation(same, worse, 1, "kept", "not shown to be as good as the champion"),
    "better_model": Situation(worse, same, 1, "promoted", "fresher and better"),
    "better_model_that_is_bad_for_a_slice": Situation(worse, unfair, 1, "kept", f"clearly worse for {NEW}"),
    "older_days_candidate_arriving_late": Situation(same, same, -2, "none", "too late"),
}


def _played(situation: Situation, model: Recommender, truth: WindowPurchases) -> str:
    """What the promotion says of the candidate, in a shop and an MLflow of their own."""
    with tempfile.TemporaryDirectory(prefix="perennial-gate-") as name, settled(Path(name)):
        shutil.copy(empty_mlflow(Path(name) / "empty"), Path(name) / "mlflow.db")
        endpoint = Endpoint(f"sqlite:///{name}/mlflow.db")
        _train(endpoint, DAY, situation.champion(model), truth)
        promotion.promote(DAY, endpoint, (NAME,))
        day = DAY + timedelta(situation.days)
        _train(endpoint, day, situation.candidate(model), truth)
        return promotion.promote(day, endpoint, (NAME,))[NAME]


def _train(endpoint: Endpoint, day: date, model: Recommender, truth: WindowPurchases) -> None:
    settings = recommender_settings()
    with tracking.run(endpoint, NAME, f"{NAME} {day}", {"day": str(day)}) as run:
        registered = registration.register(run, model, truth)
        margins = {"margin": settings.margin, "group_margin": settings.group_margin}
        run.log(params=margins, metrics={}, model=registered.model_id)
    tracking.set_aliases(endpoint, NAME, {tracking.CHALLENGER: registered.version})


def _changed(
    model: Recommender, how: dict[CandidateKind, Callable[[ListwiseNetwork], ListwiseNetwork]]
) -> Recommender:
    def changed(fit: Fit) -> Fit:
        networks = {kind: change(fit.ranker.networks[kind]) for kind, change in how.items()}
        return replace(fit, ranker=replace(fit.ranker, networks=fit.ranker.networks | networks))

    return replace(model, **{name: changed(getattr(model, name)) for name in FITS})


def _blurred(network: ListwiseNetwork) -> ListwiseNetwork:
    chance = torch.Generator().manual_seed(0)

    def blurred(weight: torch.Tensor) -> torch.Tensor:
        return weight + _NOISE * weight.abs().mean() * torch.randn(weight.shape, generator=chance)

    return _with(network, blurred)


def _turned(network: ListwiseNetwork) -> ListwiseNetwork:
    # Only the last layers have one output.
    return _with(network, lambda weight: -weight if weight.shape[0] == 1 else weight)


def _with(network: ListwiseNetwork, weights: Callable[[torch.Tensor], torch.Tensor]) -> ListwiseNetwork:
    networks = deepcopy(network.networks)
    for module in networks:
        module.load_state_dict({name: weights(weight) for name, weight in module.state_dict().items()})
    return replace(network, networks=networks)
