import numpy as np
import pytest
import tensorflow as tf

from pgan import layers


def _column(*values):
    """One number per image as [N, 1, 1, 1]."""
    return tf.constant(values, tf.float32)[:, None, None, None]


def test_pixel_norm_by_hand():
    x = tf.constant([[3.0, 4.0], [0.0, 0.0]])
    # sqrt((9 + 16) / 2) = 3.5355339
    np.testing.assert_allclose(layers.pixel_norm(x), [[0.8485281, 1.1313708], [0, 0]], rtol=1e-6)


def test_pixel_norm_of_float16_takes_its_mean_square_in_float32():
    x = tf.constant([[300.0, -300.0]], tf.float16)  # 300^2 is beyond float16.
    y = layers.pixel_norm(x)
    assert y.dtype == tf.float16
    np.testing.assert_allclose(y, [[1, -1]], rtol=1e-3)


def test_upscale_and_downscale_by_hand():
    x = tf.reshape(tf.constant([1.0, 2.0, 3.0, 4.0]), [1, 2, 2, 1])
    up = layers.upscale(x)
    assert up[0, :, :, 0].numpy().tolist() == [
        [1, 1, 2, 2],
        [1, 1, 2, 2],
        [3, 3, 4, 4],
        [3, 3, 4, 4],
    ]
    assert layers.downscale(x).numpy().tolist() == [[[[2.5]]]]
    np.testing.assert_array_equal(layers.downscale(up), x)


def test_upscale_with_unknown_batch():
    @tf.function(input_signature=[tf.TensorSpec([None, 2, 2, 3])])
    def up(x):
        y = layers.upscale(x)
        assert y.shape.as_list() == [None, 4, 4, 3]
        return y

    assert up(tf.zeros([5, 2, 2, 3])).shape == [5, 4, 4, 3]


def test_lerp_is_exact_at_both_ends():
    old, new = tf.constant([0.1, 1e8]), tf.constant([0.7, 0.3])
    np.testing.assert_array_equal(layers.lerp(old, new, 0.0), old)
    np.testing.assert_array_equal(layers.lerp(old, new, 1.0), new)
    np.testing.assert_allclose(layers.lerp(old[:1], new[:1], 0.25), [0.25], rtol=1e-6)


def test_lerp_of_bfloat16_keeps_small_steps_of_alpha():
    old, new = tf.constant([256.0], tf.bfloat16), tf.constant([0.0], tf.bfloat16)
    # 0.501 is 0.5 in bfloat16; 256 * 0.499 = 127.744 rounds to 127.5.
    blend = layers.lerp(old, new, tf.constant(0.501))
    assert blend.dtype == tf.bfloat16
    assert float(blend[0]) == 127.5


def test_fold_seed_composes_and_separates():
    once = layers.fold_seed(7, "generator/block_8/conv0")
    pieces = layers.fold_seed(layers.fold_seed(7, "generator/"), "block_8/conv0")
    assert once == pieces
    others = [layers.fold_seed(8, "generator/block_8/conv0"), layers.fold_seed(7, "to_rgb_8")]
    assert once not in others


def test_equalized_convolution_by_hand():
    layer = layers.EqualizedConv2D(1, kernel_size=3, gain=1.5)
    layer.build([None, 3, 3, 4])
    layer.kernel.assign(tf.ones([3, 3, 4, 1]))
    layer.bias.assign([0.5])
    # Scale 1.5 / sqrt(9 * 4) = 0.25; a corner sees 4 of 9 pixels, an edge 6, the bias is unscaled.
    y = layer(tf.ones([1, 3, 3, 4]))[0, :, :, 0]
    np.testing.assert_allclose(y, [[4.5, 6.5, 4.5], [6.5, 9.5, 6.5], [4.5, 6.5, 4.5]], rtol=1e-6)


def test_resampling_convolutions_by_hand():
    x = tf.reshape(tf.constant([1.0, 2.0, 3.0, 6.0]), [1, 2, 2, 1])
    down = layers.EqualizedConv2D(1, kernel_size=1, gain=1.0, resample="down")
    up = layers.EqualizedConv2D(1, kernel_size=1, gain=1.0, resample="up")
    for layer in (down, up):
        layer.build([None, 2, 2, 1])
        layer.kernel.assign([[[[2.0]]]])
        layer.bias.assign([10.0])
    assert down(x).numpy().tolist() == [[[[16.0]]]]
    rows = [[12, 12, 14, 14], [12, 12, 14, 14], [16, 16, 22, 22], [16, 16, 22, 22]]
    assert up(x)[0, :, :, 0].numpy().tolist() == rows


