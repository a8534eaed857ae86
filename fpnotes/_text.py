"""Words for the one line that an object shows of itself."""


def counted(n, noun):
    """Return a number and its noun, such as "1 neuron" or "40 neurons"."""
    return f"{n} {noun}{'s' * (n != 1)}"
