"""Go back to an earlier version of a model.

**Makes** one row of `model_log` (`rolled_back`), which puts the version in force from the first day on that
is not decided yet; MLflow's alias `champion` follows. What was scored on days before stays as it is. The
version is held at least through that first day: candidates are judged against it and kept out. After the hold
they may take its place, judged against it and never against the version that went.

**Wakes** by hand: *Trigger*, with a model and a reason in the form. Without a version it is the one that was
in force before. To undo it, or to go forth again, name the version to go to.

**When it is red**: the log says what was asked for and what is possible. Clear the failed task: what is
written already is not written again. Trigger it anew if another version was promoted meanwhile.
"""

from airflow.sdk import Param, dag, task

from perennial.orchestration.defaults import shared
from perennial.orchestration.trained_models import TRAINED_MODELS

FORM = {
    "model": Param("return_model", type="string", enum=list(TRAINED_MODELS), title="Model"),
    "version": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        title="Version",
        description="Of the registry; it must have been in force. Empty: the one before the present one",
    ),
    "reason": Param(
        type="string", minLength=3, title="Reason", description="For whoever reads the log and MLflow later"
    ),
    "held_through": Param(
        None,
        type=["null", "string"],
        format="date",
        title="Held through",
        description="The last day on which no candidate takes its place. Empty: the first open day only",
    ),
}
ASKED = {name: f"{{{{ params.{name} or '' }}}}" for name in ("model", "version", "reason", "held_through")}


@dag(schedule=None, max_active_runs=1, **shared(__doc__, "by hand", "models", params=FORM))
def roll_back_model() -> None:
    """Choose, then change."""

    @task
    def choose(model: str, version: str) -> dict[str, int]:
        """From which version to which; settled here, so that a second attempt does not go further back."""
        from perennial.foundation.modelling import roll_back

        return roll_back.choose(model, int(version) if version else None)

    @task
    def change(model: str, chosen: dict[str, int], reason: str, held_through: str) -> str:
        """Write the row, then the aliases."""
        from perennial.foundation.modelling import roll_back
        from perennial.orchestration import connections

        return roll_back.roll_back(
            model, **chosen, reason=reason, held_through=held_through, endpoint=connections.mlflow()
        )

    chosen = choose(ASKED["model"], ASKED["version"])
    change(ASKED["model"], chosen, ASKED["reason"], ASKED["held_through"])  # type: ignore[arg-type]


roll_back_model()
