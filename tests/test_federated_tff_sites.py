"""Sites in workers: the round is that of one process, whatever happens to the workers.

Both ways run the same operations in two builds of TensorFlow. The weights of the tiny networks move
by up to 0.05 in a round and were seen to differ by up to 3e-7; 2e-5 is allowed, since Adam divides
rounding errors by small gradients.
"""

import contextlib
import dataclasses
import os
import signal
import time

import numpy as np
import pytest
import remote_sites
import tiny_federations
import tiny_records

from federated import averaging, clients, local, quorum, remote_rounds, rounds, sites

tff = pytest.importorskip("tensorflow_federated")

from federated import tff_sites, tff_workers  # noqa: E402

_TOLERANCE = 2e-5
_TIMES = quorum.QuorumConfig(
    retry_seconds=0.1, connect_timeout=60.0, site_timeout=600.0, patience=600.0
)
_MEGABYTES = 10


class _Worker:
    """A worker of this process that can be killed and started again on its port."""

    def __init__(self, folder):
        self._log, self.port = folder / "worker.log", remote_sites.free_port()
        self.start()

    def start(self, megabytes=_MEGABYTES):
        arguments = tff_workers.site_arguments(self.port, megabytes)
        self.process = tff_workers.start_worker(self._log, *arguments)

    def end(self):
        tff_workers.end_worker(self.process)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def restart(self):
        self.kill()
        self.start()


@contextlib.contextmanager
def _running(folder, path=None):
    worker = _Worker(folder)
    relay = remote_sites.Relay(worker.port, path)
    try:
        yield worker, relay
    finally:
        relay.close()
        worker.end()


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory):
    """Two record sets of other sizes; the second stores PNG."""
    folder = tmp_path_factory.mktemp("hospitals")
    return [
        tiny_records.build(folder / "north", images=tiny_records.radiographs(30)),
        tiny_records.build(folder / "south", encoding="png"),
    ]


@pytest.fixture
def two(hospitals, tmp_path):
    """Settings, both sites, and for each its worker and the relay before it."""
    chosen = tiny_federations.settings(num_clients=2, client_share=1.0)
    with contextlib.ExitStack() as stack:
        running = []
        for name in ("north", "south"):
            (tmp_path / name).mkdir()
            socket = tmp_path / "north.sock" if name == "north" else None
            running.append(stack.enter_context(_running(tmp_path / name, socket)))
        found = [
            sites.Site(k, records.name, relay.address, str(records.path), "train")
            for k, (records, (_, relay)) in enumerate(zip(hospitals, running, strict=True))
        ]
        yield chosen, found, running


def _engine(chosen, found, times=_TIMES, holdings=None):
    connector = tff_sites.Connector(times, _MEGABYTES)
    if holdings is None:
        holdings = [connector.holdings(site, tiny_federations.PIXELS) for site in found]
    return tff_sites.RemoteRounds(chosen, found, holdings, connector, times)


def _in_process(chosen, hospitals, weights, round_number):
    """The same round in this process, with the batches of a simulation."""
    places = {r.name: np.flatnonzero(r.fold_mask("train")) for r in hospitals}
    participants = []
    for number, records in enumerate(hospitals):
        # A simulation has one record set; a client's number is its place in it.
        names = {f"{k}": places[records.name] for k in range(number + 1)}
        batches = clients.Clients(chosen, records, names).batches(number, round_number)
        participants.append(rounds.Participant(number, records.name, batches))
    return rounds.InProcess(chosen).run(weights, [], participants, round_number)


def _participants(found):
    return [rounds.Participant(site.number, site.name, None) for site in found]


def _assert_same(first, second, atol=_TOLERANCE):
    for a, b in zip(first.weights, second.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=atol)
    for a, b in zip(first.clients, second.clients, strict=True):
        assert (a["client"], a["examples"]) == (b["client"], b["examples"])
        assert a["update_norm"] == pytest.approx(b["update_norm"], rel=1e-3)


