import gzip
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
import tiny_records
from PIL import Image

NIH = """Image Index,Finding Labels,Patient ID,Patient Age,Patient Gender,View Position
1a.png,Effusion|Mass,1,40,F,PA
1b.png,No Finding,1,41,F,AP
2a.png,Effusion,2,70,M,PA
3a.png,Pneumonia,3,93,M,PA
"""
CHEXPERT_COLUMNS = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,"
    "Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,"
    "Pleural Effusion,Pleural Other,Fracture,Support Devices"
)
CHEXPERT = f"""{CHEXPERT_COLUMNS}
C/train/patient1/study1/view1_frontal.jpg,Male,50,Frontal,AP,,,,,,,,-1.0,,,1.0,,,
C/train/patient1/study1/view2_lateral.jpg,Male,50,Lateral,,,,,,,,,1.0,,,1.0,,,
C/train/patient1/study2/view1_frontal.jpg,Male,51,Frontal,PA,,,,,,,-1.0,1.0,,,,,,
C/train/patient2/study1/view1_frontal.jpg,Female,52,Frontal,AP,1.0,,,,,,,,,,,,,
"""
RSNA = """patientId,x,y,width,height,Target
a,,,,,0
b,1,2,3,4,1
b,5,6,7,8,1
c,,,,,0
"""
DETAILED = """patientId,class
a,Normal
b,Lung Opacity
c,No Lung Opacity / Not Normal
"""


@pytest.fixture
def tables(tmp_path):
    """Paths of small label tables by name."""
    texts = {"nih": NIH, "chexpert": CHEXPERT, "rsna": RSNA, "detailed": DETAILED}
    paths = {name: tmp_path / f"{name}.csv" for name in texts}
    for name, text in texts.items():
        paths[name].write_text(text)
    return paths


@pytest.fixture
def describe(run_tool, tmp_path, capsys):
    """Function of the tool's arguments that returns what description.json has, by column."""

    def run(*arguments):
        status = run_tool("describe_records", f"--output={tmp_path / 'out'}", *arguments)
        assert status == 0, capsys.readouterr().err
        columns = json.loads((tmp_path / "out" / "description.json").read_text())["columns"]
        return {(column["set"], column["fold"]): column for column in columns}

    return run


def test_record_set(describe, tmp_path, capsys):
    records = tiny_records.build(tmp_path / "tiny")
    columns = describe(f"--records={tmp_path / 'tiny'}")
    assert list(columns) == [("tiny", fold) for fold in ("train", "val", "test", "all")]
    whole = columns["tiny", "all"]
    assert (whole["images"], whole["patients"]) == (60, 20)
    # Every other image has a mass; strength 0.5 and more from image 50 on is a hernia.
    assert whole["findings"]["Mass"]["positive"] == 30
    assert whole["findings"]["Hernia"]["positive"] == 10
    assert whole["cooccurrence"] == [[30, 5], [5, 10]]
    assert whole["sexes"] == {"F": 60, "M": 0, "unknown": 0}
    assert whole["fingerprint"] == records.fingerprint
    assert [columns["tiny", fold]["patients"] for fold in ("train", "val", "test")] == [14, 2, 4]
    printed = capsys.readouterr().out
    assert (tmp_path / "out" / "description.md").read_text() in printed
    assert "# Labels of tiny" in printed
    assert Image.open(tmp_path / "out" / "description.png").width > 1000
    assert sorted(os.listdir(tmp_path / "out")) == [
        "description.json", "description.md", "description.png",
    ]  # fmt: skip


def test_record_sets_side_by_side(describe, tmp_path):
    for name in ("a", "b"):
        tiny_records.build(tmp_path / name / "tiny")
    paths = f"--records={tmp_path / 'a' / 'tiny'},{tmp_path / 'b' / 'tiny'}"
    assert list(describe(paths)) == [("tiny (a/tiny)", "all"), ("tiny (b/tiny)", "all")]
    columns = describe(paths, "--folds=train,test", "--findings=Hernia")
    assert [fold for _, fold in columns] == ["train", "test"] * 2
    assert list(columns["tiny (a/tiny)", "test"]["findings"]) == ["Hernia"]
    text = (tmp_path / "out" / "description.md").read_text()
    assert "| tiny (a/tiny) train | tiny (a/tiny) test | tiny (b/tiny) train |" in text


