"""Peak memory of this process, or of its first GPU."""


def reset_peak() -> None:
    """Forgets the peaks so far, where the system permits it."""
    import tensorflow as tf

    for device in tf.config.list_logical_devices("GPU"):
        tf.config.experimental.reset_memory_stats(device.name)
    # Linux: 5 resets the peak of the resident set; not permitted everywhere.
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        pass


def peak_bytes() -> int:
    """Largest resident set of this process so far (CPU), or memory of the first GPU."""
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU")
    if devices:
        return int(tf.config.experimental.get_memory_info(devices[0].name)["peak"])
    # Not getrusage: its peak is inherited from the process that started this one.
    with open("/proc/self/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmHWM; peak memory is read on Linux only")
