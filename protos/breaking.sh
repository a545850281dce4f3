#!/bin/sh
# Compare the contract with that of the last commit; nothing to compare before the first.
set -eu
: "${BUF:?}" "${PY:?}"
old=$(mktemp -d)
trap 'rm -rf "$old"' EXIT
git archive HEAD protos 2>/dev/null | tar -x -C "$old" 2>/dev/null || true
[ -d "$old/protos/nocode" ] || { echo "buf breaking: no earlier contract to compare with"; exit 0; }
include=$("$PY" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$PY" -m grpc_tools.protoc -I"$old/protos" -I"$include" --include_imports \
  --descriptor_set_out="$old/image.binpb" "$old"/protos/nocode/vision/v1/*.proto
"$BUF" breaking build/image.binpb --against "$old/image.binpb" --config protos/buf.yaml
