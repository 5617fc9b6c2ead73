#!/bin/bash
# `colcon build` of this package into install/: against a sourced ROS 2, else against .venv.
set -eu
cd "$(dirname "$0")/.."
venv=$PWD/.venv

if [ -z "${AMENT_PREFIX_PATH:-}" ]; then
    export AMENT_PREFIX_PATH=$venv CMAKE_PREFIX_PATH=$venv
fi
export PATH=$venv/bin:$PATH
command -v colcon >/dev/null || python -m pip install --no-input -r requirements/colcon.txt
# CMake refuses to export include folders that lie below the source folder, and .venv does;
# a workspace that sees the source through a link has it elsewhere.
mkdir -p build/workspace
ln -sfn "$PWD" build/workspace/stm_ros
colcon build --base-paths build/workspace --packages-select stm_ros \
    --cmake-args -G Ninja "-DPython3_EXECUTABLE=$(command -v python3)"
echo 'built: source install/setup.bash'
