"""Go back to an earlier version of a model.

**Makes** one row of `model_log` (`rolled_back`), which puts the version in force from the first undecided day
on; MLflow's alias `champion` follows. Scores of earlier days do not change. The version is held at least
through that first day: candidates are judged against it but not promoted. After the hold they can replace it.
They are judged against this version, never against the one that was removed.

**Starts** by hand: *Trigger*, with a model and a reason in the form. Without a version, the one that was in
force before is used. To undo a roll back, or to go forward again, name the version.

**When it is red**: the log gives the requested version and the possible ones. Clear the failed task: what was
written is not written twice. Trigger it again if another version was promoted meanwhile.
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
FIELDS = {name: f"{{{{ params.{name} or '' }}}}" for name in ("model", "version", "reason", "held_through")}


@dag(schedule=None, max_active_runs=1, **shared(__doc__, "by hand", "models", params=FORM))
def roll_back_model() -> None:
    """Choose the versions, then change the model in force."""

    @task
    def choose(model: str, version: str) -> dict[str, int]:
        """The present and the new version, decided once: a second attempt does not go further back."""
        from perennial.foundation.modelling import roll_back

        return roll_back.choose(model, int(version) if version else None)

    @task
    def change(model: str, versions: dict[str, int], reason: str, held_through: str) -> str:
        """Write the row of `model_log`, then the aliases."""
        from perennial.foundation.modelling import roll_back
        from perennial.orchestration import connections

        return roll_back.roll_back(
            model, **versions, reason=reason, held_through=held_through, endpoint=connections.mlflow()
        )

    versions = choose(FIELDS["model"], FIELDS["version"])
    change(FIELDS["model"], versions, FIELDS["reason"], FIELDS["held_through"])  # type: ignore[arg-type]


roll_back_model()
