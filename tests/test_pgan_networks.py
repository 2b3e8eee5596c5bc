import numpy as np
import pytest
import tensorflow as tf

from pgan import arithmetic, config, losses, networks

TINY = config.NetworkConfig(
    resolution=16, findings=("Mass", "Edema"), latent_size=6, fmap_base=32, fmap_max=8
)  # Feature maps 8, 8, 4 at 4, 8 and 16 px.
WEIGHTS = config.TrainConfig()


def _normal(shape, seed):
    return tf.random.stateless_normal(shape, [17, seed])


def _latents_and_labels(network, batch=4):
    labels = tf.random.stateless_uniform([batch, network.num_labels], [17, 1])
    return _normal([batch, network.latent_size], 2), tf.round(labels)


def _randomize_biases(network):
    """Zero biases would hide an error of their place."""
    for number, variable in enumerate(network.trainable_variables):
        if "bias" in variable.name:
            variable.assign(0.3 * _normal(variable.shape, 100 + number))


@pytest.fixture
def generator():
    network = networks.Generator(TINY, seed=1)
    _randomize_biases(network)
    return network


@pytest.fixture
def discriminator():
    network = networks.Discriminator(TINY, seed=1)
    _randomize_biases(network)
    return network


# --- Full width: totals of the published networks ---


@pytest.mark.parametrize(
    ("network", "generator_total", "discriminator_total"),
    [
        (config.NetworkConfig(resolution=512), 23_227_912, 23_128_527),
        (config.NetworkConfig(resolution=256), 23_153_991, 23_054_543),
        (config.NetworkConfig(resolution=256, widths="pggan"), 23_153_991, 23_054_543),
        (config.NetworkConfig(widths="pggan"), 23_188_697, 23_089_343),
        (
            config.NetworkConfig(widths="pggan", findings=(), channels=3),
            23_079_115,
            23_087_249,
        ),
    ],
    ids=["512", "256", "256-pggan", "1024-pggan", "1024-pggan-unconditional-rgb"],
)
def test_parameter_totals(network, generator_total, discriminator_total):
    assert networks.Generator(network).count_params() == generator_total
    assert networks.Discriminator(network).count_params() == discriminator_total
    assert arithmetic.generator_parameters(network) == generator_total
    assert arithmetic.discriminator_parameters(network) == discriminator_total


@pytest.fixture(scope="module")
def full_width():
    network = config.NetworkConfig()
    return networks.Generator(network), networks.Discriminator(network)


def test_parameter_totals_of_the_paper(full_width):
    generator, discriminator = full_width
    assert generator.count_params() == 23_255_657
    assert discriminator.count_params() == 23_156_335
    assert all(v.trainable for v in generator.variables + discriminator.variables)


@pytest.mark.parametrize(
    ("level", "generator_active", "discriminator_active"),
    [
        (2, 6_669_825, 6_567_951),
        (3, 11_389_441, 11_287_567),
        (4, 16_109_057, 16_007_183),
        (5, 20_828_673, 20_726_799),
        (6, 22_598_401, 22_496_527),
        (7, 23_040_897, 22_939_023),
        (8, 23_151_553, 23_049_679),
        (9, 23_225_409, 23_123_535),
        (10, 23_253_089, 23_151_215),
    ],
)
def test_active_parameters_of_the_paper(full_width, level, generator_active, discriminator_active):
    for network, active in zip(full_width, (generator_active, discriminator_active), strict=True):
        variables = network.active_variables(level, fading=False)
        assert sum(variable.shape.num_elements() for variable in variables) == active


@pytest.mark.parametrize(("level", "fading"), [(2, False), (3, True), (10, True)])
def test_arithmetic_agrees_with_the_variables(full_width, level, fading):
    tables = (arithmetic.generator_layers, arithmetic.discriminator_layers)
    for network, table in zip(full_width, tables, strict=True):
        sizes = {}
        for variable in network.active_variables(level, fading):
            name, _, _ = variable.name.rpartition("/")
            sizes[name] = sizes.get(name, 0) + variable.shape.num_elements()
        layers = table(network.config, level, fading)
        assert sizes == {layer.name: layer.parameters for layer in layers}


def test_variable_names(generator, discriminator):
    names = [variable.name for variable in generator.active_variables(3, fading=True)]
    assert names == [
        f"{layer}/{part}:0"
        for layer in (
            "block_4/dense",
            "block_4/conv",
            "block_8/conv0",
            "block_8/conv1",
            "to_rgb_4",
            "to_rgb_8",
        )
        for part in ("kernel", "bias")
    ]
    assert [v.name for v in discriminator.active_variables(2, fading=False)][-2:] == [
        "from_rgb_4/kernel:0",
        "from_rgb_4/bias:0",
    ]