@pytest.mark.slow
def test_rounds_are_those_of_one_process_whatever_happens(two, hospitals, caplog):
    """Undisturbed, with a worker killed in mid-round and started again, and without one."""
    chosen, found, running = two
    engine = _engine(chosen, found)
    trainer = rounds.InProcess(chosen).trainer
    weights = trainer.initial_weights()
    for number in range(2):
        expected = _in_process(chosen, hospitals, weights, number)
        if number:
            worker, relay = running[1]
            relay.when_sent(100_000, worker.restart)  # the computation is on its way
        outcome = engine.run(weights, [], _participants(found), number)
        _assert_same(expected, outcome)
        moved = [
            np.abs(a - b).max() for a, b in zip(rounds.flat(weights), outcome.weights, strict=True)
        ]
        assert min(moved) > 10 * _TOLERANCE
        assert ("round 1: south: its worker or the tunnel to it ended" in caplog.text) == (
            number == 1
        )
        split = len(weights.generator)
        weights = local.Weights(outcome.weights[:split], outcome.weights[split:])
    # Networks from before are still of use, as for grids between rounds.
    images = trainer.generator(np.zeros((1, 4), np.float32), np.zeros((1, 2), np.float32))
    assert images.shape[1] == 8
    # Half of the sites are enough: the other one is left out, and named.
    running[0][0].kill()
    times = quorum.QuorumConfig(connect_timeout=2.0, site_timeout=600.0, quorum=0.5)
    engine = _engine(chosen, found, times, engine._holdings)
    outcome = engine.run(weights, [], _participants(found), 2)
    assert [row["client"] for row in outcome.clients] == ["south"]
    assert "round 2: north: no worker answers at unix:/" in caplog.text
    assert "round 2 goes on without north" in caplog.text


@pytest.mark.slow
def test_a_stopped_worker_does_not_hold_the_round(two, caplog):
    """It is left out of the round that it is stopped in, and has its part in the next one."""
    chosen, found, running = two
    engine = _engine(chosen, found)
    for holdings in engine._holdings:
        engine._prepare(holdings)
    weights = rounds.InProcess(chosen).trainer.initial_weights()
    began = time.monotonic()
    engine.run(weights, [], _participants(found), 0)
    # On a machine of any speed the site that is not stopped has time enough.
    seconds = max(5.0, 5 * (time.monotonic() - began))
    brief = dataclasses.replace(_TIMES, quorum=0.5, site_timeout=seconds)
    engine._times, engine._connector = brief, tff_sites.Connector(brief, _MEGABYTES)
    worker, relay = running[0]
    relay.when_sent(100_000, lambda: os.kill(worker.process.pid, signal.SIGSTOP))
    outcome = engine.run(weights, [], _participants(found), 1)
    (row,) = outcome.clients
    assert (row["client"], row["rejected"]) == ("south", None)
    step = [a - b for a, b in zip(outcome.weights, rounds.flat(weights), strict=True)]
    assert averaging.norm(step) == pytest.approx(row["update_norm"], rel=1e-3)
    assert f"round 1: north: no answer within {seconds:g} s: it is slow or stopped" in caplog.text
    assert "round 1 goes on without north" in caplog.text
    os.kill(worker.process.pid, signal.SIGCONT)
    engine._times = _TIMES  # all of them; time enough for what north was given before, too
    outcome = engine.run(weights, [], _participants(found), 2)
    assert [(row["client"], row["rejected"]) for row in outcome.clients] == [
        ("north", None), ("south", None),
    ]  # fmt: skip


