import gzip

import numpy as np
import pytest
from PIL import Image

from pgan.data import folder, labels


def write(root, text, name="labels.csv"):
    (root / name).write_text(text)
    return root / name


@pytest.fixture
def root(tmp_path):
    for name in ("a.png", "2019/b.tif"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8), 50, np.uint8)).save(path)
    write(
        tmp_path,
        "file,patient,findings,age,sex,view,group\n"
        "a.png,P1,Cardiomegaly|pleural effusion,058Y,f,pa,ward\n"
        "2019/b.tif,P2,No Finding,,,,\n",
    )
    return tmp_path


FINDINGS = ("Cardiomegaly", "Pleural Effusion", "Edema")


def test_read(root):
    images = folder.read(root, FINDINGS)
    assert [image.image_id for image in images] == ["a.png", "2019/b.tif"]
    assert [image.patient_id for image in images] == ["P1", "P2"]
    assert [image.labels.tolist() for image in images] == [[1, 1, 0], [0, 0, 0]]
    assert images[0].extras == {"age": 58, "sex": "F", "view": "PA", "group": "ward"}
    assert images[1].extras == {}
    assert images[1].load().image.tolist() == np.full((8, 8), 50).tolist()


def test_a_column_for_each_finding(tmp_path):
    table = write(tmp_path, "file,patient,Edema,Cardiomegaly\na.png,1,1,?\nb.png,2,,0\n")
    first, second = folder.read_table(table, FINDINGS)
    np.testing.assert_array_equal(first.labels, np.float32([np.nan, 0, 1]))
    assert second.labels.tolist() == [0, 0, 0]


def test_a_table_with_the_mark_of_spreadsheets_and_gzipped(tmp_path):
    with gzip.open(tmp_path / "t.csv.gz", "wt", encoding="utf-8-sig") as file:
        file.write("file,patient,findings\na.png,1,Edema\n")
    assert folder.read_table(tmp_path / "t.csv.gz", FINDINGS)[0].labels.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    "rows, message",
    [
        ("a.png,1,Edma\n", "line 2: Unknown finding 'Edma'.*Did you mean 'Edema'"),
        ("a.png,1,Edema\na.png,1,Edema\n", "line 3: a.png is there twice"),
        ("a.png,1,Edema\n./a.png,2,Edema\n", "line 3: a.png belongs to two patients, 1 and 2"),
        ("../a.png,1,Edema\n", "line 2: '../a.png' leads out of the folder"),
        ("x/../../a.png,1,Edema\n", "leads out of the folder"),
        ("/etc/a.png,1,Edema\n", "leads out of the folder"),
        ("a.png,,Edema\n", "line 2: a.png has no patient"),
        (",1,Edema\n", "line 2: the column 'file' is empty"),
        ("", "has a header and no rows"),
        ("a.png,1\n", "line 2: not as many fields"),
    ],
)
def test_rows_refused(tmp_path, rows, message):
    table = write(tmp_path, f"file,patient,findings\n{rows}")
    with pytest.raises(ValueError, match=message):
        folder.read_table(table, FINDINGS)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "no column 'file'; it has nothing"),
        ("file,name\na,b\n", "no column 'patient'; it has file, name"),
        ("file,patient\na,b\n", "neither a column 'findings' nor"),
        ("file,patient,Edma\na,b,1\n", "Unknown finding 'Edma'.*Did you mean 'Edema'"),
        (
            "file,patient,Edema\na,b,yes\n",
            "Edema is 1, 0, blank .absent. or . .unknown., got 'yes'",
        ),
        ("file,patient,Edema,Edema\na,b,1,1\n", "names a column twice"),
    ],
)
def test_tables_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        folder.read_table(write(tmp_path, text), FINDINGS)


def test_a_table_that_is_no_text(tmp_path):
    (tmp_path / "labels.csv").write_bytes(bytes(range(128, 256)) * 10)
    with pytest.raises(ValueError, match="labels.csv cannot be read as a table"):
        folder.read_table(tmp_path / "labels.csv", FINDINGS)


def test_a_link_out_of_the_folder(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "secret.png"
    (root / "a.png").rename(elsewhere)
    (root / "a.png").symlink_to(elsewhere)
    with pytest.raises(ValueError, match="a.png is a link that leads out of"):
        folder.read(root, FINDINGS)


def test_missing_files(root, tmp_path):
    (root / "a.png").unlink()
    with pytest.raises(ValueError, match="rows without a file: 1 .a.png"):
        folder.read(root, FINDINGS)
    assert len(folder.read(root, FINDINGS, allow_missing=True)) == 1
    with pytest.raises(ValueError, match="no folder"):
        folder.read(root / "absent", labels.NIH_14)
