"""The worker plane: processes that load torch, started as `python -m lorasmith.workers.<job> spec.json`.

Packages that this job does not need are hidden from the libraries underneath, which import whatever they find installed:
`datasets` and `bitsandbytes` alone cost 95 MB and a second (docs/lab-log.md).
"""

from __future__ import annotations

import os
import sys

for _name in filter(None, os.environ.get("LORASMITH_WITHOUT", "").split(",")):
    sys.modules.setdefault(_name, None)  # type: ignore[arg-type]  to Python: known not to be there
