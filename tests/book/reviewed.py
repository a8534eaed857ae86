"""Note that statements, as they stand now, were compared with their tests, and purposes with exercises.

``make reviewed LABELS="eq-settle thm-crossing ex-relu"``
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "book" / "extensions"))
from ledger import review  # noqa: E402

FILE = ROOT / "tests" / "book" / "reviewed.txt"

if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit('Which? Compare each with its test first: make reviewed LABELS="eq-... thm-..."')
    review(FILE, ROOT / "book", sys.argv[1:])
