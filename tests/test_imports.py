"""Imports flow one way: tools, tests -> classifier, federated -> pgan. Read from the source."""

import ast
import functools
import pathlib
import sys

import pytest

_ROOT = pathlib.Path(__file__).parents[1]
_PACKAGES = ("pgan", "classifier", "federated")
_FRAMEWORKS = {"tensorflow", "keras", "jax", "matplotlib"}

# Quick to import: what a command needs to answer at once, what worker processes load, and what is
# arithmetic that needs no TensorFlow.
_LIGHT = (
    "federated/config.py",
    "federated/quorum.py",
    "federated/sites.py",
    "pgan/config.py",
    "classifier/agreement.py",
    "classifier/calibration.py",
    "classifier/correlation.py",
    "classifier/correlation_files.py",
    "classifier/correlation_text.py",
    "classifier/evaluation.py",
    "classifier/predictions.py",
    "classifier/reader_answers.py",
    "classifier/reader_intervals.py",
    "classifier/reader_plan.py",
    "classifier/reader_report.py",
    "classifier/reader_results.py",
    "classifier/reader_study.py",
    "classifier/resampling.py",
    "classifier/stats.py",
    "pgan/schedule.py",
    "pgan/deposit/gate.py",
    "pgan/deposit/vocabulary.py",
    "pgan/label_plan.py",
    "pgan/model_card.py",
    "pgan/finding_subsets.py",
    *(
        f"pgan/metrics/{name}.py"
        for name in (
            "diversity",
            "frechet",
            "kernel",
            "manifold",
            "names",
            "similarity",
            "spectrum",
            "wasserstein",
            "weight_files",
        )
    ),
    *(
        f"pgan/data/{path.name}"
        for path in sorted((_ROOT / "pgan/data").glob("*.py"))
        if path.name not in ("__init__.py", "record_reader.py")
    ),
)


def _files(*folders):
    return [path for folder in folders for path in sorted((_ROOT / folder).rglob("*.py"))]


def _name(path):
    """Module name by which others import a file; tools/ itself is on the path of a tool."""
    parts = path.relative_to(_ROOT).with_suffix("").parts
    if parts[0] in ("tools", "tests"):
        parts = parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


_MODULES = {_name(path): path for path in _files(*_PACKAGES, "tools")}
_TOOLS = {_name(path) for path in _files("tools")}
_TESTS = {_name(path) for path in _files("tests")}


def _statements(body, module_level):
    for node in body:
        yield node
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if not (module_level and is_function):
            yield from _statements(ast.iter_child_nodes(node), module_level)


def _imports(source, module_level=False):
    """Modules that a file imports, by their full names.

    Args:
        source: Text of the file.
        module_level: Whether to leave out what is imported inside functions.
    """
    names = set()
    for node in _statements(ast.parse(source).body, module_level):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@functools.cache
def _reads(path, module_level=False):
    return _imports(path.read_text(), module_level)


def _within(name, packages):
    return any(name == package or name.startswith(package + ".") for package in packages)


def _violations(paths, forbidden):
    return [
        f"{path.relative_to(_ROOT)} imports {name}"
        for path in paths
        for name in sorted(_reads(path))
        if _within(name, forbidden)
    ]


def _project_modules(name):
    """The project's files that importing a name runs: its packages, and itself."""
    parts = name.split(".")
    prefixes = [".".join(parts[: i + 1]) for i in range(len(parts))]
    return [prefix for prefix in prefixes if prefix in _MODULES]


def _chains(path):
    """Yields (imported name, files on the way to it) for all that importing a file imports."""
    waiting, seen = [(path, (str(path.relative_to(_ROOT)),))], {path}
    while waiting:
        current, chain = waiting.pop()
        for name in sorted(_reads(current, module_level=True)):
            yield name, chain
            for module in _project_modules(name):
                if _MODULES[module] not in seen:
                    seen.add(_MODULES[module])
                    waiting.append((_MODULES[module], (*chain, module)))


def test_imports_are_found_where_they_hide():
    source = (
        "import a.b as c\nfrom d import e\n"
        "try:\n    import f\nexcept ImportError:\n    pass\n"
        "class C:\n    import g\n    def m(self):\n        from h import i\n"
        "def n():\n    if True:\n        import j\n"
    )
    assert _imports(source, module_level=True) == {"a.b", "d.e", "f", "g"}
    assert _imports(source) == {"a.b", "d.e", "f", "g", "h.i", "j"}


@pytest.mark.parametrize(
    "package, others",
    [
        ("pgan", ("classifier", "federated")),
        ("classifier", ("federated",)),
        ("federated", ("classifier",)),
    ],
)
def test_packages_import_downwards_only(package, others):
    assert _violations(_files(package), others) == []


def test_nothing_imports_tools_or_tests():
    assert _violations(_files(*_PACKAGES), {"tools", "tests", *_TOOLS, *_TESTS}) == []
    others = {
        "tools",
        "tests",
        *_TESTS,
        *_TOOLS - {"config_flags", "site_main", "study_sizes", "study_steps", "tool_main"},
    }
    assert _violations(_files("tools"), others) == []


def test_tools_shadow_nothing():
    """A tool's folder comes first on its path, so its files hide modules of the same name."""
    assert _TOOLS.isdisjoint({*_PACKAGES, *sys.stdlib_module_names})


def test_flags_are_read_in_tools_only():
    assert _violations(_files(*_PACKAGES), {"absl.flags", "absl.app"}) == []


def test_only_tff_files_import_tensorflow_federated():
    others = [
        path
        for path in _files(*_PACKAGES, "tools")
        if not (path.parent == _ROOT / "federated" and path.name.startswith("tff_"))
    ]
    assert _violations(others, {"tensorflow_federated"}) == []


def test_only_plots_import_matplotlib():
    others = [path for path in _files(*_PACKAGES, "tools") if not path.name.endswith("plots.py")]
    assert _violations(others, {"matplotlib"}) == []


@pytest.mark.parametrize("path", [*_LIGHT, *(f"tools/{name}.py" for name in sorted(_TOOLS))])
def test_light_modules_load_no_framework(path):
    heavy = [
        f"{name} by way of {' -> '.join(chain)}"
        for name, chain in _chains(_ROOT / path)
        if name.split(".")[0].split("_")[0] in _FRAMEWORKS
    ]
    assert heavy == []


def test_no_module_imports_itself_in_a_circle():
    for module, path in _MODULES.items():
        for name, chain in _chains(path):
            assert _project_modules(name)[-1:] != [module], " -> ".join((*chain, module))


def test_init_files_export_nothing():
    for path in (path for path in _files(*_PACKAGES) if path.name == "__init__.py"):
        tree = ast.parse(path.read_text())
        assert len(tree.body) == (ast.get_docstring(tree) is not None), path