@pytest.mark.parametrize("resample", ["up", "down"])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_fused_scaling_equals_two_operations_with_its_gradients(resample, size):
    x = tf.random.stateless_normal([2, 6, 4, 3], [0, 1])
    results = []
    for fused in (False, True):
        layer = layers.EqualizedConv2D(5, size, resample=resample, fused_scaling=fused, seed=4)
        layer.build(x.shape)
        with tf.GradientTape() as tape:
            tape.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = layer(x)
                value = tf.reduce_sum(tf.sin(y))
            of_x = inner.gradient(value, x)
            penalty = tf.reduce_sum(of_x**2)
        results.append((y, of_x, *tape.gradient(penalty, [x, layer.kernel, layer.bias])))
    for plain, fused in zip(*results, strict=True):
        scale = max(1.0, float(tf.reduce_max(tf.abs(plain))))
        np.testing.assert_allclose(fused, plain, atol=2e-6 * scale)


def test_fused_upscaling_with_unknown_batch():
    layer = layers.EqualizedConv2D(5, 3, resample="up")
    layer.build([None, 4, 4, 3])
    draw = tf.function(layer, input_signature=[tf.TensorSpec([None, 4, 4, 3])])
    assert draw(tf.zeros([7, 4, 4, 3])).shape == [7, 8, 8, 5]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_leaky_relu_and_its_derivatives_by_hand(dtype):
    x = tf.constant([-2.0, 0.0, 3.0], dtype)
    upstream = tf.constant([1.0, 2.0, -4.0], dtype)
    with tf.GradientTape(persistent=True) as outer:
        outer.watch([x, upstream])
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = layers.leaky_relu(x)
        slope = inner.gradient(y, x, output_gradients=upstream)
    assert y.dtype == slope.dtype == dtype
    np.testing.assert_allclose(tf.cast(y, tf.float32), [-0.4, 0, 3], rtol=5e-3)
    # Zero counts as negative, as in TensorFlow's own gradient.
    np.testing.assert_allclose(tf.cast(slope, tf.float32), [0.2, 0.4, -4], rtol=5e-3)
    assert outer.gradient(slope, x) is None
    of_upstream = outer.gradient(slope, upstream)
    np.testing.assert_allclose(tf.cast(of_upstream, tf.float32), [0.2, 0.2, 1], rtol=5e-3)


def test_upscaling_comes_before_the_convolution():
    kernel = tf.random.stateless_normal([3, 3, 2, 3], [0, 1])
    x = tf.random.stateless_normal([2, 4, 4, 2], [0, 2])
    layer = layers.EqualizedConv2D(3, kernel_size=3, resample="up")
    layer.build([None, 4, 4, 2])
    layer.kernel.assign(kernel)
    enlarged = tf.constant(x.numpy().repeat(2, axis=1).repeat(2, axis=2))
    expected = tf.nn.conv2d(enlarged, kernel * (2 / 18) ** 0.5, 1, "SAME")
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-5)


def test_equalized_dense_has_one_bias_per_channel():
    layer = layers.EqualizedDense((2, 2, 3), gain=2.0)
    layer.build([None, 4])
    assert layer.kernel.shape == [4, 12]
    layer.kernel.assign(tf.tile(tf.range(12.0)[None], [4, 1]))
    layer.bias.assign([100.0, 200.0, 300.0])
    # Scale 2 / sqrt(4) = 1, four inputs of 0.25: output k is k, plus the bias of k mod 3.
    y = layer(tf.fill([1, 4], 0.25))
    expected = [[[100, 201, 302], [103, 204, 305]], [[106, 207, 308], [109, 210, 311]]]
    np.testing.assert_allclose(y, [expected], rtol=1e-6)


def test_initial_kernel_is_standard_normal_and_bias_zero():
    layer = layers.EqualizedConv2D(64, kernel_size=3, seed=3)
    layer.build([None, 8, 8, 64])
    kernel = layer.kernel.numpy()
    # 36,864 draws: standard error 0.005 of the mean, 0.004 of the deviation.
    assert abs(kernel.mean()) < 0.025 and abs(kernel.std() - 1) < 0.02
    assert not layer.bias.numpy().any()


