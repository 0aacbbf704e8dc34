#!/bin/bash
# The set-ups of README.md that are part of those in t_setups.sh, by themselves.
set -eu
SETUPS=pd exec bash "$(dirname "$0")/t_setups.sh"
