r"""Lets simulated readers answer a deck: a demonstration, and a trial of a study before it is read.

    python tools/simulate_readers.py --deck=studies/nih --key=keys/nih_study.json \
        --output=answers/simulated
    python tools/score_reader_study.py --deck=studies/nih --key=keys/nih_study.json \
        --answers=answers/simulated --output=scores/simulated

Writes the file of answers of every reader of the deck, as the page would save it. The readers know
from --key what an image is and err as often as --accuracies says; no image is looked at. Files and
reports say that the readers are simulated.
"""

import pathlib

from absl import flags

import tool_main

_DECK = flags.DEFINE_string("deck", None, "deck.json, or its folder.", required=True)
_KEY = flags.DEFINE_string("key", None, "File that says which images are real.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the answers.", required=True)
_ACCURACIES = flags.DEFINE_list(
    "accuracies",
    ["0.55", "0.66", "0.8"],
    "Mean accuracy of readers at each resolution, from the least; the last for all further ones.",
)
_READER_SD = flags.DEFINE_float("reader_sd", 0.5, "SD of the readers' distance of both kinds.", 0)
_ITEM_SD = flags.DEFINE_float("item_sd", 0.5, "SD of what images add for all readers alike.", 0)
_TIME_OUTS = flags.DEFINE_float("time_outs", 0.01, "Share of images whose time runs out.", 0, 1)
_SEED = flags.DEFINE_integer("seed", 1, "Seed of readers and answers.", 0)


def main() -> None:
    from classifier import reader_answers, simulated_readers

    deck = reader_answers.load_deck(pathlib.Path(_DECK.value))
    key = reader_answers.load_key(pathlib.Path(_KEY.value), deck)
    accuracies = [float(value) for value in _ACCURACIES.value]
    accuracies += accuracies[-1:] * len(deck.items)
    populations = {
        resolution: simulated_readers.Population.of_accuracy(
            accuracy, distance_sd=_READER_SD.value, criterion_sd=0.2, item_sd=_ITEM_SD.value
        )
        for resolution, accuracy in zip(deck.items, accuracies, strict=False)
    }
    files, truths = simulated_readers.answer_deck(
        deck, key, populations, _SEED.value, _TIME_OUTS.value
    )
    paths = simulated_readers.write_answers(pathlib.Path(_OUTPUT.value), files)
    for number, (code, group) in enumerate(deck.readers.items()):
        skills = ", ".join(
            f"{resolution} px {100 * truth['accuracy'][number]:.0f} %"
            for resolution, truth in truths.items()
        )
        print(f"{paths[number]}: simulated {group} {code}, true accuracy {skills}")


if __name__ == "__main__":
    tool_main.run(main)
