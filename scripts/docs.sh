#!/bin/sh
# Builds the documentation into build/site; a dead link fails. Needs Python 3.10+ and venv alone.
set -eu
cd "$(dirname "$0")/.."
environment=build/docs-environment
wanted=$(cksum < requirements/docs.txt)

if [ "$(cat "$environment/made-from" 2>/dev/null)" != "$wanted" ]; then
    "${PYTHON:-python3}" -m venv --clear "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check -r requirements/docs.txt
    echo "$wanted" > "$environment/made-from"
fi
# the theme prints an advertisement otherwise
NO_MKDOCS_2_WARNING=1 "$environment/bin/mkdocs" build --strict --site-dir build/site
echo "written: build/site/index.html"
