#!/bin/sh
# Generates the Python code of the contract: protos.sh TOOLS FOLDER, with the environment that
# `install.sh tools` made. Run it in the folder that has protos/.
set -eu

tools=$1
folder=$2
mkdir -p "$folder"
includes=$("$tools/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$tools/bin/python" -m grpc_tools.protoc -Iprotos -I"$includes" \
    --python_out="$folder" --grpc_python_out="$folder" protos/nocode/vision/v1/*.proto
