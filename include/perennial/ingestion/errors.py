"""The errors that stop a landing."""


def _in_a_line(message: str) -> str:
    """The message in one line. Names of files and columns may contain line breaks and control characters."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in message
    )


class SourceError(ValueError):
    """A source cannot be read. The message names the source, what was found and what is allowed.

    report: the page with all results, relative to the reports folder; empty if there is none.
    """

    def __init__(self, message: str, report: str = "") -> None:
        super().__init__(_in_a_line(message))
        self.report = report


class RefusedTableError(RuntimeError):
    """A table rule failed. The message names the table, day and file, what was found and what is allowed.

    report: the page with all results, relative to the reports folder; empty if there is none.
    """

    def __init__(self, message: str, report: str = "") -> None:
        super().__init__(_in_a_line(message))
        self.report = report
