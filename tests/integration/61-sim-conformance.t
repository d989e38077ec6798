#!/bin/sh
# What the reference simulator wrote, as far as this repository has what it needs; make sim-conformance compares all.
cd "$(dirname "$0")/../.." || exit 1
exec scripts/sim-conformance --own