def test_only_prints_without_output(run_tool, tables, tmp_path, capsys):
    before = sorted(tmp_path.iterdir())
    assert run_tool("describe_records", "--source=nih", f"--labels={tables['nih']}") == 0
    assert "| Effusion           | 2 / 2 (50.0 %) |" in capsys.readouterr().out
    assert sorted(tmp_path.iterdir()) == before


def test_split_lists(describe, tables, tmp_path):
    folds = {"train": ["1a.png", "1b.png"], "val": ["2a.png"], "test": ["3a.png"]}
    for fold, names in folds.items():
        (tmp_path / fold).write_text("\n".join(names))
    lists = ",".join(str(tmp_path / fold) for fold in folds)
    columns = describe("--source=nih", f"--labels={tables['nih']}", f"--split_lists={lists}")
    assert {fold: column["images"] for (_, fold), column in columns.items()} == {
        "train": 2, "val": 1, "test": 1, "all": 4,
    }  # fmt: skip
    assert columns["nih", "train"]["findings"]["Mass"]["positive_patients"] == 1
    assert columns["nih", "test"]["ages"]["90+"] == 1
    only = describe(
        "--source=nih", f"--labels={tables['nih']}", f"--split_lists={lists}", "--folds=val"
    )
    assert list(only) == [("nih", "val")]


def test_split_seed(describe, tables):
    columns = describe("--source=nih", f"--labels={tables['nih']}", "--split_seed=1")
    counts = [columns["nih", fold]["patients"] for fold in ("train", "val", "test", "all")]
    assert sum(counts[:3]) == counts[3] == 3


def test_two_collections_share_rows(describe, tables, tmp_path):
    describe("--source=nih,chexpert", f"--labels={tables['nih']},{tables['chexpert']}")
    rows = (tmp_path / "out" / "description.md").read_text().splitlines()
    effusion = next(row for row in rows if row.startswith("| Effusion "))
    assert effusion.split("|")[2:4] == [" 2 / 2 (50.0 %) ", " 1 / 2 (33.3 %) "]
    assert not any(row.startswith("| Pleural Effusion") for row in rows[:30])


def test_policies_for_uncertain_labels(describe, tables):
    columns = describe(
        "--source=chexpert", f"--labels={tables['chexpert']}",
        "--uncertain=paper,zeros,ones,ignore",
    )  # fmt: skip
    counts = {
        name.split("(")[1][:-1]: [
            column["findings"][finding][kind]
            for finding in ("Pneumonia", "Consolidation")
            for kind in ("positive", "negative", "unknown")
        ]
        for (name, _), column in columns.items()
    }
    assert counts == {
        "paper": [2, 1, 0, 0, 3, 0],
        "zeros": [1, 2, 0, 0, 3, 0],
        "ones": [2, 1, 0, 1, 2, 0],
        "ignore": [1, 1, 1, 0, 2, 1],
    }
    assert columns["chexpert (ignore)", "all"]["uncertain"] == "ignore"


def test_rsna_groups(describe, tables):
    columns = describe(
        "--source=rsna", f"--labels={tables['rsna']}", f"--detailed={tables['detailed']}"
    )
    column = columns["rsna", "all"]
    assert column["findings"]["Pneumonia"]["positive"] == 1
    assert column["findings"]["Pneumonia"]["negative"] == 2
    assert column["groups"] == {"abnormal": 1, "normal": 1, "opacity": 1, "unknown": 0}
    assert "each exam" in column["patients_are"]


