#!/bin/sh
# Fine-tunes this model:  ./train.sh --data FILE   (all options: ./train.sh --help). Works from any directory, and after the folder
# was moved. TensorBoard shows the curves meanwhile; --no-tensorboard does without.
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
exec "$python" -m lorasmith train "$here" --tensorboard-port 6006 "$@"
