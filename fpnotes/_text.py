"""Words for the one line that an object shows of itself."""


def counted(n, noun):
    """Return a number and its noun, such as "1 neuron" or "40 neurons"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