# --- The whole function, against a second implementation in NumPy ---


def _reference_lrelu(x):
    return np.where(x > 0, x, 0.2 * x)


def _reference_pixel_norm(x):
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-8)


def _reference_conv(x, layer, gain=2**0.5, bias=True):
    """One multiplication per kernel position, on an image padded with zeros."""
    kernel = layer.kernel.numpy().astype(np.float64)
    size = kernel.shape[0]
    kernel = kernel * gain / np.sqrt(size * size * kernel.shape[2])
    edge = size // 2
    padded = np.pad(x, [(0, 0), (edge, edge), (edge, edge), (0, 0)])
    _, height, width, _ = x.shape
    y = sum(
        padded[:, i : i + height, j : j + width] @ kernel[i, j]
        for i in range(size)
        for j in range(size)
    )
    return y + layer.bias.numpy() if bias else y


def _reference_dense(x, layer, gain):
    return x @ layer.kernel.numpy().astype(np.float64) * gain / np.sqrt(x.shape[1])


def _reference_mean(x):
    n, height, width, channels = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))


def test_generator_against_numpy(generator):
    latents, labels = _latents_and_labels(TINY)
    x = np.concatenate([latents, labels], axis=1).astype(np.float64)
    x = _reference_dense(_reference_pixel_norm(x), generator.blocks[0].dense, 2**0.5 / 4)
    x = x.reshape(4, 4, 4, 8) + generator.blocks[0].dense.bias.numpy()
    x = _reference_pixel_norm(_reference_lrelu(x))
    x = _reference_pixel_norm(_reference_lrelu(_reference_conv(x, generator.blocks[0].conv)))
    old = _reference_conv(x, generator.to_rgb[0], gain=1).repeat(2, axis=1).repeat(2, axis=2)
    x = x.repeat(2, axis=1).repeat(2, axis=2)
    x = _reference_pixel_norm(_reference_lrelu(_reference_conv(x, generator.blocks[1].conv0)))
    x = _reference_pixel_norm(_reference_lrelu(_reference_conv(x, generator.blocks[1].conv1)))
    new = _reference_conv(x, generator.to_rgb[1], gain=1)
    images = generator(latents, labels, level=3)
    np.testing.assert_allclose(images, new, rtol=1e-4, atol=1e-5)
    images = generator(latents, labels, level=3, alpha=0.3)
    np.testing.assert_allclose(images, 0.7 * old + 0.3 * new, rtol=1e-4, atol=1e-5)


