#!/bin/sh
# Compare the contract with the one before its last change: that of the last commit if files here
# differ from it, else that of the commit before the one that changed them last.
set -eu
: "${BUF:?}" "${PY:?}"
if [ "$(git rev-parse --is-inside-work-tree 2>/dev/null)" != true ]; then
  echo "buf breaking: this is no git repository, so there is no earlier contract"
  exit 0
fi
base=HEAD
if [ -z "$(git status --porcelain -- protos/nocode)" ]; then
  base=$(git log -1 --format=%H -- protos/nocode)^
fi
if ! git rev-parse --quiet --verify "$base" >/dev/null; then
  echo "buf breaking: there is no commit $base, so there is no earlier contract"
  exit 0
fi
old=$(mktemp -d)
trap 'rm -rf "$old"' EXIT
git archive --output="$old/protos.tar" "$base" protos
tar -x -C "$old" -f "$old/protos.tar"
include=$("$PY" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$PY" -m grpc_tools.protoc -I"$old/protos" -I"$include" --include_imports \
  --descriptor_set_out="$old/image.binpb" "$old"/protos/nocode/vision/v1/*.proto
"$BUF" breaking build/image.binpb --against "$old/image.binpb" --config protos/buf.yaml
echo "buf breaking: compared with $(git rev-parse --short "$base")"
