"""The tool: presets, flag files, messages."""

import json

import pytest

_SMALL = (
    "--resolution=8", "--fmap_base=32", "--fmap_max=4", "--latent_size=4", "--num_clients=3",
    "--images_per_client=0", "--generator_steps=2", "--batch_size=4", "--metric_every_rounds=0",
)  # fmt: skip


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
