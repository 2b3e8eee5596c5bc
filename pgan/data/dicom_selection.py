"""Which DICOM files are frontal radiographs of the chest, told from their headers.

Headers are filled in by hand and by many makers, so a file is refused on clear evidence only:
what the header leaves open is taken.
"""

import re

from pgan.data.dicom_header import Refused, number, text

# What `check` and `view` read; texts that describe an exam can name a person, so nothing of them
# is repeated in a message.
TAGS = (
    "BodyPartExamined",
    "Modality",
    "NumberOfFrames",
    "PatientOrientation",
    "SamplesPerPixel",
    "SeriesDescription",
    "ViewCodeSequence",
    "ViewPosition",
)

_MODALITIES = ("CR", "DX", "DR", "RG")  # DR is no term of the standard, but it is in use
_LATERAL = {"LATERAL", "LAT", "LL", "RL", "LLAT", "RLAT", "SAGITTAL"}
_OBLIQUE = {"OBLIQUE", "OBL", "LLO", "RLO", "LAO", "RAO", "LPO", "RPO"}
_FRONTAL = {"AP", "PA", "FRONT", "FRONTAL", "DECUBITUS", "DECUB", "LLD", "RLD"}
_SEVERAL = {"AND", "VIEWS"}
_CHEST = ("CHEST", "THORA", "LUNG", "HEART", "RIB", "STERN")
_ELSEWHERE = {
    *("ABDOMEN", "ABDOM", "ANKLE", "ARM", "BREAST", "CALCANEUS", "CLAVICLE", "COCCYX", "CSPINE"),
    *("ELBOW", "EXTREMITY", "FACE", "FEMUR", "FIBULA", "FINGER", "FOOT", "FOREARM", "HAND", "HEAD"),
    *("HEEL", "HIP", "HUMERUS", "JAW", "KNEE", "LEG", "LSPINE", "MANDIBLE", "MAXILLA", "NECK"),
    *("NOSE", "ORBIT", "PATELLA", "PELVIS", "RADIUS", "SCAPULA", "SHOULDER", "SINUS", "SKULL"),
    *("SPINE", "SSPINE", "TEETH", "THIGH", "THUMB", "TIBIA", "TOE", "ULNA", "WRIST"),
}


def view(dataset) -> str:
    """The view, "AP" or "PA", as View Position has it; "" where that says anything else."""
    found = {"AP", "PA"} & _words(text(dataset, "ViewPosition"))
    return found.pop() if len(found) == 1 else ""


def check(dataset) -> None:
    """Looks for evidence that an image is something else than a frontal chest radiograph.

    View Position decides if it is there. Otherwise the view code, the patient's orientation and
    the description of the series are asked; a description that names a frontal view as well, such
    as "PA and lateral", is about both images of an exam and shows nothing.

    Args:
      dataset: pydicom's, with at least those of TAGS that the file has.

    Raises:
      Refused: the message is a predicate, to be put after the file's name.
    """
    modality = text(dataset, "Modality").upper()
    if modality and modality not in _MODALITIES:
        raise Refused(f"has the modality {modality[:16]!r}; expected {', '.join(_MODALITIES)}.")
    frames = number(dataset, "NumberOfFrames", 1)
    if frames > 1:
        raise Refused(f"has {frames:g} frames; a radiograph is one.")
    samples = number(dataset, "SamplesPerPixel", 1)
    if samples > 1:
        raise Refused(f"is coloured, with {samples:g} values per pixel.")
    _check_body_part(text(dataset, "BodyPartExamined"))
    _check_view(dataset)


def _check_body_part(name: str) -> None:
    if not any(part in name.upper() for part in _CHEST):
        elsewhere = {word for name in _words(name) for word in (name, name.removesuffix("S"))}
        for part in sorted(elsewhere & _ELSEWHERE):
            raise Refused(f"shows no chest: its Body Part Examined says {part}.")


def _check_view(dataset) -> None:
    position = text(dataset, "ViewPosition")
    if position:
        _check_words("View Position", _words(position))
        return
    for item in dataset.get("ViewCodeSequence") or ():
        _check_words("View Code Sequence", _words(text(item, "CodeMeaning")))
    # Directions of rows and columns. In a frontal view rows run from side to side.
    row, column, *_ = [*text(dataset, "PatientOrientation").upper().split(), "", ""]
    if row.startswith(("A", "P")) and column.startswith(("F", "H")):
        raise Refused("is a lateral view: its rows run between front and back of the patient.")
    words = _words(text(dataset, "SeriesDescription"))
    if not words & (_FRONTAL | _SEVERAL):
        _check_words("Series Description", words)


def _check_words(tag: str, words: set[str]) -> None:
    for word in sorted(words & _OBLIQUE):
        raise Refused(f"is an oblique view: its {tag} says {word}.")
    if not words & _FRONTAL:  # such as a frontal view in lateral decubitus
        for word in sorted(words & _LATERAL):
            raise Refused(f"is a lateral view: its {tag} says {word}.")


def _words(phrase: str) -> set[str]:
    """Words in capitals; antero-posterior, ANTERO_POSTERIOR and A.P. are all AP."""
    phrase = re.sub(r"ANTERO?[\W_]*POSTERIOR", "AP", phrase.upper())
    phrase = re.sub(r"POSTERO?[\W_]*ANTERIOR", "PA", phrase)
    phrase = re.sub(r"\b([AP])[.\- ]+(?=[AP]\b)", r"\1", phrase)
    return set(re.findall("[A-Z]+", phrase))
