"""What the book's chapters share, and the package does not need: figures, sliders, checks, published runs.

``figures`` draws, ``interactive`` makes a slider that works in the page, ``checks`` computes one gradient in
independent ways, ``geodesics`` follows shortest paths in any metric, ``reproduce`` makes the published runs,
whose tables stand in ``tables``, and ``rivals`` the comparison of other learning rules.
"""

from fpnotes.training import keep_memory

keep_memory()  # a chapter trains for minutes, in a process of its own
