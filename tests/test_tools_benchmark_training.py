"""Benchmarks: rounds and ratios of a made-up clock, real rows of tiny cases, tables, restart."""

import dataclasses
import types

import pytest
import tiny_records

from pgan import arithmetic, benchmark, benchmark_process, results, timing

_QUICK = benchmark.Effort(repeats=2, min_seconds=0.01, matrix_size=64)
_TINY = {"fmap_base": 64, "fmap_max": 8}


class _Machine:
    """A clock that functions advance, and a slowness that changes."""

    def __init__(self):
        self.now = self.slowness = 1.0

    def work(self, seconds):
        return lambda: setattr(self, "now", self.now + seconds * self.slowness)


@pytest.fixture
def machine(monkeypatch):
    machine = _Machine()
    clock = types.SimpleNamespace(
        perf_counter=lambda: machine.now, process_time=lambda: 2 * machine.now
    )
    monkeypatch.setattr(timing, "time", clock)
    return machine


def test_rounds_alternate_and_short_functions_are_called_often(machine):
    order = []

    def logged(name, seconds):
        work = machine.work(seconds)
        return lambda: (order.append(name), work())

    rounds = timing.compare(
        logged("s", 2.0),
        {"r": logged("r", 0.125)},
        repeats=3,
        min_seconds=0.5,
        reference_share=0.25,
    )
    text = "".join(order)
    # A quarter of 2 s is four calls of the reference.
    assert text.endswith("rrrr" + "srrrr" * 3)
    assert [round_.subject.seconds for round_ in rounds] == [2.0] * 3
    assert [round_.references["r"].seconds for round_ in rounds] == [0.125] * 3
    assert rounds[0].subject.cores == 2.0
    assert timing.median_seconds(rounds) == 2.0
    assert timing.median_ratio(rounds, "r") == 1 / 16


def test_ratio_does_not_see_a_machine_that_slows_down(machine):
    def drifting(seconds):
        work = machine.work(seconds)

        def call():
            work()
            machine.slowness *= 1.1

        return call

    rounds = timing.compare(
        drifting(1.0), {"r": drifting(1.0)}, repeats=5, min_seconds=0.1, reference_share=0.1
    )
    assert rounds[-1].subject.seconds > 2 * rounds[0].subject.seconds
    assert timing.median_ratio(rounds, "r") == pytest.approx(1.0, abs=0.01)


def test_no_rounds_are_refused(machine):
    with pytest.raises(ValueError, match="repeats must be at least 1"):
        timing.compare(machine.work(1), {}, repeats=0)


