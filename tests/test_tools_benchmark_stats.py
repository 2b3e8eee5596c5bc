"""The benchmark of resampling as typed, small."""

import re


def test_small_benchmark_prints_both_ways_and_their_ratio(run_tool, capsys):
    arguments = ("--images=300", "--patients=100", "--findings=2", "--redraws=20")
    assert run_tool("benchmark_stats", *arguments, "--loop_redraws=2") == 0
    printed = capsys.readouterr().out
    assert "300 images of 100 patients, 2 findings" in printed
    assert float(re.search(r"([\d.]+) times as fast as the loop", printed)[1]) > 0
    assert 0 < float(re.search(r"interval ([\d.]+)", printed)[1]) < 1
