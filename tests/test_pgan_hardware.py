"""What a machine says about itself, and what is made of it."""

import pytest

from pgan import hardware

_CPUINFO = (
    "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu sse {flags} end\nbugs\t: amx_bf16\n"
)


@pytest.mark.parametrize(
    ("flags", "precision", "word"),
    [
        ("avx512f avx512_bf16 amx_bf16", "mixed_bfloat16", "AMX"),
        ("avx512f avx512_bf16", "mixed_bfloat16", "AVX-512"),
        ("avx512f avx512_fp16", "float32", "no 16-bit"),
    ],
)
def test_processor_flags_decide(flags, precision, word):
    found = hardware.of_processor(_CPUINFO.format(flags=flags))
    assert found.precision == precision
    assert word in found.reason


def test_arm_and_an_unknown_system():
    assert hardware.of_processor("Features\t: fp asimd bf16\n").precision == "mixed_bfloat16"
    assert hardware.of_processor("").precision == "float32"


@pytest.mark.parametrize(
    ("capability", "precision"),
    [
        ((6, 0), "float32"),
        ((7, 0), "mixed_float16"),
        ((7, 5), "mixed_float16"),
        ((8, 0), "mixed_bfloat16"),
        ((9, 0), "mixed_bfloat16"),
    ],
)
def test_compute_capability_decides(capability, precision):
    found = hardware.of_card("Card", capability)
    assert found.precision == precision
    assert "Card" in found.reason


def test_advice_names_the_flag_only_where_it_helps(monkeypatch):
    fast = hardware.FastPrecision("mixed_bfloat16", "it has units")
    monkeypatch.setattr(hardware, "fast_precision", lambda strategy: fast)
    assert "--precision=mixed_bfloat16 would be faster" in hardware.advice("float32")
    assert "the fastest here" in hardware.advice("mixed_bfloat16")
    assert "not the fastest" in hardware.advice("mixed_float16")
    slow = hardware.FastPrecision("float32", "it has none")
    monkeypatch.setattr(hardware, "fast_precision", lambda strategy: slow)
    assert "--precision" not in hardware.advice("float32")
    assert "not the fastest" in hardware.advice("mixed_bfloat16")