def test_plan_lists_the_cases_in_order():
    cases = benchmark.plan(
        ["input", "step", "peak"], [4, 8], [(8192, 512)], ["float32", "mixed_bfloat16"],
        "16,4:128", "64", records="phantoms",
    )  # fmt: skip
    assert [(case.what, case.resolution, case.batch, case.precision) for case in cases] == [
        ("peak", 0, 0, ""),
        ("step", 4, 128, "float32"),
        ("step", 4, 128, "mixed_bfloat16"),
        ("step", 8, 16, "float32"),
        ("step", 8, 16, "mixed_bfloat16"),
        ("input", 4, 128, "float32"),
        ("input", 8, 16, "float32"),
    ]
    assert {(case.fmap_base, case.fmap_max) for case in cases if case.what == "input"} == {
        (1024, 64)
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"whats": ["steps"]}, "--what must be of peak, step"),
        ({"resolutions": [12]}, "powers of two, 4 to 1024; got 12"),
        ({"precisions": ["bf16"]}, "--precisions must be of"),
        ({"batches": "16:4"}, "--batch has no value for 8 px"),
    ],
)
def test_wrong_plans_are_refused(changes, message):
    good = {
        "whats": ["step"], "resolutions": [8], "widths": [(64, 8)], "precisions": ["float32"],
        "batches": "4", "sampling_batches": "4",
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        benchmark.plan(**{**good, **changes})


def test_plan_lists_forms_and_passes():
    cases = benchmark.plan(
        ["step", "sampling"], [8], [(64, 8)], ["float32"], "16", "4",
        forms=["plain", "fused"], micro_batch="4",
    )  # fmt: skip
    assert [(case.what, case.form, case.micro_batch) for case in cases] == [
        ("step", "plain", 4),
        ("step", "fused", 4),
        ("sampling", "plain", 0),
        ("sampling", "fused", 0),
    ]
    with pytest.raises(ValueError, match="--forms must be of plain, fused, got 'fast'"):
        benchmark.plan(["step"], [8], [(64, 8)], ["float32"], "4", "4", forms=["fast"])


def test_speed_is_told_as_a_multiple_of_plain_float32():
    def row(share, **changes):
        case = benchmark.Case("step", 8, 4, 64, 8, "float32", **changes)
        return case, {**_row(case, None), "utilisation_of_float32": share}

    plain, fast, passes = row(0.5, form="plain"), row(0.75), row(0.25, micro_batch=2)
    rows = [plain[1], fast[1], passes[1]]
    table = benchmark.report([plain[0], fast[0], passes[0]], rows).splitlines()
    column = [cell.strip() for cell in table[2].split("|")].index("times plain float32")
    assert [line.split("|")[column].strip() for line in table[4:]] == ["1.00", "1.50", "0.50"]
    assert "fused, passes of 2" in table[-1]


def test_widths_by_name_or_number():
    assert [benchmark.parse_width(text) for text in ("full", "narrow", "2048:128")] == [
        (8192, 512), (1024, 64), (2048, 128)
    ]  # fmt: skip
    with pytest.raises(ValueError, match="got 'wide'"):
        benchmark.parse_width("wide")


def test_a_step_is_measured_with_its_arithmetic(monkeypatch):
    rounds = [
        timing.Round(timing.Sample(seconds, 4.0), {"float32": timing.Sample(0.5, 1.0)})
        for seconds in (1.0, 2.0, 4.0)
    ]
    monkeypatch.setattr(timing, "compare", lambda *arguments: rounds)
    case = benchmark.Case("step", 8, 4, precision="float32", **_TINY)
    row = benchmark_process.measure(case, _QUICK)
    flops = arithmetic.step_flops(case.network, 3)
    assert (row["slowest"], row["images_per_second"], row["fastest"]) == (1.0, 2.0, 4.0)
    assert row["gflop_per_image"] == pytest.approx(flops / 1e9)
    assert row["gflops"] == pytest.approx(2 * flops / 1e9)
    assert row["peak_gflops"] == {"float32": pytest.approx(2 * 64**3 / 0.5 / 1e9)}
    share = 2 * flops / (2 * 64**3 / 0.5)
    assert row["utilisation"] == row["utilisation_of_float32"] == pytest.approx(share)
    assert row["utilisation_while_computing"] == pytest.approx(share)
    assert (row["cores"], row["reference_cores"]) == (2.0, 2.0)
    assert row["peak_bytes"] > 50e6


def test_the_faded_sixteen_bit_sampling_is_measured():
    case = benchmark.Case("sampling", 8, 3, precision="mixed_bfloat16", fading=True, **_TINY)
    for form in benchmark.FORMS:
        row = benchmark_process.measure(dataclasses.replace(case, form=form), _QUICK)
        assert set(row["peak_gflops"]) == {"float32", "bfloat16"}
        assert row["images_per_second"] > 0


def test_the_input_is_measured_against_the_step(tmp_path):
    records = tiny_records.build(tmp_path / "records")
    case = benchmark.Case("input", 8, 4, precision="float32", records="tiny", **_TINY)
    row = benchmark_process.measure(case, _QUICK, str(tmp_path / "records"), "train")
    assert row["fingerprint"] == records.fingerprint
    assert min(row["ratio"], row["images_per_second"], row["step_images_per_second"]) > 0
    assert row["fed_slowdown"] > -1


def test_a_process_of_its_own_answers_or_tells_why(tmp_path):
    row = benchmark.run(benchmark.Case("peak"), _QUICK)
    assert [(dtype, size) for dtype, size, _ in row["gflops"]] == [
        (dtype, size) for dtype in ("bfloat16", "float32") for size in (16, 32, 64)
    ]
    assert benchmark.Case("peak").of(row)
    missing = benchmark.Case("input", 8, 4, precision="float32", **_TINY)
    with pytest.raises(RuntimeError, match=r"(?s)input 8 px batch 4 .* failed.*nowhere"):
        benchmark.run(missing, _QUICK, str(tmp_path / "nowhere"), "train")


def _row(case, effort, records_dir="", fold=""):
    values = {
        "images_per_second": 2000.0, "slowest": 1900.0, "fastest": 2100.0,
        "gflop_per_image": 0.5, "gflops": 1000.0, "utilisation": 0.8,
        "utilisation_of_float32": 0.8, "peak_gflops": {"float32": 1250.0},
        "peak_bytes": 2**30, "reference_cores": 1.0 if case.resolution == 16 else 2.0,
        "machine": {"cores": 2},
    }  # fmt: skip
    return {**vars(case), **values}


def test_the_same_command_goes_on_where_it_was_ended(run_tool, tmp_path, monkeypatch, capsys):
    output = tmp_path / "out.jsonl"
    asked = []

    def run_two(case, *arguments):
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(case.resolution)
        return _row(case, *arguments)

    command = (
        "benchmark_training", "--what=step", "--widths=narrow", "--precisions=float32",
        "--resolutions=4,8,16", "--forms=fused", f"--output={output}",
    )  # fmt: skip
    monkeypatch.setattr(benchmark, "run", run_two)
    assert run_tool(*command) == 130
    with open(output, "a") as file:
        file.write('{"what": "st')  # A line that was being written.
    monkeypatch.setattr(benchmark, "run", lambda *arguments: asked.append(16) or _row(*arguments))
    run_tool(*command)
    assert asked == [4, 8, 16]
    assert [row["resolution"] for row in results.read(output)] == [4, 8, 16]
    printed = capsys.readouterr().out
    assert "| 8:64     | 1024/64       | float32   | fused | stable | 2,000    |" in printed
    # At 16 px the reference had one of two cores.
    assert "| 16:32    | 1024/64       | float32   | fused | stable | 2,000*   |" in printed
    run_tool(*command)
    assert len(asked) == 3
