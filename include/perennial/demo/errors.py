"""Expected errors of the demo commands, as one sentence for the user."""

from pathlib import Path


class TroubleError(Exception):
    """Ends the command with one sentence and, if there is one, the path of the log to read."""

    def __init__(self, sentence: str, log: Path | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.log = log
