#!/bin/bash
# The fourth set-up of README.md, apart from the others since firewall-cmd is slow in an emulated machine.
set -eu
SETUPS=firewalld exec bash "$(dirname "$0")/t_setups.sh"
