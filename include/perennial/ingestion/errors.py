"""What stops a landing."""


def _in_a_line(message: str) -> str:
    """The message without line breaks and control characters, which names of files and columns may hold."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in message)


class SourceError(ValueError):
    """A source cannot be read; the message says which, what was found and what is allowed.

    report: the page that shows more of it, relative to the reports folder, if there is one.
    """

    def __init__(self, message: str, report: str = "") -> None:
        super().__init__(_in_a_line(message))
        self.report = report


class RefusedTableError(RuntimeError):
    """A table rule failed; the message says which table, day and file, what was found and what is allowed.

    report: the page that shows all of it, relative to the reports folder.
    """

    def __init__(self, message: str, report: str = "") -> None:
        super().__init__(_in_a_line(message))
        self.report = report
