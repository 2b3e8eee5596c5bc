"""The schedule, at numbers of the fact tables and at both edges of phases."""

import pytest

from pgan import config, schedule


@pytest.fixture(scope="module")
def paper():
    return schedule.build(config.ScheduleConfig(), 1024)


def test_phases_of_the_paper(paper):
    rows = [(p.resolution, p.fading, p.start // 1000, p.end // 1000) for p in paper.phases]
    expected = [(4, False, 0, 600)]
    for i, size in enumerate([8, 16, 32, 64, 128, 256, 512, 1024]):
        start = 600 + 1200 * i
        end = 12000 if size == 1024 else start + 1200
        expected += [(size, True, start, start + 600), (size, False, start + 600, end)]
    assert rows == expected
    assert paper.total_images == 12_000_000


def test_batches_and_steps_of_the_paper(paper):
    steps = {}
    shown = 0
    while shown < paper.total_images:
        phase = paper.phase_at(shown)
        count = -(-(phase.end - shown) // phase.batch_size)
        steps[phase.resolution] = steps.get(phase.resolution, 0) + count
        shown += count * phase.batch_size
    published = {
        4: 4688,
        8: 9375,
        16: 9375,
        32: 9375,
        64: 18750,
        128: 37500,
        256: 75000,
        512: 150000,
        1024: 750000,
    }
    assert steps.keys() == published.keys()
    # Batches do not divide the phases, so a stage may take one step more or less.
    assert all(abs(steps[size] - published[size]) <= 1 for size in published)
    assert paper.steps() == sum(steps.values())


def test_the_256_px_run_takes_what_is_left():
    plan = schedule.build(config.ScheduleConfig(), 256)
    assert (plan.phases[-1].start, plan.phases[-1].end) == (7_200_000, 12_000_000)


@pytest.mark.parametrize(
    ("images", "resolution", "fading", "alpha"),
    [
        (0, 4, False, 1.0),
        (599_999, 4, False, 1.0),
        (600_000, 8, True, 0.0),
        (900_000, 8, True, 0.5),
        (1_199_999, 8, True, 599_999 / 600_000),
        (1_200_000, 8, False, 1.0),
        (1_800_000, 16, True, 0.0),
        (9_600_000, 1024, False, 1.0),
        (11_999_999, 1024, False, 1.0),
        (12_000_010, 1024, False, 1.0),
    ],
)
def test_phase_and_alpha_at_edges(paper, images, resolution, fading, alpha):
    phase = paper.phase_at(images)
    assert (phase.resolution, phase.fading) == (resolution, fading)
    assert phase.alpha(images) == pytest.approx(alpha, abs=1e-12)
    assert 2**phase.level == resolution


def test_lengths_by_resolution():
    settings = config.ScheduleConfig(
        stage_kimg="4:1,8:2,16:3", fade_kimg="8:4,16:0", total_kimg=20, batch_sizes="4"
    )
    plan = schedule.build(settings, 16)
    rows = [(p.resolution, p.fading, p.start, p.end) for p in plan.phases]
    assert rows == [
        (4, False, 0, 1000),
        (8, True, 1000, 5000),
        (8, False, 5000, 7000),
        (16, False, 7000, 20000),
    ]


def test_a_run_that_ends_in_a_fade_keeps_its_alphas():
    settings = config.ScheduleConfig(stage_kimg="1", fade_kimg="2", total_kimg=2, batch_sizes="4")
    plan = schedule.build(settings, 8)
    assert plan.total_images == 2000
    assert plan.phases[-1].fading
    assert plan.phases[-1].alpha(2000) == 0.5


@pytest.mark.parametrize(
    ("values", "resolution", "message"),
    [
        ({"total_kimg": 9000.0}, 1024, "--total_kimg=9000 ends before 1024 px"),
        ({"initial_resolution": 32}, 16, "--initial_resolution=32 is above"),
        ({"batch_sizes": "4:8"}, 8, "8:VALUE"),
        ({"batch_sizes": "2.5"}, 8, "--batch_sizes wants whole numbers"),
        ({"stage_kimg": "1,8:0", "fade_kimg": "0"}, 8, "give 8 px no images"),
    ],
)
def test_schedules_that_cannot_work_are_refused(values, resolution, message):
    with pytest.raises(ValueError, match=message):
        schedule.build(config.ScheduleConfig(**values), resolution)
