"""The tool: presets, flag files, messages."""

import json

import pytest
import tiny_records

from pgan.data import splits

_TINY = (
    "--resolution=8", "--fmap_base=32", "--fmap_max=4", "--latent_size=4", "--generator_steps=2",
    "--batch_size=4", "--metric_every_rounds=0", "--grid_every_rounds=0",
)  # fmt: skip
_SMALL = (*_TINY, "--num_clients=3", "--images_per_client=0")


def _run(run_tool, records, folder, *arguments):
    return run_tool(
        "simulate_federated", f"--records={records.path}", f"--run_dir={folder}", *arguments
    )


def _settings(folder):
    return json.loads((folder / "federation.json").read_text())


def test_runs_and_repeats_from_its_flag_file(run_tool, phantom_records, tmp_path, capsys):
    folder = tmp_path / "run"
    code = ("--preset=paper_code", "--critic_steps=3", "--rounds=1")
    assert _run(run_tool, phantom_records, folder, *_SMALL, *code) == 0
    assert f"finished after 1 rounds: {folder}" in capsys.readouterr().out
    settings = _settings(folder)
    assert (settings["optimizer"], settings["aggregation"]) == ("sgd", "mean")
    assert (settings["critic_steps"], settings["client_sizes"]) == (3, "random")
    again = tmp_path / "again"
    repeat = (f"--flagfile={folder / 'flags.txt'}", f"--run_dir={again}")
    assert run_tool("simulate_federated", *repeat) == 0
    assert _settings(again) == settings
    # Another configuration in the same folder is refused, with what differs.
    assert _run(run_tool, phantom_records, folder, *_SMALL, "--rounds=1") == 1
    assert "optimizer: 'sgd' in the run folder, 'adam' now" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--resolution=64",), "has no r0064 shards"),
        (("--num_clients=200",), "would have no patient"),
        (("--train_fold=nowhere",), "has no fold 'nowhere'"),
        (("--client_share=2",), "--client_share must be in"),
        (("--dp_clip_norm=1",), "give --stddev_group=1"),
    ],
)
def test_messages(run_tool, phantom_records, tmp_path, capsys, arguments, message):
    folder = tmp_path / "run"
    assert _run(run_tool, phantom_records, folder, *_SMALL, *arguments) == 1
    assert message in capsys.readouterr().err
    assert not folder.exists()


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory):
    """A record set with a split of two hospitals."""
    records = tiny_records.build(tmp_path_factory.mktemp("records") / "both")
    ids = records.record_ids("train")
    patients = dict(zip(records.record_ids("all"), records.patient_ids("all"), strict=True))
    folds = {"north": [i for i in ids if patients[i] < "patient10"]}
    folds["south"] = [i for i in ids if i not in folds["north"]]
    splits.store(records, "hospitals", splits.Split(folds, {"method": "by hand"}))
    return records


def test_a_split_repeats_from_its_flag_file(run_tool, hospitals, tmp_path):
    """The preset's sizes say nothing of these clients, and are yet the same in both runs."""
    folder, again = tmp_path / "run", tmp_path / "again"
    own = (*_TINY, "--client_split=hospitals", "--preset=paper_code", "--critic_steps=2")
    assert _run(run_tool, hospitals, folder, *own, "--rounds=1") == 0
    assert _settings(folder)["client_sizes"] == "random"
    flag_file = f"--flagfile={folder / 'flags.txt'}"
    assert run_tool("simulate_federated", flag_file, f"--run_dir={again}") == 0
    assert _settings(again) == _settings(folder)
    assert (again / "flags.txt").read_text() == (folder / "flags.txt").read_text().replace(
        str(folder), str(again)
    )
    # A flag file of earlier versions names them all, and still continues its run.
    drawn = ("--num_clients=20", "--images_per_client=1000", "--client_sizes=random")
    for _ in range(2):
        assert _run(run_tool, hospitals, folder, *own, *drawn, "--rounds=1") == 0
        drawn = (flag_file,)


@pytest.mark.parametrize(
    "flag", ["--num_clients=2", "--images_per_client=1000", "--client_sizes=equal", "--dirichlet=1"]
)
def test_flags_of_drawn_clients_do_not_go_with_a_split(run_tool, hospitals, tmp_path, capsys, flag):
    own = (*_TINY, "--client_split=hospitals", flag)
    assert _run(run_tool, hospitals, tmp_path / "run", *own) == 1
    name = flag.partition("=")[0]
    assert f"--client_split=hospitals are its folds, as they are; leave {name} out" in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "run").exists()
