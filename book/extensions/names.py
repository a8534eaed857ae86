"""Give all that the reference documents a second name, by which people import it.

``fpnotes.solve`` is ``fpnotes.solvers.solve``. Other projects link to ours through ``objects.inv``, which
then lists both names.
"""

import fpnotes


def add_short_names(app, env):
    """Give each public object, and what belongs to it, a second name without its module."""
    objects = env.domains["py"].objects
    for name, entry in list(objects.items()):
        package, _, rest = name.partition(".")
        short = rest.partition(".")[2]
        if package == "fpnotes" and short.partition(".")[0] in fpnotes.__all__:
            objects.setdefault(f"fpnotes.{short}", entry._replace(aliased=True))


def setup(app):
    """Connect it."""
    app.connect("env-updated", add_short_names)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
