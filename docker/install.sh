#!/bin/sh
# Installs rhas and the packages of constraints.txt into a virtual environment of its own: sh docker/install.sh PREFIX
# What the images do, and what does without one: nothing but Python >= 3.11 with venv is needed.
set -eu

prefix=${1:?"usage: sh docker/install.sh PREFIX"}
root=$(dirname "$0")/..
"${PYTHON:-python3}" -m venv "$prefix"
"$prefix/bin/pip" install --quiet --no-cache-dir --constraint "$root/constraints.txt" "$root"
"$prefix/bin/rhas" --help >/dev/null
