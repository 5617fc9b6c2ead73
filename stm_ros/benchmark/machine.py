# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which machine measured, and how much memory it took."""
import os
import platform
from pathlib import Path

import torch

_PROCESS = Path('/proc/self')


def describe_machine(device: str) -> dict[str, str | int]:
    """Name processor, cores (those this process may use), instructions, torch, threads, device."""
    target = torch.device(device)
    described: dict[str, str | int] = {
        'cpu': _processor(), 'cores': len(os.sched_getaffinity(0)),
        'all_cores': os.cpu_count() or 0,
        'instructions': torch.backends.cpu.get_cpu_capability() + _extras(),
        'torch': torch.__version__, 'threads': torch.get_num_threads(), 'device': device,
        'system': platform.platform(), 'python': platform.python_version()}
    if target.type == 'cuda':
        described['gpu'] = torch.cuda.get_device_name(target)
        properties = torch.cuda.get_device_properties(target)
        described['gpu_megabytes'] = properties.total_memory // 10**6
        described['gpu_capability'] = f'{properties.major}.{properties.minor}'
        described['cuda'] = str(torch.version.cuda)
    return described


def _processor() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or platform.machine()


def _extras() -> str:
    capability = torch.cpu.get_capabilities() if hasattr(torch.cpu, 'get_capabilities') else {}
    names = [name for name in ('avx512_bf16', 'amx_bf16') if capability.get(name)]
    return ''.join(f' + {name}' for name in names)


def forget_peak(device: str) -> None:
    """Let peak_bytes() start anew, as far as the system allows it."""
    if torch.device(device).type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
    try:
        # 5 resets the peak resident size, see proc(5)
        (_PROCESS / 'clear_refs').write_text('5')
    except OSError:
        return


def peak_bytes() -> int:
    """The largest resident memory of this process since forget_peak()."""
    return _status_bytes('VmHWM')


def resident_bytes() -> int:
    """The resident memory of this process now."""
    return _status_bytes('VmRSS')


def _status_bytes(name: str) -> int:
    text = (_PROCESS / 'status').read_text()
    line = next(line for line in text.splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])


def device_peak_bytes(device: str) -> int | None:
    """The most memory allocated on a CUDA device since forget_peak(); None on others."""
    if torch.device(device).type != 'cuda':
        return None
    return torch.cuda.max_memory_allocated(device)
