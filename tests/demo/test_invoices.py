import csv
from collections import Counter
from pathlib import Path

import pytest

from perennial.demo.invoices import COLUMNS, DAILY, DUMP_DAY, LineKind, as_table, main, write_files


def written(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in sorted(folder.glob("invoices/*/*"))}


def test_the_same_seed_makes_the_same_bytes(tmp_path: Path):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        list(write_files(tmp_path / folder, 2000, seed))
    assert written(tmp_path / "a") == written(tmp_path / "b")
    assert written(tmp_path / "a").keys() == {str(day) for day in (DUMP_DAY, *DAILY)}
    assert written(tmp_path / "a") != written(tmp_path / "c")


def test_the_reported_counts_of_lines_match_the_files(tmp_path: Path):
    for tally in write_files(tmp_path, 4000):
        data = written(tmp_path)[str(tally.day)]
        with pytest.raises(UnicodeDecodeError):
            data.decode("utf-8")
        header, *rows = csv.reader(data.decode("windows-1252").splitlines(), delimiter=";")
        whole = [row for row in rows if len(row) == len(header)]
        assert tuple(header) == COLUMNS
        assert len(rows) == tally.lines.total()
        assert len(rows) - len(whole) == tally.lines[LineKind.BROKEN]
        assert sum(not row[6] for row in whole) == tally.without_customer.total()
        assert sum(row[0].startswith("C") for row in whole) == tally.lines[LineKind.CANCELLATION]
        assert sum(times - 1 for times in Counter(map(tuple, whole)).values()) == tally.lines[LineKind.TWICE]
        assert sum(row[5].count(",") == 1 and row[5].count(".") == 1 for row in whole) > 0
    assert tally.lines[LineKind.SENT_AGAIN] > 0


def test_the_command_says_how_many_lines_of_which_sort_are_in_each_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("sys.argv", ["invoices", str(tmp_path / "out"), "--lines", "1000", "--seed", "3"])
    main()
    assert capsys.readouterr().out == as_table(list(write_files(tmp_path / "again", 1000, 3))) + "\n"
    assert written(tmp_path / "out") == written(tmp_path / "again")
