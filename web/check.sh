#!/bin/sh
# The committed pages must be what their sources build to, byte for byte.
set -eu
cd "$(dirname "$0")"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for page in model:serve_ui.html studio:studio_ui.html; do
  file=${page#*:}
  npx vite build --mode "${page%%:*}" --outDir "$folder" --logLevel warn
  if ! cmp "$folder/$file" "../src/lorasmith/web/$file"; then
    echo "$file is not what web/ builds to: run 'npm run build' in web/ and commit the page" >&2
    exit 1
  fi
  size=$(gzip -9 -c "$folder/$file" | wc -c)
  echo "$file: up to date, $size bytes by gzip"
  test "$size" -lt 300000 || { echo "$file has $size bytes by gzip: the first view must stay under 300,000" >&2; exit 1; }
done
