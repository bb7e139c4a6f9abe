"""Serves the model in whose folder this file lies; `start.sh` calls it. The work is done by the installed lorasmith."""

import sys
from pathlib import Path

from lorasmith.cli.app import main

if __name__ == "__main__":
    sys.argv = ["lorasmith", "serve", str(Path(__file__).resolve().parent), *sys.argv[1:]]
    main()
