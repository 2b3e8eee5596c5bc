"""The set-up: locks, what is installed from them, metadata, and make's answers to mistakes."""

import configparser
import importlib.metadata
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import setuptools

_ROOT = pathlib.Path(__file__).parents[1]
_LOCKS = ("requirements.lock", "requirements-gpu.lock")
_ENTRY = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)((?: \\\n +--hash=sha256:[0-9a-f]{64})*)$", re.M)


def _entries(lock):
    """{name: (version, number of hashes)} of a lock; fails on a line that is none of an entry's."""
    text = (_ROOT / lock).read_text()
    left_over = re.sub(r"(?m)^ *#.*\n|^\n", "", _ENTRY.sub("", text))
    assert left_over.strip() == ""
    return {
        name: (version, hashes.count("--hash")) for name, version, hashes in _ENTRY.findall(text)
    }


def _setup_cfg():
    parser = configparser.ConfigParser()
    parser.read(_ROOT / "setup.cfg")
    return parser


def _lines(text):
    return {line for line in text.splitlines() if line and not line.startswith("#")}


def _make(*arguments):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments], cwd=_ROOT, env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("lock", _LOCKS)
def test_every_locked_package_has_hashes(lock):
    entries = _entries(lock)
    assert len(entries) > 100
    assert [name for name, (_, hashes) in entries.items() if not hashes] == []


@pytest.mark.parametrize("lock", _LOCKS)
def test_locks_hold_the_stack_that_was_made_to_work(lock):
    stack = {
        "tensorflow": "2.14.1",
        "keras": "2.14.0",
        "tensorflow-addons": "0.23.0",
        "keras-cv": "0.9.0",
        "tensorflow-federated": "0.87.0",
        "tensorflow-privacy": "0.9.0",
        "dp-accounting": "0.4.3",
        "tensorflow-serving-api": "2.14.1",
        "tensorboard": "2.14.1",
        "numpy": "1.25.2",
        "scipy": "1.9.3",
        # tensorflow-federated asks for 0.4.14, which the index no longer has.
        "jax": "0.4.18",
        "jaxlib": "0.4.18",
    }
    entries = _entries(lock)
    assert {name: entries[name][0] for name in stack} == stack
    # TensorBoard 2.14 imports pkg_resources, which setuptools 81 begins to drop.
    assert int(entries["setuptools"][0].split(".")[0]) < 81


def test_gpu_lock_adds_cuda_libraries_and_changes_nothing():
    cpu, gpu = (_entries(lock) for lock in _LOCKS)
    added = gpu.keys() - cpu.keys()
    assert all(re.fullmatch(r"nvidia-\w+(-\w+)*-cu11", name) for name in added)
    assert len(added) == 10
    assert {name: gpu[name] for name in cpu} == cpu


def test_environment_is_the_lock():
    locked = {name: version for name, (version, _) in _entries(_LOCKS[0]).items()}
    assert {name: importlib.metadata.version(name) for name in locked} == locked


def test_environment_is_consistent_except_for_jax():
    check = [sys.executable, "-m", "pip", "--disable-pip-version-check", "check"]
    lines = subprocess.run(check, capture_output=True, text=True).stdout.splitlines()
    assert sorted(lines) == [
        f"tensorflow-federated 0.87.0 has requirement {name}==0.4.14, but you have {name} 0.4.18."
        for name in ("jax", "jaxlib")
    ]


def test_requirements_are_those_of_the_metadata():
    options = _setup_cfg()
    declared = _lines(options["options"]["install_requires"])
    for extra in options["options.extras_require"].values():
        declared |= _lines(extra)
    assert _lines((_ROOT / "requirements.in").read_text()) == declared
    assert options["options"]["python_requires"] == "==3.11.*"


def test_every_folder_with_code_is_packaged():
    include = _lines(_setup_cfg()["options.packages.find"]["include"])
    packaged = setuptools.find_packages(str(_ROOT), include=include)
    folders = {
        ".".join(path.parent.relative_to(_ROOT).parts)
        for package in ("pgan", "classifier", "federated")
        for path in (_ROOT / package).rglob("*.py")
    }
    assert set(packaged) == folders


def test_every_file_beside_the_code_is_packaged():
    patterns = _setup_cfg()["options.package_data"]
    for package in ("pgan", "classifier", "federated"):
        beside = {
            path
            for path in (_ROOT / package).rglob("*")
            if path.is_file() and path.suffix not in (".py", ".pyc")
        }
        found = {
            path
            for pattern in _lines(patterns.get(package, ""))
            for path in (_ROOT / package).glob(pattern)
        }
        assert found == beside, package


def test_packages_are_found_from_any_folder(tmp_path):
    code = "import pgan, classifier, federated; print(pgan.__file__)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert pathlib.Path(run.stdout.strip()).parent == _ROOT / "pgan"


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ('[ "$1" = --version ] && echo Python 3.12.1', "Python 3.12.1"),  # not 3.11
        ('[ "$1" = --version ] && echo Python 3.11.2', "Python 3.11.2"),  # but without venv
    ],
)
def test_unsuitable_python_is_answered_in_one_line(tmp_path, answer, found):
    python = tmp_path / "python3"
    python.write_text(f"#!/bin/sh\n{answer}\n")
    python.chmod(0o755)
    run = _make("setup", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}")
    assert run.returncode != 0
    assert len(run.stderr.splitlines()) == 1
    assert f"Python 3.11 with its venv module is needed, found: {found}" in run.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "needs DATA="),
        (("DATA=/nowhere", "RUNS=/runs"), "'/nowhere'"),
        (("DATA=/",), "needs RUNS="),
    ],
)
def test_real_names_the_folder_it_misses(arguments, message):
    run = _make("--dry-run", "real", *arguments)
    assert run.returncode != 0
    assert len(run.stderr.splitlines()) == 1
    assert message in run.stderr


def test_complete_environment_is_not_made_again(tmp_path):
    for lock in _LOCKS:
        venv = tmp_path / lock
        venv.mkdir()
        for name in (lock, "project"):  # newer than what they depend on
            (venv / name).touch()
        assert "Nothing to be done" in _make("setup", f"VENV={venv}").stdout


def test_gpu_environment_is_chosen_once(tmp_path):
    shutil.copy(_ROOT / _LOCKS[1], tmp_path)
    assert _LOCKS[1] not in _make("--dry-run", "setup", f"VENV={tmp_path / 'none'}").stdout
    assert _LOCKS[1] in _make("--dry-run", "setup", f"VENV={tmp_path / 'none'}", "GPU=1").stdout
    assert f"-r {_LOCKS[0]}" not in _make("--dry-run", "setup", f"VENV={tmp_path}").stdout
    assert f"-r {_LOCKS[0]}" in _make("--dry-run", "setup", f"VENV={tmp_path}", "GPU=0").stdout


def test_ci_runs_the_tests():
    script = _ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "make test" in script.read_text()
