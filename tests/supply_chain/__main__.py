"""`python -m tests.supply_chain [LOCK]`: prints the bill of materials of a lock file, requirements.lock by default."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.supply_chain.bill import LOCK, ROOT, bill_of, read_lock

if __name__ == "__main__":
    lock = Path(sys.argv[1]) if len(sys.argv) > 1 else LOCK
    bill = bill_of(read_lock(lock.read_text()), project=(ROOT / "pyproject.toml").read_text())
    json.dump(bill, sys.stdout, indent=1)
    sys.stdout.write("\n")
