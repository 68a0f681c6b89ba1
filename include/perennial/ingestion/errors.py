"""What stops a landing."""


class SourceError(ValueError):
    """A source cannot be read; the message says which, what was found and what is allowed.

    report: the page that shows more of it, relative to the reports folder, if there is one.
    """

    def __init__(self, message: str, report: str = "") -> None:
        super().__init__(message)
        self.report = report


class RefusedTableError(RuntimeError):
    """A table rule failed; the message says which table, day and file, what was found and what is allowed.

    report: the page that shows all of it, relative to the reports folder.
    """

    def __init__(self, message: str, report: str = "") -> None:
        super().__init__(message)
        self.report = report
