"""The benchmarks themselves, at a size that takes no time, so that they cannot rot."""

from tests.benchmarks import bench, lake


def test_a_benchmark_compares_with_a_peer_and_a_floor():
    results = list(lake.run((200, 2000)))
    assert [result.size for result in results] == [200, 2000]
    for result in results:
        assert result.ours_s > 0
        assert result.ratio == result.peer_s / result.ours_s
        assert result.of_floor == result.ours_s / result.floor_s
    assert -1 < bench.growth(results) < 2
