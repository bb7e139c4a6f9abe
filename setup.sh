#!/bin/sh
# Sets lorasmith up on this machine: looks whether it can run, makes an environment, installs lorasmith, makes the folders of home.
#
#     ./setup.sh [--control-plane] [--alias] [--help]
#
#   --control-plane   without torch: check, install and plan only (each installed model brings its own torch)
#   --alias           also write the alias 'lorasmith' into the start-up file of your shell
#
# Running it again changes nothing that is in order. PYTHON names another interpreter.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd -P)
venv="$here/.venv"
extras="[train]"
alias_wanted=no

say() { printf '%s\n' "$*"; }
stop() { printf 'Error: %s\n' "$1" >&2; [ -z "${2:-}" ] || printf '%s\n' "$2" >&2; exit 5; }

for option in "$@"; do
    case "$option" in
        --control-plane) extras="" ;;
        --alias) alias_wanted=yes ;;
        -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) printf "Error: Unknown option '%s'\nTry:  ./setup.sh --help\n" "$option" >&2; exit 2 ;;
    esac
done

case "$(uname -s)" in
    Linux | Darwin) ;;
    *) stop "lorasmith runs on Linux and macOS" "On Windows, use WSL: https://learn.microsoft.com/windows/wsl/install" ;;
esac

python=${PYTHON:-}
if [ -z "$python" ]; then
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null 2>&1 && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$candidate
            break
        fi
    done
fi
[ -n "$python" ] || stop "There is no Python 3.11 or newer" "Debian, Ubuntu: sudo apt install python3 python3-venv   macOS: brew install python"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || stop "$("$python" --version) is too old: 3.11 or newer is needed"
say "System   $(uname -s) $(uname -m), $("$python" --version)"

needed_kb=$([ -n "$extras" ] && echo 4000000 || echo 500000)
free_kb=$(df -Pk "$here" | awk 'NR == 2 { print $4 }')
if [ ! -x "$venv/bin/lorasmith" ] && [ "$free_kb" -lt "$needed_kb" ]; then
    stop "$((free_kb / 1000)) MB of disk are free where this lies, and $((needed_kb / 1000)) MB are needed" "Free some, or take ./setup.sh --control-plane."
fi
say "Disk     $((free_kb / 1000000)) GB free"
if command -v nvidia-smi >/dev/null 2>&1 && gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1) && [ -n "$gpu" ]; then
    say "GPU      $gpu"
elif command -v rocminfo >/dev/null 2>&1; then
    say "GPU      AMD (ROCm)"
else
    say "GPU      none: training and answering run on the CPU"
fi

if [ ! -x "$venv/bin/python" ]; then
    "$python" -m venv "$venv" || stop "The environment '$venv' cannot be made" "Debian, Ubuntu: sudo apt install python3-venv"
fi
fingerprint=$(cat "$here/pyproject.toml" "$here/src/lorasmith/env/constraints.txt" | cksum)" $extras"
if [ "$(cat "$venv/.setup" 2>/dev/null || true)" != "$fingerprint" ]; then
    say "Installs lorasmith and what it needs; with torch this takes some minutes …"
    constraints="$here/src/lorasmith/env/constraints.txt"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c "$constraints" uv packaging
    [ -z "$extras" ] || "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c "$constraints" torch
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c "$constraints" --editable "$here$extras"
    printf '%s' "$fingerprint" > "$venv/.setup"
fi
say "Program  $venv/bin/lorasmith, $("$venv/bin/lorasmith" --version)"

"$venv/bin/lorasmith" config init

if [ "$alias_wanted" = yes ]; then
    case "${SHELL:-}" in */zsh) startup="$HOME/.zshrc" ;; *) startup="$HOME/.bashrc" ;; esac
    line="alias lorasmith='$venv/bin/lorasmith'"
    grep -qxF "$line" "$startup" 2>/dev/null || printf '%s\n' "$line" >> "$startup"
    say "Alias    in $startup; it counts in new terminals"
    command=lorasmith
else
    command="$venv/bin/lorasmith"
fi
say ""
say "Next:  $command doctor                   is everything in order?"
say "       $command demo                     see it work, in two minutes"
say "       $command install owner/name       your first model"
