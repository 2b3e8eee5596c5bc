"""A site reads what the clients of a simulation are given."""

import numpy as np
import pytest
import tensorflow as tf
import tiny_federations
import tiny_records

from federated import clients, site_batches
from pgan.data import manifest


@pytest.fixture(scope="module", params=["raw", "png"])
def records(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("records") / request.param
    return tiny_records.build(path, encoding=request.param)


@pytest.mark.parametrize("batch_size, round_number, number", [(4, 0, 0), (4, 5, 2), (48, 1, 1)])
def test_batches_are_those_of_the_simulation(records, batch_size, round_number, number):
    """The last case has fewer images than a batch."""
    chosen = tiny_federations.settings(batch_size=batch_size)
    places = np.flatnonzero(records.fold_mask("train"))
    names = {str(k): places for k in range(3)}
    expected = clients.Clients(chosen, records, names).batches(number, round_number)
    source = site_batches.Source(
        table=tf.constant(str(records.path / manifest.RECORDS)),
        fold=tf.constant(str(records.path / manifest.fold_name("train"))),
        shards=tf.constant(records.shard_paths(tiny_federations.PIXELS)),
    )
    encoding = records.encoding(tiny_federations.PIXELS)

    @tf.function
    def read(*numbers):
        return site_batches.read(chosen, source, encoding, *numbers)

    found = read(*tiny_federations.numbers(round_number, number))
    for name, a, b in zip(expected._fields, expected, found, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)
        assert a.dtype == b.dtype and a.shape == b.shape
