import json


def test_write_again_and_refuse_others(run_tool, tmp_path, capsys):
    def write(*arguments):
        return run_tool(
            "write_phantom_site",
            "--site=rsna",
            "--count=6",
            "--size=16",
            f"--output={tmp_path / 'out'}",
            "--workers=0",
            *arguments,
        )

    assert write("--seed=3") == 0
    printed = capsys.readouterr().out
    assert "Files written: 9." in printed
    described = json.loads((tmp_path / "out" / "PHANTOM.json").read_text())
    assert (described["site"], described["count"], described["seed"]) == ("rsna", 6, 3)
    assert f"first {described['twins_within']} images of --site=nih --seed=3" in printed
    assert len(list((tmp_path / "out" / "stage_2_train_images").glob("*.dcm"))) == 6
    assert write("--seed=3") == 0
    assert "Already complete" in capsys.readouterr().out
    assert write("--seed=4") == 1
    assert "seed 3 there, 4 asked" in capsys.readouterr().err


def test_wrong_size(run_tool, tmp_path, capsys):
    arguments = ("--site=nih", "--count=1", "--size=300", f"--output={tmp_path / 'out'}")
    assert run_tool("write_phantom_site", *arguments) == 1
    assert "power of two" in capsys.readouterr().err
