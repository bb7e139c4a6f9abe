"""`python -m lorasmith` is the `lorasmith` command."""

from lorasmith.cli.app import main

main()