def test_initial_kernel_depends_on_the_seed_only():
    def kernel(seed, name, dtype="float32"):
        layer = layers.EqualizedDense((5,), seed=seed, name=name, dtype=dtype)
        layer.build([None, 3])
        return layer.kernel.numpy()

    first = kernel(1, "a")
    np.testing.assert_array_equal(first, kernel(1, "b", "mixed_bfloat16"))
    assert not np.array_equal(first, kernel(2, "a"))


def test_kernel_is_scaled_before_it_is_rounded():
    layer = layers.EqualizedDense((1,), gain=1.0, dtype="mixed_bfloat16")
    layer.build([None, 3])
    weight = 1.0117
    layer.kernel.assign(tf.fill([3, 1], weight))
    assert layer.kernel.dtype == layer.bias.dtype == tf.float32
    wanted = tf.cast(tf.constant(weight) * 3**-0.5, tf.bfloat16)
    rounded_first = tf.cast(weight, tf.bfloat16) * tf.cast(3**-0.5, tf.bfloat16)
    assert float(wanted) != float(rounded_first)
    assert [float(w) for w in layer.cast_kernel()[:, 0]] == [float(wanted)] * 3
    assert layer(tf.ones([2, 3])).dtype == tf.bfloat16


def test_minibatch_stddev_groups_are_strided():
    # Groups of 2 in a batch of 4: images 0 and 2 (0, 2), images 1 and 3 (10, 20).
    y = layers.MinibatchStddev(group_size=2)(_column(0, 10, 2, 20))
    assert y[:, 0, 0, 0].numpy().tolist() == [0, 10, 2, 20]
    np.testing.assert_allclose(y[:, 0, 0, 1], [1, 5, 1, 5], rtol=1e-6)


def test_minibatch_stddev_averages_deviations_over_positions_and_channels():
    first = [[[0.0, 0.0], [0.0, 0.0]]]  # [H=1, W=2, C=2]
    second = [[[2.0, 4.0], [6.0, 8.0]]]  # Population deviations 1, 2, 3 and 4.
    y = layers.MinibatchStddev(group_size=4)(tf.constant([first, second]))
    assert y.shape == [2, 1, 2, 3]
    np.testing.assert_allclose(y[..., 2], np.full([2, 1, 2], 2.5), rtol=1e-6)


def test_minibatch_stddev_of_equal_images_has_a_finite_gradient():
    x = tf.ones([4, 2, 2, 3])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layers.MinibatchStddev(group_size=4)(x)
    np.testing.assert_allclose(y[..., 3], np.full([4, 2, 2], 1e-4), rtol=1e-5)
    assert np.isfinite(tape.gradient(y, x)).all()


def test_minibatch_stddev_of_float16_is_taken_in_float32():
    x = tf.cast(_column(0, 2000), tf.float16)  # 1000^2 is beyond float16.
    y = layers.MinibatchStddev(dtype="mixed_float16")(x)
    assert y.dtype == tf.float16
    assert y[:, 0, 0, 1].numpy().tolist() == [1000, 1000]


def test_minibatch_stddev_of_one_adds_zeros():
    y = layers.MinibatchStddev(group_size=1)(_column(3, 5, 7))
    assert y[:, 0, 0].numpy().tolist() == [[3, 0], [5, 0], [7, 0]]


def test_minibatch_stddev_names_batch_and_group():
    with pytest.raises(ValueError, match="batch of 6 .* groups of 4"):
        layers.MinibatchStddev(group_size=4)(tf.zeros([6, 4, 4, 2]))


def test_minibatch_stddev_needs_a_known_batch():
    layer = layers.MinibatchStddev(group_size=4)
    function = tf.function(layer, input_signature=[tf.TensorSpec([None, 4, 4, 2])])
    with pytest.raises(ValueError, match="drop_remainder"):
        function.get_concrete_function()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.EqualizedConv2D(0, 3), "filters"),
        (lambda: layers.EqualizedConv2D(4, 2), "odd"),
        (lambda: layers.EqualizedConv2D(4, 3, resample="half"), "'half'"),
        (lambda: layers.EqualizedDense(()), "target_shape"),
        (lambda: layers.MinibatchStddev(0), "group_size"),
    ],
)
def test_wrong_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "layer",
    [
        layers.EqualizedConv2D(4, 3, gain=0.5, resample="up", seed=9, name="conv"),
        layers.EqualizedDense((2, 2), gain=0.5, seed=9, name="dense"),
        layers.MinibatchStddev(2, name="stddev"),
    ],
    ids=lambda layer: layer.name,
)
def test_config_round_trip(layer):
    config = layer.get_config()
    assert type(layer).from_config(config).get_config() == config
