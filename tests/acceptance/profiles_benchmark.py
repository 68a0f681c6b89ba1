"""What the profiles of a day cost, and how that grows."""

from collections.abc import Iterator

from tests.acceptance.lines import Line, at_least, at_most


def benchmark() -> Iterator[Line]:
    """All sections for the customers once, ten and fifty times, against hand-written SQL and plain pandas."""
    from tests.benchmarks import bench
    from tests.benchmarks import profiles as measured

    results = []
    for copies in measured.COPIES:
        for result in measured.over(copies):
            print(f"  {result}", flush=True)
            results.append(result)
            peer = result.name.removeprefix("profiles_")
            if peer == "sql":
                yield at_most(f"profiles.time_of_sql_x{copies}", 1 / result.ratio, 1.5, "")
            else:
                least = 10 if copies == measured.PANDAS_MOST else 1
                yield at_least(f"profiles.faster_than_{peer}_x{copies}", result.ratio, least, "x")
    bench.save(results)
    grown = [result for result in results if result.name == "profiles_sql"]
    yield at_least("profiles.events", grown[-1].size, 73_000_000, "")
    yield at_most("profiles.growth", bench.growth(grown), 1.1, "")
    yield at_most("profiles.peak", grown[-1].peak_mb, 6000, "MB")
