"""What goes wrong, in one sentence for the person at the keyboard."""

from pathlib import Path


class TroubleError(Exception):
    """Ends the command with a plain sentence and, where there is one, the log to read."""

    def __init__(self, sentence: str, log: Path | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.log = log
