import pydicom
import pytest

from pgan.data import dicom_header, dicom_selection

# pydicom warns of codes in small letters and the like when they are set, as these are on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


def _header(**tags):
    made = pydicom.Dataset()
    for keyword, value in tags.items():
        setattr(made, keyword, value)
    return made


def _view_code(meaning):
    return {"ViewCodeSequence": [_header(CodeMeaning=meaning)]}


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"Modality": "CR", "BodyPartExamined": "CHEST", "ViewPosition": "AP"},
        {"Modality": "DX", "BodyPartExamined": "PORT CHEST", "ViewPosition": ""},
        {"Modality": "RG", "BodyPartExamined": "THORAX"},
        {"Modality": "DR", "BodyPartExamined": "CHEST_ABDOMEN"},
        {"BodyPartExamined": "UNKNOWN"},
        {"BodyPartExamined": "RIBS", "NumberOfFrames": 1, "SamplesPerPixel": 1},
        {"ViewPosition": "LLD"},  # a frontal view of a patient who lies on the left side
        {"ViewPosition": "LEFT LATERAL DECUBITUS"},
        # View Position decides, whatever the description says of the exam.
        {"ViewPosition": "PA", "SeriesDescription": "Chest lateral"},
        {"SeriesDescription": "CHEST PA AND LATERAL"},
        {"SeriesDescription": "Thorax p.a. / lat"},
        {"SeriesDescription": "W Chest Front/Lat"},
        {"SeriesDescription": "chest 2 views, lat"},
        {"SeriesDescription": "plate of the late shift"},
        _view_code("postero-anterior"),
        {"PatientOrientation": ["L", "F"]},
        {"PatientOrientation": ["P", "R"]},
        {"PatientOrientation": "P"},
    ],
)
def test_taken(tags):
    assert dicom_selection.check(_header(**tags)) is None


@pytest.mark.parametrize(
    "tags, message",
    [
        ({"Modality": "CT"}, "has the modality 'CT'; expected CR, DX, DR, RG"),
        ({"Modality": "SR"}, "modality 'SR'"),
        ({"NumberOfFrames": 3}, "has 3 frames; a radiograph is one"),
        ({"SamplesPerPixel": 3}, "is coloured, with 3 values per pixel"),
        ({"BodyPartExamined": "KNEE"}, "no chest: its Body Part Examined says KNEE"),
        ({"BodyPartExamined": "Hands"}, "says HAND"),
        ({"BodyPartExamined": "L-SPINE"}, "says SPINE"),
        ({"ViewPosition": "LL"}, "is a lateral view: its View Position says LL"),
        ({"ViewPosition": "RL"}, "lateral .* RL"),
        ({"ViewPosition": "LATERAL"}, "lateral .* LATERAL"),
        ({"ViewPosition": "Lat_erect"}, "lateral .* LAT"),
        ({"ViewPosition": "LLO"}, "is an oblique view: its View Position says LLO"),
        (_view_code("left lateral"), "lateral view: its View Code Sequence says LATERAL"),
        (_view_code("antero-posterior oblique"), "oblique view: its View Code Sequence"),
        ({"PatientOrientation": ["A", "F"]}, "lateral view: its rows run between front and back"),
        ({"PatientOrientation": ["PR", "FL"]}, "lateral view: its rows"),
        ({"SeriesDescription": "Jane Doe, chest lateral"}, "its Series Description says LATERAL"),
    ],
)
def test_refused(tags, message):
    with pytest.raises(dicom_header.Refused, match=message) as refusal:
        dicom_selection.check(_header(**tags))
    assert "Doe" not in str(refusal.value)


@pytest.mark.parametrize(
    "position, expected",
    [
        ("PA", "PA"),
        ("ap", "AP"),
        ("AP SUPINE", "AP"),
        ("Antero-posterior", "AP"),
        ("POSTEROANTERIOR", "PA"),
        ("P.A.", "PA"),
        ("AP/PA", ""),
        ("LLD", ""),
        ("", ""),
    ],
)
def test_view(position, expected):
    assert dicom_selection.view(_header(ViewPosition=position)) == expected
