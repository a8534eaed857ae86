"""One peer in a process of its own, which waits to be asked: prepare, or run and say how long it took."""

import os
import sys
import time
import traceback


def serve(pipe, name, dtype, cores):
    """Answer requests until None comes: a number is a tolerance to prepare with, "run" is run once."""
    os.environ.update(OMP_NUM_THREADS=str(cores), JAX_PLATFORMS="cpu")
    os.environ["JAX_ENABLE_X64"] = str(int(dtype == "float64"))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    sys.path.insert(0, os.path.dirname(__file__))
    try:
        from job import Job
        from peers import PEERS

        job = Job.draw(dtype)
        run = None
    except Exception:
        pipe.send(traceback.format_exc())
        return
    for request in iter(pipe.recv, None):
        try:
            if request == "run":
                wall, cpu = time.perf_counter(), time.process_time()
                result = run()
                answer = time.perf_counter() - wall, time.process_time() - cpu, result
            else:
                run = PEERS[name](job, request)
                answer = run()  # compiles, and fills caches
        except Exception:
            answer = traceback.format_exc()
        pipe.send(answer)
