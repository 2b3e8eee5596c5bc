"""What every layer and network must do, as one table."""

import numpy as np
import pytest
import tensorflow as tf

from pgan import config, layers, networks

NETWORK = config.NetworkConfig(
    resolution=16, findings=("Mass", "Edema"), latent_size=6, fmap_base=32, fmap_max=8
)
POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")


def _normal(*shape):
    return tf.random.stateless_normal(shape, [5, len(shape)])


# Name: (constructor of (seed, dtype), arguments of the call, shapes of the outputs, whether the
# outputs have the policy's compute dtype rather than float32).
CASES = {
    "conv": (
        lambda seed, dtype: layers.EqualizedConv2D(5, 3, seed=seed, dtype=dtype),
        lambda: (_normal(4, 8, 8, 3),),
        [[4, 8, 8, 5]],
        True,
    ),
    "conv_up": (
        lambda seed, dtype: layers.EqualizedConv2D(5, 3, resample="up", seed=seed, dtype=dtype),
        lambda: (_normal(4, 8, 8, 3),),
        [[4, 16, 16, 5]],
        True,
    ),
    "conv_down": (
        lambda seed, dtype: layers.EqualizedConv2D(5, 3, resample="down", seed=seed, dtype=dtype),
        lambda: (_normal(4, 8, 8, 3),),
        [[4, 4, 4, 5]],
        True,
    ),
    "dense": (
        lambda seed, dtype: layers.EqualizedDense((7,), seed=seed, dtype=dtype),
        lambda: (_normal(4, 3),),
        [[4, 7]],
        True,
    ),
    "dense_to_features": (
        lambda seed, dtype: layers.EqualizedDense((4, 4, 2), seed=seed, dtype=dtype),
        lambda: (_normal(4, 3),),
        [[4, 4, 4, 2]],
        True,
    ),
    "minibatch_stddev": (
        lambda seed, dtype: layers.MinibatchStddev(2, dtype=dtype),
        lambda: (_normal(4, 4, 4, 3),),
        [[4, 4, 4, 4]],
        True,
    ),
    "generator_stable": (
        lambda seed, dtype: networks.Generator(NETWORK, seed, dtype),
        lambda: (_normal(4, 6), tf.eye(4, 2)),
        [[4, 16, 16, 1]],
        False,
    ),
    "generator_fading": (
        lambda seed, dtype: networks.Generator(NETWORK, seed, dtype),
        lambda: (_normal(4, 6), tf.eye(4, 2), 3, tf.constant(0.4)),
        [[4, 8, 8, 1]],
        False,
    ),
    "discriminator_stable": (
        lambda seed, dtype: networks.Discriminator(NETWORK, seed, dtype),
        lambda: (_normal(4, 16, 16, 1),),
        [[4], [4, 2]],
        False,
    ),
    "discriminator_fading": (
        lambda seed, dtype: networks.Discriminator(NETWORK, seed, dtype),
        lambda: (_normal(4, 8, 8, 1), 3, tf.constant(0.4)),
        [[4], [4, 2]],
        False,
    ),
}
TOLERANCE = {"float32": 1e-5, "mixed_bfloat16": 0.1, "mixed_float16": 0.01}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def _outputs(part, arguments):
    return tf.nest.flatten(part(*arguments))


@pytest.mark.parametrize("policy", POLICIES)
def test_shape_dtype_and_graph(case, policy):
    make, arguments, shapes, in_compute_dtype = case
    part, arguments = make(1, policy), arguments()
    eager = _outputs(part, arguments)
    assert [output.shape.as_list() for output in eager] == shapes
    dtype = tf.as_dtype(policy.removeprefix("mixed_")) if in_compute_dtype else tf.float32
    assert {output.dtype for output in eager} == {dtype}
    graph = tf.nest.flatten(tf.function(part)(*arguments))
    for first, second in zip(eager, graph, strict=True):
        assert np.isfinite(tf.cast(first, tf.float32)).all()
        np.testing.assert_allclose(
            tf.cast(first, tf.float32), tf.cast(second, tf.float32), atol=TOLERANCE[policy]
        )


def test_checkpoint_round_trip(case, tmp_path):
    make, arguments, _, _ = case
    saved, other, arguments = make(1, "float32"), make(2, "float32"), arguments()
    expected = _outputs(saved, arguments)
    before = _outputs(other, arguments)
    path = tf.train.Checkpoint(part=saved).write(str(tmp_path / "part"))
    status = tf.train.Checkpoint(part=other).read(path)
    status.assert_consumed()
    for restored, wanted, was in zip(_outputs(other, arguments), expected, before, strict=True):
        np.testing.assert_array_equal(restored, wanted)
        assert not saved.variables or not np.array_equal(was, wanted)


def test_two_replicas_agree_with_one_device(case):
    make, arguments, shapes, _ = case
    arguments = arguments()
    expected = _outputs(make(1, "float32"), arguments)
    strategy = tf.distribute.MirroredStrategy(
        ["/cpu:0", "/cpu:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    with strategy.scope():
        part = make(1, "float32")
    result = strategy.run(tf.function(lambda: part(*arguments)))
    for value, wanted in zip(tf.nest.flatten(result), expected, strict=True):
        for replica in strategy.experimental_local_results(value):
            np.testing.assert_allclose(replica, wanted, atol=1e-5)