def test_discriminator_against_numpy(discriminator):
    images = _normal([8, 8, 8, 1], 3)
    reals = images.numpy().astype(np.float64)
    x = _reference_lrelu(_reference_conv(reals, discriminator.from_rgb[1]))
    block = discriminator.blocks[1]
    x = _reference_lrelu(_reference_conv(x, block.conv0))
    x = _reference_mean(_reference_conv(x, block.conv1, bias=False)) + block.conv1.bias.numpy()
    x = _reference_lrelu(x)
    old = _reference_lrelu(_reference_conv(_reference_mean(reals), discriminator.from_rgb[0]))
    x = 0.7 * old + 0.3 * x
    # Eight images in groups of four: two groups, the even and the odd images.
    deviation = np.empty([8, 4, 4, 1])
    for first in (0, 1):
        members = x[first::2]
        deviation[first::2] = np.sqrt(members.var(axis=0) + 1e-8).mean()
    last = discriminator.blocks[0]
    x = _reference_lrelu(_reference_conv(np.concatenate([x, deviation], axis=3), last.conv))
    x = _reference_dense(x.reshape(8, -1), last.dense0, 2**0.5) + last.dense0.bias.numpy()
    x = _reference_dense(_reference_lrelu(x), last.dense1, 1) + last.dense1.bias.numpy()
    scores, logits = discriminator(images, level=3, alpha=0.3)
    np.testing.assert_allclose(scores, x[:, 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logits, x[:, 1:], rtol=1e-4, atol=1e-5)


# --- Fading ---


@pytest.mark.parametrize("level", [3, 4])
def test_generator_fades_from_the_level_below(generator, level):
    latents, labels = _latents_and_labels(TINY)
    below = generator(latents, labels, level=level - 1).numpy()
    stable = generator(latents, labels, level=level)
    start = generator(latents, labels, level=level, alpha=tf.constant(0.0))
    end = generator(latents, labels, level=level, alpha=tf.constant(1.0))
    np.testing.assert_allclose(start, below.repeat(2, axis=1).repeat(2, axis=2), atol=1e-6)
    np.testing.assert_allclose(end, stable, atol=1e-6)
    assert np.abs(start - stable).max() > 0.01


@pytest.mark.parametrize("level", [3, 4])
def test_discriminator_fades_from_the_level_below(discriminator, level):
    images = _normal([4, 2**level, 2**level, 1], 4)
    halved = tf.constant(_reference_mean(images.numpy()))
    for start, below in zip(
        discriminator(images, level=level, alpha=tf.constant(0.0)),
        discriminator(halved, level=level - 1),
        strict=True,
    ):
        np.testing.assert_allclose(start, below, rtol=1e-5, atol=1e-5)
    for end, stable in zip(
        discriminator(images, level=level, alpha=tf.constant(1.0)),
        discriminator(images, level=level),
        strict=True,
    ):
        np.testing.assert_allclose(end, stable, rtol=1e-5, atol=1e-5)


# --- Gradients ---


def _gradients(network, loss):
    """Gradients by variable name, for every variable."""
    with tf.GradientTape() as tape:
        value = loss()
    gradients = tape.gradient(value, network.trainable_variables)
    return dict(zip([v.name for v in network.trainable_variables], gradients, strict=True))


def _assert_exactly_active(network, level, fading, gradients):
    active = {variable.name for variable in network.active_variables(level, fading)}
    assert {name for name, gradient in gradients.items() if gradient is not None} == active
    for name in active:
        assert np.isfinite(gradients[name]).all(), name
        assert np.any(gradients[name]), name


STAGES = [(2, None), (3, 0.5), (4, None), (4, 0.5)]


@pytest.mark.parametrize(("level", "alpha"), STAGES)
def test_loss_reaches_exactly_the_active_variables(generator, discriminator, level, alpha):
    latents, labels = _latents_and_labels(TINY)
    real = _normal([4, 2**level, 2**level, 1], 5)
    mix = tf.random.stateless_uniform([4, 1, 1, 1], [17, 6])

    def judge(images):
        return discriminator(images, level=level, alpha=alpha)

    def generator_loss():
        scores, logits = judge(generator(latents, labels, level=level, alpha=alpha))
        terms = losses.generator_terms(scores, logits, labels, WEIGHTS)
        return tf.add_n(list(terms.values()))

    def discriminator_loss():
        fake = generator(latents, labels, level=level, alpha=alpha)
        terms = losses.discriminator_terms(judge, real, fake, labels, mix, WEIGHTS)
        return tf.add_n([terms[name] * losses.LOSS_TERMS[name] for name in terms])

    fading = alpha is not None
    _assert_exactly_active(generator, level, fading, _gradients(generator, generator_loss))
    _assert_exactly_active(
        discriminator, level, fading, _gradients(discriminator, discriminator_loss)
    )


@pytest.mark.parametrize(("level", "alpha"), STAGES)
def test_penalty_alone_reaches_every_active_kernel(discriminator, level, alpha):
    """The gradient of a gradient, which only differentiable resampling lets through."""
    images = _normal([4, 2**level, 2**level, 1], 7)

    def penalty():
        norms = losses.score_gradient_norms(
            lambda x: discriminator(x, level=level, alpha=alpha), images
        )
        return losses.gradient_penalty(norms)

    gradients = _gradients(discriminator, penalty)
    for variable in discriminator.active_variables(level, fading=alpha is not None):
        if "kernel" in variable.name:
            gradient = gradients[variable.name]
            assert np.isfinite(gradient).all() and np.any(gradient), variable.name


def test_xla_compiles_a_step_of_the_discriminator(generator, discriminator):
    latents, labels = _latents_and_labels(TINY)
    real = _normal([4, 8, 8, 1], 8)
    mix = tf.random.stateless_uniform([4, 1, 1, 1], [17, 9])
    variables = discriminator.active_variables(3, fading=True)

    def step(alpha):
        fake = generator(latents, labels, level=3, alpha=alpha)
        with tf.GradientTape() as tape:
            terms = losses.discriminator_terms(
                lambda x: discriminator(x, level=3, alpha=alpha), real, fake, labels, mix, WEIGHTS
            )
            loss = tf.add_n([terms[name] * losses.LOSS_TERMS[name] for name in terms])
        return terms, tape.gradient(loss, variables)

    plain = tf.function(step)(tf.constant(0.5))
    compiled = tf.function(step, jit_compile=True)(tf.constant(0.5))
    tf.nest.map_structure(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), plain, compiled
    )


# --- Conditioning ---


def test_every_finding_changes_the_image(generator):
    latents, _ = _latents_and_labels(TINY, batch=1)
    none, first, second = (
        generator(latents, tf.constant([labels])).numpy()
        for labels in ([0.0, 0.0], [1.0, 0.0], [0.0, 1.0])
    )
    assert np.abs(none - first).max() > 1e-3 and np.abs(none - second).max() > 1e-3


