#!/bin/bash
# Runs the named parts (lint, docs, unit, graph, soak, fuzz) in .venv and fails if one of them failed.
set -u
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin
failed=()

part() {
    local name=$1
    shift
    echo "== $name: ${*##*/}"
    "$@" || failed+=("$name")
}

# A graph of its own, so that nothing else on this network or machine is heard.
export ROS_DOMAIN_ID=${STM_TEST_DOMAIN:-$((RANDOM % 24 + 1))}
export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
# Node, browser and test share the cores: threads that wait must sleep, not spin.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}

# Files of tests side by side: most of a test over a graph is waiting. Not more than four: each
# worker starts nodes, and has a quarter of the domains (test/conftest.py).
cores=$(nproc)
beside=(-n "${STM_TEST_WORKERS:-$((cores < 4 ? cores : 4))}" --dist loadfile)

for name in "$@"; do
    case $name in
        lint)
            part ruff "$bin/ruff" check .
            part mypy "$bin/mypy" ;;
        docs) part docs scripts/docs.sh ;;
        unit) part unit "$bin/python" -m pytest test --ignore test/graph -m 'not soak' "${beside[@]}" ;;
        graph)
            part graph "$bin/python" -m pytest test/graph -m 'not soak and not alone' "${beside[@]}"
            part 'graph alone' "$bin/python" -m pytest test/graph -m 'alone and not soak' ;;
        fuzz)
            # shellcheck disable=SC2030 -- for this part alone
            (export STM_FUZZ_EXAMPLES=${STM_FUZZ_EXAMPLES:-10000} OMP_NUM_THREADS=1
             part fuzz "$bin/python" -m pytest test/fuzz -q
             [ ${#failed[@]} -eq 0 ]) || failed+=(fuzz) ;;
        soak) part soak "$bin/python" -m pytest test -m soak -s ;;
        *)
            echo "unknown part '$name'; the parts are lint, docs, unit, graph, soak, fuzz" >&2
            exit 2 ;;
    esac
done

if [ ${#failed[@]} -gt 0 ]; then
    echo "FAILED: ${failed[*]}" >&2
    exit 1
fi
echo "all passed: $*"