@pytest.mark.slow
def test_a_stopped_worker_is_noticed(two):
    chosen, found, running = two
    engine = _engine(chosen, found)
    worker, relay = running[0]
    weights = rounds.flat(rounds.InProcess(chosen).trainer.initial_weights())
    computation = engine._computation("raw")
    source = ("/nowhere", "/nowhere", np.array(["/nowhere"], np.str_))
    argument = [weights, source, np.int64(0), np.int64(0)]
    brief = quorum.QuorumConfig(connect_timeout=60.0, site_timeout=5.0)
    # In mid-round: the computation is on its way.
    relay.when_sent(100_000, lambda: os.kill(worker.process.pid, signal.SIGSTOP))
    with pytest.raises(quorum.SiteError, match="no answer within 5 s: it is slow or stopped"):
        tff_sites.Connector(brief, _MEGABYTES).train(found[0], computation, argument)
    # Before the next one, too: the kernel takes the call, but nobody answers.
    brief = quorum.QuorumConfig(connect_timeout=2.0)
    with pytest.raises(
        quorum.SiteError, match="no worker answers at unix:.* or the worker is stopped"
    ):
        tff_sites.Connector(brief, _MEGABYTES).holdings(found[0], 8)
    os.kill(worker.process.pid, signal.SIGCONT)
    assert tff_sites.Connector(_TIMES, _MEGABYTES).holdings(found[0], 8) == engine._holdings[0]
    # A stopped worker can be ended.
    os.kill(worker.process.pid, signal.SIGSTOP)
    worker.end()
    assert worker.process.poll() is not None


def test_what_a_site_answers(two):
    _, found, running = two
    connector = tff_sites.Connector(_TIMES, _MEGABYTES)
    assert connector.holdings(found[1], 8).encoding == "png"
    with pytest.raises(quorum.SiteConfigurationError, match="has no 64 px"):
        connector.holdings(found[0], 64)
    lost = sites.Site(0, "north", found[0].address, "/no", "train")
    with pytest.raises(quorum.SiteConfigurationError, match="/no/manifest.json; No such file"):
        connector.holdings(lost, 8)
    split = sites.Site(0, "north", found[0].address, found[0].records, "none/first")
    with pytest.raises(quorum.SiteConfigurationError, match="splits/none/split.json; No such"):
        connector.holdings(split, 8)
    # Messages above the worker's limit.
    running[0][0].kill()
    running[0][0].start(megabytes=1)
    with pytest.raises(quorum.SiteConfigurationError, match=r"too large .*--max_message_mb=10"):
        connector.train(found[0], connector._read, np.str_("/" * 2_000_000))


class _Scripted:
    """In the place of a connector: what sites answer, without workers."""

    def __init__(self, holdings, spoilt):
        self._holdings, self._spoilt = holdings, spoilt

    def holdings(self, site, resolution):
        return self._holdings[site.number]

    def train(self, site, computation, argument):
        update = [
            np.full_like(w, np.nan if site.name in self._spoilt else 0.5) for w in argument[0]
        ]
        return update, np.int32(10), np.zeros(len(local.LOSS_NAMES), np.float32)


def _holding(name, **changes):
    values = {
        "site": name, "findings": tiny_federations.FINDINGS, "preparation": None, "origin": "real",
        "encoding": "raw", "num_shards": 1, "fingerprint": "f", "fold_size": 10,
        "fold_fingerprint": "g", **changes,
    }  # fmt: skip
    return sites.Holdings(**values)


@pytest.fixture
def no_tracing(monkeypatch):
    monkeypatch.setattr(tff_sites, "build_training", lambda settings, encoding: None)


def test_a_site_that_returns_nan_is_left_out_by_name(no_tracing, caplog):
    chosen = tiny_federations.settings()
    found = [sites.Site(k, name, "localhost:1", "/r", "train") for k, name in enumerate("ab")]
    holdings = [_holding("a"), _holding("b")]
    connector = _Scripted(holdings, spoilt="a")
    engine = tff_sites.RemoteRounds(chosen, found, holdings, connector, _TIMES)
    weights = local.Weights([np.zeros(3, np.float32)], [np.ones(2, np.float32)])
    outcome = engine.run(weights, [], _participants(found), 0)
    assert [bool(row["rejected"]) for row in outcome.clients] == [True, False]
    np.testing.assert_array_equal(outcome.weights[0], 0.5)
    assert "round 0: the update of a is rejected: its update is not finite" in caplog.text


