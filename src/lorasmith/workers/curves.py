"""TensorBoard's server as a worker: it ends with the process that started it, however that ends."""

from __future__ import annotations

import sys

from lorasmith.workers.runtime import end_with_parent


def main() -> None:
    end_with_parent()
    from tensorboard import main as tensorboard

    sys.argv = [
        "tensorboard",
        "--logdir",
        sys.argv[1],
        "--port",
        sys.argv[2],
        "--host",
        "127.0.0.1",
        "--reload_interval",
        "5",
    ]
    tensorboard.run_main()


if __name__ == "__main__":
    main()
