import dataclasses
import json
import pathlib
import subprocess
import sys

import pytest
import tiny_records

from pgan.data import pseudonyms, record_set, splits

KEY = bytes(32)


def build(path, images, source, key=KEY):
    return tiny_records.build(
        path,
        images=images,
        source=source,
        origin="real",
        split=splits.draw(images, 1),
        pseudonyms=pseudonyms.Pseudonymizer(key, source),
        max_resolution=4,
        num_shards=1,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """NIH with 20 patients of three images, two of them PA, every other with a mass.

    RSNA has eight of the patients, without views.
    """
    folder = tmp_path_factory.mktemp("records")
    images = [
        dataclasses.replace(image, extras={"view": ("PA", "AP", "PA")[i % 3], "sex": "F"})
        for i, image in enumerate(tiny_records.radiographs())
    ]
    build(folder / "nih", images, "nih")
    twins = [
        dataclasses.replace(
            image,
            image_id=f"exam{i:03d}",
            twin=("nih", image.image_id),
            extras={"group": ("opacity", "normal", "opacity", "abnormal")[i % 4]},
        )
        for i, image in enumerate(images[:24])
    ]
    build(folder / "rsna", twins, "rsna")
    build(folder / "elsewhere", images, "nih", key=bytes(31) + b"k")
    (folder / "key").write_text(KEY.hex())
    return folder


@pytest.fixture
def split(run_tool, folder):
    def run(name, *arguments, records="nih"):
        arguments = [text.replace("FOLDER", str(folder)) for text in arguments]
        return run_tool(
            "split_records", f"--records={folder / records}", f"--name={name}", *arguments
        )

    return run


def opened(folder, name="nih"):
    return record_set.RecordSet.open(folder / name)


def table(output):
    """{fold: [records, patients, ...]} of the printed table."""
    rows = [line.strip("| ").split("|") for line in output.splitlines() if line.startswith("|")]
    return {row[0].strip(): [int(cell) for cell in row[1:]] for row in rows[2:]}


def test_quotas(split, folder, capsys):
    arguments = ["--seed=1", "--quota=train: 6 healthy + 2 Mass", "--quota=test: 9 of mass:any 2:1"]
    assert split("local", *arguments) == 0
    output = capsys.readouterr().out
    assert f"Written: {folder / 'nih'}, folds local/... (train, test)" in output
    rows = table(output)
    assert rows["train"][0] == 8 and rows["test"][0] == 9
    assert rows["in no fold"][0] == 60 - 17
    records = opened(folder)
    assert records.fold_size("local/train") == 8
    assert (records.label_matrix("local/train")[:, 0] >= 0.5).sum() == rows["train"][3] == 2
    splits.check_disjoint((records, "local/train"), (records, "local/test"))
    before = tiny_records.files(folder / "nih")
    assert split("local", *arguments) == 0
    assert "Already there" in capsys.readouterr().out
    assert split("local", "--seed=2", *arguments[1:]) == 1
    assert "seed: 1 there, 2 asked" in capsys.readouterr().err
    assert tiny_records.files(folder / "nih") == before


def test_equal_clients_of_a_fold(split, folder, capsys):
    assert split("clients4", "--clients=4", "--images_per_client=8", "--from_fold=train") == 0
    output = capsys.readouterr().out
    assert [row[0] for row in table(output).values()] == [8, 8, 8, 8, 42 - 32]
    assert "differ from those of all by 0." in output
    records = opened(folder)
    assert records.split_folds("clients4")[3] == "clients4/client_03"
    train = set(records.fold_ids("train"))
    for fold in records.split_folds("clients4"):
        assert train > set(records.fold_ids(fold))
    content = json.loads((folder / "nih/splits/clients4/split.json").read_text())["settings"]
    assert content["from_fold"] == "train"
    assert content["from_fold_fingerprint"] == records.fold_fingerprint("train")
    # A client can be split further.
    assert split("half", "--fractions=a:0.5,b:0.5", "--from_fold=clients4/client_00") == 0
    assert sum(row[0] for row in table(capsys.readouterr().out).values()) == 8


def test_skewed_clients_with_shares(split, capsys):
    shares = ["--clients=3", "--client_shares=3,2,1", "--dirichlet=0.3"]
    assert split("skewed", *shares) == 0
    assert [row[0] for row in table(capsys.readouterr().out).values()] == [30, 21, 9]


def test_fractions(split, folder):
    assert split("tenths", "--fractions=train:0.8,val:0.1,test:0.1", "--seed=3") == 0
    records = opened(folder)
    assert [records.fold_size(f"tenths/{fold}") for fold in ("train", "val", "test")] == [48, 6, 6]


def test_lists_of_the_collections_own_names(split, folder, capsys):
    for name, start, stop in (("train", 0, 30), ("val", 30, 36), ("test", 36, 60)):
        names = "".join(f"image{i:03d}\n" for i in range(start, stop))
        (folder / f"{name}.txt").write_text(names)
    lists = "--split_lists=FOLDER/train.txt,FOLDER/val.txt,FOLDER/test.txt"
    assert split("official", lists, "--key_file=FOLDER/key") == 0
    image = pseudonyms.Pseudonymizer(KEY, "nih").image
    records = opened(folder)
    assert set(records.fold_ids("official/val")) == {image(f"image{i:03d}") for i in range(30, 36)}
    assert split("lists", lists, "--key_file=FOLDER/no_key") == 1
    assert "There is no key" in capsys.readouterr().err
    assert not (folder / "no_key").exists()
    assert split("lists", lists, "--key_file=FOLDER/key", records="elsewhere") == 1
    assert "was made with the key" in capsys.readouterr().err


def test_excluded_patients_of_another_set(split, folder, capsys):
    arguments = ["--quota=test: rest", "--exclude_records=FOLDER/nih", "--exclude_fold=train,val"]
    assert split("unseen", *arguments, records="rsna") == 0
    output = capsys.readouterr().out
    records = opened(folder, "rsna")
    kept = records.fold_size("unseen/test")
    assert 0 < kept < 24
    for fold in ("train", "val"):
        splits.check_disjoint((records, "unseen/test"), (opened(folder), fold))
    assert set(records.patient_ids("unseen/test")) == set(records.patient_ids()) & set(
        opened(folder).patient_ids("test")
    )
    assert f"{kept} of {kept // 3} patients remain" in output
    # The other way round: a generator's fold without the patients of a test.
    arguments = ["--fractions=train:0.9,val:0.1", "--exclude_records=FOLDER/rsna"]
    assert split("gan", *arguments, "--exclude_fold=unseen/test") == 0
    splits.check_disjoint((opened(folder), "gan/train"), (records, "unseen/test"))
    excluded = json.loads((folder / "nih/splits/gan/split.json").read_text())["settings"]
    assert excluded["excluded"] == [
        {
            "records": "rsna",
            "fold": "unseen/test",
            "fold_fingerprint": records.fold_fingerprint("unseen/test"),
        }
    ]


def test_a_list_of_records_is_left_out(split, folder, capsys):
    records = opened(folder)
    ids = records.record_ids("train")
    listed = [ids[0], ids[3], "of another set"]
    (folder / "bad.csv").write_text("image_id,finding\n" + "".join(f"{i},Mass\n" for i in listed))
    arguments = ["--from_fold=train", "--fractions=train:1", "--leave_out=FOLDER/bad.csv"]
    assert split("screened", *arguments) == 0
    assert opened(folder).record_ids("screened/train") == [i for i in ids if i not in listed]
    assert "Left out: 2 of 3 images of the list." in capsys.readouterr().out
    assert ids[0] not in (folder / "nih/splits/screened/split.json").read_text()
    assert split("lost", "--fractions=train:1", "--leave_out=FOLDER/no.csv") == 1
    assert "no.csv does not exist" in capsys.readouterr().err


def views(folder, fold):
    return [facts["view"] for facts in opened(folder).extras(fold)]


def test_folds_of_one_view_alone(split, folder, capsys):
    arguments = ["--only=view=pa", "--fractions=train:0.6,test:0.4", "--seed=4"]
    assert split("pa", *arguments) == 0
    output = capsys.readouterr().out
    assert "Left out: 20 images that are not view=PA; 40 images of 20 patients remain." in output
    assert [row[0] for row in table(output).values()] == [24, 16]
    assert views(folder, "pa/train") == ["PA"] * 24 and views(folder, "pa/test") == ["PA"] * 16
    content = json.loads((folder / "nih/splits/pa/split.json").read_text())["settings"]
    assert content["only"] == ["view=PA"]
    assert split("pa", *arguments) == 0
    assert "Already there" in capsys.readouterr().out
    assert split("pa", *arguments[1:]) == 1
    assert 'only: ["view=PA"] there, null asked' in capsys.readouterr().err


def test_every_kind_of_split_can_be_of_one_view(split, folder):
    assert split("pa_quota", "--only=view=PA", "--quota=a: 4 Mass + 9 any", "--quota=b: rest") == 0
    assert split("pa_clients", "--only=view=PA", "--clients=2", "--images_per_client=10") == 0
    folds = [*opened(folder).split_folds("pa_quota"), *opened(folder).split_folds("pa_clients")]
    assert len(folds) == 4
    for fold in folds:
        assert set(views(folder, fold)) == {"PA"}, fold


def test_repeated_restrictions_hold_together(split, folder):
    assert split("pa_mass", "--only=view=PA", "--only=Mass", "--fractions=all_of_them:1") == 0
    records = opened(folder)
    assert records.fold_size("pa_mass/all_of_them") == 20
    assert set(views(folder, "pa_mass/all_of_them")) == {"PA"}
    assert (records.label_matrix("pa_mass/all_of_them")[:, 0] == 1).all()


def test_views_are_classes_of_a_quota(split, folder):
    assert split("mixed", "--quota=a: 12 of view=PA:view=AP 1:3") == 0
    assert sorted(views(folder, "mixed/a")) == ["AP"] * 9 + ["PA"] * 3


def test_healthy_is_explained_where_there_are_groups(split, capsys):
    assert split("groups", "--quota=a: 4 healthy", "--quota=b: 3 group=Normal", records="rsna") == 0
    output = capsys.readouterr().out
    assert "own groups these are: abnormal 6, normal 6" in output
    assert table(output)["b"][-2] == 3  # of abnormal, normal, opacity


def test_tight_quotas_are_told(split, capsys):
    quotas = ["--quota=a: 14 Mass", "--quota=b: 16 Mass"]
    assert split("tight", *quotas, "--seed=1") == 0
    assert "left little choice" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--quota=a: 61 any"], "wanted 61 of 'any', got 60"),
        (["--quota=a: 1 Cat"], "Unknown finding 'Cat'"),
        (["--quota=a: 1 view=LL"], "No image has the view 'LL'; there are: view=AP, view=PA."),
        (["--fractions=a:1", "--only=view=LL"], "there are: view=AP, view=PA."),
        (["--fractions=a:1", "--only=Mass", "--only=healthy"], "No images of the fold 'all' are"),
        (
            ["--fractions=a:1", "--only=view=PA", "--only=view=AP"],
            "No images of the fold 'all' are",
        ),
        (["--fractions=a:1", "--from_fold=dev"], "no fold 'dev'"),
        (["--fractions=a:1", "--from_fold=x/y"], "no split 'x'"),
        (["--fractions=a:2"], "sum to 1 at most"),
        (["--fractions=a:0.99,b:0.01"], "fold 'b' must hold records"),
        (
            ["--clients=2", "--images_per_client=many"],
            "--images_per_client is one number or a list",
        ),
        (
            ["--fractions=a:1", "--exclude_records=FOLDER/nih", "--exclude_fold=all"],
            "No images of the fold 'all' are left",
        ),
        (
            ["--fractions=a:1", "--exclude_records=FOLDER/elsewhere", "--exclude_fold=train"],
            "cannot be compared: made with different keys",
        ),
        (["--fractions=a:1", "--name=../a"], "name of a split must be"),
    ],
)
def test_errors_end_the_program_with_a_message(split, folder, capsys, arguments, message):
    assert split("wrong", *arguments) == 1
    assert message in capsys.readouterr().err
    assert not (folder / "nih/splits/wrong").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "exactly one of --quota, --fractions, --split_lists and --clients, got none"),
        (["--clients=2", "--fractions=a:1"], "got fractions, clients"),
        (["--fractions=a:1", "--dirichlet=1"], "--dirichlet goes with --clients"),
        (["--fractions=a:1", "--exclude_records=x"], "go together"),
        (["--fractions=a:1", "stray"], "stray"),
    ],
)
def test_usage(split, capsys, arguments, message):
    assert split("usage", *arguments) != 0
    captured = capsys.readouterr()
    assert message in captured.err + captured.out


def test_help_needs_no_tensorflow():
    code = "import sys, split_records; sys.exit('tensorflow' in sys.modules)"
    tools = pathlib.Path(__file__).parents[1] / "tools"
    assert subprocess.run([sys.executable, "-c", code], cwd=tools).returncode == 0