def test_a_site_with_other_records_than_before_is_not_asked(no_tracing):
    found = [sites.Site(0, "a", "localhost:1", "/r", "train")]
    connector = _Scripted([_holding("a", fold_size=9)], spoilt="")
    times = quorum.QuorumConfig(patience=0.0)
    engine = tff_sites.RemoteRounds(
        tiny_federations.settings(), found, [_holding("a")], connector, times
    )
    weights = local.Weights([np.zeros(3, np.float32)], [])
    with pytest.raises(quorum.QuorumError, match="other images .* fold_size 10 then, 9 now"):
        engine.run(weights, [], _participants(found), 0)


def test_messages_are_held_near_two_networks():
    chosen = tiny_federations.settings()
    weights = rounds.flat(local.LocalTrainer(chosen).initial_weights())
    size = sum(w.nbytes for w in weights) / 2**20
    assert size < remote_rounds.message_megabytes(chosen) < size + 10


_PATTERN = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)


def _planted(value):
    """An image whose 8 px copy is the pattern."""
    return _PATTERN.repeat(2, axis=0).repeat(2, axis=1)


def _shows_images(stream):
    """Whether a row of the pattern is in bytes, as uint8 or as float32 in [0, 1] or [-1, 1]."""
    views = [bytes(stream)]
    for offset in range(4):
        values = np.frombuffer(stream, "<f4", (len(stream) - offset) // 4, offset)
        with np.errstate(all="ignore"):  # most of it is something else
            for pixels in (values * 255.0, (values + 1.0) * 127.5):
                pixels = np.clip(np.nan_to_num(pixels), 0, 255).round()
                views.append(pixels.astype(np.uint8).tobytes())
    return any(row.tobytes() in view for row in _PATTERN for view in views)


@pytest.mark.parametrize("offset", range(4))
def test_images_are_found_in_a_stream_however_they_are_stored(offset):
    noise = np.random.default_rng(1).standard_normal(10_000).astype(np.float32).tobytes()
    pixels = _PATTERN.astype(np.float32)
    assert not _shows_images(noise)
    for image in (_PATTERN, pixels / 255.0, pixels / 127.5 - 1.0, pixels * (1 / 127.5) - 1.0):
        assert _shows_images(noise + bytes(offset) + image[3].tobytes() + noise)


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_images_and_hold_none(tmp_path):
    """A round with 50 and one with 5,000 images at the site; all images hold a pattern."""
    chosen = tiny_federations.settings(num_clients=1, batch_size=64)
    weights = rounds.InProcess(chosen).trainer.initial_weights()
    size = sum(w.nbytes for w in rounds.flat(weights))
    bytes_of, engine = [], None
    with _running(tmp_path) as (_, relay):
        for count in (50, 5000):
            images = tiny_records.radiographs(count, load=_planted)
            records = tiny_records.build(tmp_path / f"{count:04d}", images=images, split=None)
            shard = open(records.shard_paths(8)[0], "rb").read()
            assert _PATTERN.tobytes() in shard  # what must not be seen below
            site = sites.Site(0, "north", relay.address, str(records.path), "all")
            engine = _engine(chosen, [site])
            before, received = relay.total(), len(relay.received)
            outcome = engine.run(weights, [], _participants([site]), 0)
            assert outcome.clients[0]["examples"] == count
            bytes_of.append(relay.total() - before)
            # Update and manifest come back, and less beside than what the site trained on.
            told = size + (records.path / "manifest.json").stat().st_size
            received = len(relay.received) - received
            assert told < received < told + chosen.images_per_round * _PATTERN.size
        stream = bytes(relay.sent), bytes(relay.received)
    assert bytes_of[0] > 100_000
    assert bytes_of[1] == pytest.approx(bytes_of[0], rel=0.01)
    row = weights.generator[0].tobytes()[:64]
    assert row in stream[0]  # the relay sees what passes
    for direction in stream:
        assert not _shows_images(direction)
