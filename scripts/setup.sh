#!/bin/sh
# Finds a Python that can serve and lets it set up .venv. PYTHON=... names one.
set -eu
cd "$(dirname "$0")/.."

serves() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

for candidate in ${PYTHON:-python3 python3.12 python3.11 python3.13 python3.10}; do
    if serves "$candidate"; then
        exec "$candidate" scripts/setup_environment.py "$@"
    fi
done
echo "setup failed: no Python 3.10 to 3.13 found (tried ${PYTHON:-python3 and python3.10 to python3.13})." >&2
echo "On Debian and Ubuntu: sudo apt-get install python3 python3-venv python3-dev. Another one: make setup PYTHON=/path/to/python3.11" >&2
exit 1