def test_normalization_covers_latents_and_labels(generator):
    latents, labels = _latents_and_labels(TINY)
    np.testing.assert_allclose(
        generator(5 * latents, 5 * labels), generator(latents, labels), atol=1e-5
    )
    plain = networks.Generator(
        config.NetworkConfig.from_dict({**TINY.to_dict(), "normalize_latents": False}), seed=1
    )
    _randomize_biases(plain)
    assert np.abs(plain(5 * latents, 5 * labels) - plain(latents, labels)).max() > 0.01


def test_network_without_findings():
    network = config.NetworkConfig.from_dict({**TINY.to_dict(), "findings": ()})
    latents, labels = _latents_and_labels(network)
    images = networks.Generator(network)(latents, labels)
    scores, logits = networks.Discriminator(network)(images)
    assert (images.shape, scores.shape, logits.shape) == ([4, 16, 16, 1], [4], [4, 0])


def test_an_image_does_not_depend_on_its_batch(generator):
    latents, labels = _latents_and_labels(TINY)
    together = generator(latents, labels)
    alone = generator(latents[2:3], labels[2:3])
    np.testing.assert_allclose(together[2:3], alone, atol=1e-5)


# --- Seeds and dtypes ---


@pytest.mark.parametrize("network_class", [networks.Generator, networks.Discriminator])
def test_initial_weights_depend_on_seed_and_path(network_class):
    def kernels(network, **arguments):
        made = network_class(network, **arguments)
        return {v.name: v.numpy() for v in made.variables if "kernel" in v.name}

    first = kernels(TINY, seed=1)
    higher = config.NetworkConfig.from_dict({**TINY.to_dict(), "resolution": 32})
    for same in (kernels(higher, seed=1), kernels(TINY, seed=1, dtype="mixed_bfloat16")):
        for name, kernel in first.items():
            np.testing.assert_array_equal(kernel, same[name], err_msg=name)
    other = kernels(TINY, seed=2)
    starts = [kernel.ravel()[0] for kernel in [*first.values(), *other.values()]]
    assert len(set(starts)) == len(starts)


def test_generator_and_discriminator_start_differently():
    pair = [
        {v.name: v for v in network(TINY, seed=1).variables}["block_8/conv0/kernel:0"]
        for network in (networks.Generator, networks.Discriminator)
    ]
    assert not np.array_equal(pair[0], pair[1])


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_variables_and_outputs_in_float32(dtype):
    latents, labels = _latents_and_labels(TINY)
    outputs = {}
    for policy in ("float32", dtype):
        generator = networks.Generator(TINY, seed=1, dtype=policy)
        discriminator = networks.Discriminator(TINY, seed=1, dtype=policy)
        images = generator(latents, labels, alpha=tf.constant(0.5))
        outputs[policy] = [images, *discriminator(images, alpha=tf.constant(0.5))]
    assert {v.dtype for v in generator.variables + discriminator.variables} == {tf.float32}
    assert {output.dtype for output in outputs[dtype]} == {tf.float32}
    assert generator.blocks[0](tf.zeros([1, 8])).dtype == dtype.removeprefix("mixed_")
    for mixed, exact in zip(outputs[dtype], outputs["float32"], strict=True):
        np.testing.assert_allclose(mixed, exact, atol=0.1)
        assert not np.array_equal(mixed, exact)
    # Images are no multiples of a 16-bit step: the RGB layer's own result is float32.
    images = outputs[dtype][0]
    assert not np.array_equal(images, tf.cast(tf.cast(images, tf.bfloat16), tf.float32))


# --- Refusals ---


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g, d: g(tf.zeros([1, 6]), tf.zeros([1, 2]), level=5), "from 2 to 4"),
        (lambda g, d: d(tf.zeros([1, 2, 2, 1]), level=1), "from 2 to 4"),
        (lambda g, d: g(tf.zeros([1, 6]), tf.zeros([1, 2]), level=2, alpha=0.5), "fade"),
        (lambda g, d: d.active_variables(2, fading=True), "fade"),
        (lambda g, d: g(tf.zeros([1, 5]), tf.zeros([1, 2])), r"latents .*\[N, 6\]"),
        (lambda g, d: g(tf.zeros([1, 6]), tf.zeros([1, 3])), r"labels .*\[N, 2\]"),
        (lambda g, d: d(tf.zeros([1, 8, 8, 1]), level=4), r"\(16, 16, 1\), got \(8, 8, 1\)"),
        (lambda g, d: d(tf.zeros([6, 16, 16, 1])), "batch of 6"),
    ],
)
def test_wrong_calls_are_refused(generator, discriminator, call, message):
    with pytest.raises(ValueError, match=message):
        call(generator, discriminator)
