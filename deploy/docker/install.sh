#!/bin/sh
# Installs packages into a new virtual environment, exactly as requirements.lock has them, hashes
# checked, and nothing else. Run it in the folder that has pyproject.toml.
#
#   install.sh tools FOLDER                   what builds: uv, and the compiler of the protos
#   install.sh extras FOLDER TOOLS EXTRA...   what these extras of pyproject.toml need; TOOLS is the
#                                             folder that the first form made
set -eu

what=$1
folder=$2

case "$what" in
tools)
    python3 -m venv "$folder"
    # uv is not there yet, so that pip installs them, with what they need.
    for package in uv grpcio-tools grpcio protobuf setuptools typing-extensions googleapis-common-protos; do
        sed -n "/^$package==/,/^    # via/p" requirements.lock
    done > "$folder/tools.txt"
    "$folder/bin/python" -m pip --disable-pip-version-check install --quiet --no-cache-dir --no-deps \
        --require-hashes --requirement "$folder/tools.txt"
    "$folder/bin/python" -m pip --disable-pip-version-check check
    ;;
extras)
    tools=$3
    shift 3
    python3 -m venv --without-pip "$folder"
    for extra in "$@"; do
        set -- "$@" --extra "$extra"
        shift
    done
    VIRTUAL_ENV="$folder" "$tools/bin/uv" pip install --quiet --no-cache --compile-bytecode \
        --require-hashes --constraint requirements.lock --requirement pyproject.toml "$@"
    ;;
*)
    echo "install.sh: the first argument is '$what'. It must be tools or extras." >&2
    exit 2
    ;;
esac
