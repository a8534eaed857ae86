"""jcache, which runs chapters, with one thing more: it keeps the time that each cell took.

Where processes are not forked, as on macOS, that patch does not reach the workers, and no times are kept.
"""

from functools import partial

from jupyter_cache.cli.commands.cmd_main import jcache
from jupyter_cache.executors import basic

if __name__ == "__main__":
    basic.single_nb_execution = partial(basic.single_nb_execution, record_timing=True)
    jcache()
