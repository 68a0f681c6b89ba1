"""Two pictures of a judgement, for people: are the probabilities honest, and whom do they find first?"""

from matplotlib.figure import Figure

from perennial.models import judgement
from perennial.models.features import Numbers


def calibration(labels: Numbers, said: dict[str, Numbers]) -> Figure:
    """What was said against what came true, in ten bins of equal mass; a line for each set."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for name, probabilities in said.items():
        mean, true, _ = judgement.calibration(labels, probabilities)
        axes.plot(mean, true, marker="o", label=name)
    axes.set(xlabel="probability said", ylabel="share that came back", title="Calibration")
    axes.legend(frameon=False)
    return figure


def gain(labels: Numbers, said: dict[str, Numbers]) -> Figure:
    """Share of those who came back that is found among the first customers by probability."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for name, probabilities in said.items():
        found = judgement.gain(labels, probabilities)
        axes.plot([k / len(labels) for k in range(len(found))], found, label=name)
    axes.set(
        xlabel="share of customers, likeliest first", ylabel="share of those who came back", title="Gain"
    )
    axes.legend(frameon=False)
    return figure
