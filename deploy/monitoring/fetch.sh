#!/usr/bin/env bash
# Puts prometheus and promtool into a folder: those of this machine, or of Debian's package, which is
# unpacked there and not installed.
set -euo pipefail
folder=$1
if command -v prometheus promtool > /dev/null; then
  ln -sf "$(command -v prometheus)" "$(command -v promtool)" "$folder"
  exit
fi
if ! command -v apt-get dpkg > /dev/null; then
  echo "Prometheus is not here, and this is no Debian or Ubuntu. Install prometheus and promtool, so" \
    "that they are on the PATH, from https://prometheus.io/download." >&2
  exit 1
fi
unpacked=$(mktemp --directory)
trap 'rm -rf "$unpacked"' EXIT
(cd "$unpacked" && apt-get download prometheus > /dev/null && dpkg --extract ./*.deb .)
mv "$unpacked/usr/bin/promtool" "$folder"
mv "$unpacked/usr/bin/prometheus" "$folder"