def test_folder_and_shared_findings(describe, tables, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("file,patient,Mass,Edema\na.png,p,1,?\nb.png,q,0,1\n")
    columns = describe("--source=folder", f"--labels={table}", "--findings=Mass,Edema")
    assert columns["folder", "all"]["findings"]["Edema"]["unknown"] == 1
    columns = describe("--source=nih", f"--labels={tables['nih']}", "--findings=shared_7")
    assert list(columns["nih", "all"]["findings"])[:2] == ["Cardiomegaly", "Effusion"]
    # A mass alone would be none of the seven.
    assert columns["nih", "all"]["healthy"]["positive"] == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--source=nih", "--labels={nih}", "--folds=train"], "no fold 'train'.*folds are all"),
        (["--source=nih", "--labels=absent.csv"], "no file absent.csv"),
        (["--source=nih", "--labels={chexpert}"], "no column 'Image Index'"),
        (["--source=nih", "--labels={nih}", "--findings=Fracture"], "not labelled: Fracture"),
        (["--source=mimic", "--labels={nih}"], "one of nih, chexpert, rsna, folder, got 'mimic'"),
        (["--source=folder", "--labels={nih}"], "--findings=nih_14"),
        (["--source=nih,nih", "--labels={nih},{nih}"], "given twice"),
        (["--source=chexpert", "--labels={chexpert}", "--uncertain=maybe"], "got 'maybe'"),
        (["--records=absent"], "no record set .*absent"),
        (["--source=nih"], "a table for each --source"),
        (["--labels={nih}"], "either --records or --source"),
        (["--source=nih", "--labels={nih}", "--records=a"], "either --records or --source"),
        (["--records=a", "--split_seed=1"], "has its folds"),
        (
            ["--source=nih,chexpert", "--labels={nih},{chexpert}", "--split_lists=a,b"],
            "lists of one --source",
        ),
        (["stray"], "stray"),
    ],
)
def test_errors(run_tool, tables, capsys, arguments, message):
    arguments = [argument.format(**tables) for argument in arguments]
    assert run_tool("describe_records", *arguments) != 0
    captured = capsys.readouterr().err
    assert re.search(message, captured), captured
    assert "Traceback" not in captured


def test_needs_no_tensorflow(tables):
    code = (
        "import sys, runpy; sys.argv[1:] = ['--source=nih', sys.argv[1]]\n"
        "try:\n    runpy.run_path('describe_records.py', run_name='__main__')\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "sys.exit('tensorflow' in sys.modules or 'matplotlib' in sys.modules)"
    )
    tools = pathlib.Path(__file__).parents[1] / "tools"
    command = [sys.executable, "-c", code, f"--labels={tables['nih']}"]
    result = subprocess.run(command, cwd=tools, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "# Labels of nih" in result.stdout


@pytest.fixture(scope="module")
def real_tables():
    folder = os.environ.get("PGAN_METADATA")
    if not folder:
        pytest.skip("PGAN_METADATA does not name a folder with the collections' label tables")
    return pathlib.Path(folder)


def test_real_nih(describe, real_tables):
    lists = ",".join(str(real_tables / f"nih_{f}_list.txt.gz") for f in ("train", "val", "test"))
    columns = describe(
        "--source=nih", f"--labels={real_tables / 'Data_Entry_2017_v2020.csv.gz'}",
        f"--split_lists={lists}",
    )  # fmt: skip
    # Han et al. 2020, Methods.
    sizes = {fold: (one["images"], one["patients"]) for (_, fold), one in columns.items()}
    assert sizes == {
        "train": (78468, 21528), "val": (11219, 3090), "test": (22433, 6187),
        "all": (112120, 30805),
    }  # fmt: skip
    pneumonia = columns["nih", "all"]["findings"]["Pneumonia"]
    assert (pneumonia["positive"], pneumonia["negative"]) == (1431, 110689)
    # Counted in the table by another program: lines whose labels are "No Finding".
    with gzip.open(real_tables / "Data_Entry_2017_v2020.csv.gz", "rt") as file:
        healthy = sum(",No Finding," in line for line in file)
    assert columns["nih", "all"]["healthy"]["positive"] == healthy == 60361


def test_real_chexpert(describe, real_tables):
    table = real_tables / "chexpert_train.csv.gz"
    column = describe("--source=chexpert", f"--labels={table}")["chexpert", "all"]
    assert column["images"] == 191027
    assert column["findings"]["Pneumonia"]["positive"] == 20656  # as the paper reports


def test_real_rsna(describe, real_tables):
    columns = describe(
        "--source=rsna", f"--labels={real_tables / 'kaggle_stage_2_train_labels.csv.zip'}"
    )
    assert columns["rsna", "all"]["images"] == 26684
    assert columns["rsna", "all"]["findings"]["Pneumonia"]["positive"] == 6012
