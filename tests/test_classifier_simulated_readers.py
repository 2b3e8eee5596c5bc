"""Simulated readers are as good as they say, and their files are such as the page saves."""

import numpy as np
import pytest
import tiny_reader_studies as tiny

from classifier import reader_answers, reader_study, simulated_readers


def test_readers_are_as_good_as_they_say():
    population = simulated_readers.Population(1.4, 0.6, -0.2, 0.3, 0.8)
    generator = np.random.default_rng(0)
    readers = population.draw(4, generator)
    panel = simulated_readers.panel(readers, ("a",) * 4, 20_000, generator)
    truth = readers.truth()
    for metric in (*reader_study.RATES, reader_study.AUC):
        found = reader_study.estimates(panel, metric).values
        assert found == pytest.approx(truth[metric], abs=0.015), metric


def test_a_population_is_the_mean_of_its_readers():
    population = simulated_readers.Population(1.4, 0.6, -0.2, 0.3, 0.8)
    drawn = population.draw(100_000, np.random.default_rng(0)).truth()
    for metric, value in population.truth().items():
        assert drawn[metric].mean() == pytest.approx(value, abs=0.002)


def test_population_of_an_accuracy():
    population = simulated_readers.Population.of_accuracy(0.8, distance_sd=0.5, item_sd=0.7)
    assert population.truth()["accuracy"] == pytest.approx(0.8)
    with pytest.raises(ValueError, match=r"in \[0.5, 1\), got 0.4"):
        simulated_readers.Population.of_accuracy(0.4)


def test_images_fool_readers_alike_only_where_images_differ():
    generator = np.random.default_rng(0)
    agreed = []
    for item_sd in (0.0, 2.0):
        readers = simulated_readers.Population(0.0, item_sd=item_sd).draw(2, generator)
        panel = simulated_readers.panel(readers, ("a", "a"), 2000, generator)
        agreed.append(np.mean(panel.called[0] == panel.called[1]))
    assert agreed[0] == pytest.approx(0.5, abs=0.04)
    # Two normal variables of correlation 4 / 5 have the same sign with chance 1/2 + asin(r) / pi.
    assert agreed[1] == pytest.approx(0.5 + np.arcsin(0.8) / np.pi, abs=0.04)


def test_files_are_read_and_repeat(tmp_path):
    folder = tiny.write_deck(tmp_path / "deck", images=20)
    deck = reader_answers.load_deck(folder)
    key = reader_answers.load_key(folder, deck)
    populations = {256: simulated_readers.Population(0.0), 512: simulated_readers.Population(3.0)}
    files, truths = simulated_readers.answer_deck(deck, key, populations, 5, time_outs=0.2)
    again, _ = simulated_readers.answer_deck(deck, key, populations, 5, time_outs=0.2)
    assert files == again
    paths = simulated_readers.write_answers(tmp_path / "answers", files)
    study = reader_answers.load_study(folder, folder, paths)
    assert study.simulated and study.unfinished == ()
    assert all(one.background["simulated"] for one in study.answers.values())
    assert truths[256]["accuracy"] == pytest.approx(0.5) and (truths[512]["accuracy"] > 0.8).all()
    panels = reader_study.panels(study)
    assert 0.1 < np.isnan(panels[0].called).mean() < 0.3
    orders = [
        sorted(one.by_item, key=lambda item: one.by_item[item]["position"])
        for one in study.answers.values()
    ]
    assert orders[0] != orders[1]
