#!/bin/sh
# Serves this model:  ./start.sh   (all options: ./start.sh --help). Works from any directory, and after the folder was moved.
here=$(dirname -- "$(readlink -f -- "$0")") || exit 1
python="$here/.venv/bin/python"
if [ ! -f "$here/model_info.json" ] || [ ! -f "$here/.install_complete" ]; then
    echo "This model was not properly installed. Please run: lorasmith install <model-id>" >&2
    exit 5
fi
if ! "$python" -c "import lorasmith" 2>/dev/null; then
    echo "lorasmith cannot be reached from this model's environment. Please run: lorasmith list" >&2
    exit 5
fi
exec "$python" "$here/serve_api.py" "$@"
