# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A device in disguise: what runs on it is computed here, and refused where CUDA refuses.

Fake tensors know shapes and devices, but hold nothing, so that a tracker that looks at its masks
cannot run on them. These hold what they say, claim to lie on another device, and count its memory:
mixing them with tensors of the processor is an error, so is taking their numbers without copying
them, and an allocation beyond the capacity raises torch.OutOfMemoryError.

It takes the place that torch leaves for other people's devices, since a build without CUDA does
not believe in `cuda`.
"""
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils._pytree import tree_map

backend_registration._setup_privateuseone_for_python_backend('disguise')
DEVICE = torch.device('disguise', 0)
#: which take tensors of the processor beside their own, as on a real device
_INDEXING = {'index', 'index_put', 'index_put_', '_index_put_impl_'}
_COPIES = {'copy_', '_to_copy', 'to'}


class Disguised(Tensor):
    """A tensor that claims to lie on DEVICE; `inner` lies on the processor."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> 'Disguised':
        """Wrap what was computed."""
        # a view of a tensor made outside of inference mode is none of inference mode either
        with torch.inference_mode(False):
            made = torch.Tensor._make_wrapper_subclass(
                cls, inner.size(), strides=inner.stride(),
                storage_offset=inner.storage_offset(), dtype=inner.dtype, layout=inner.layout,
                device=DEVICE, requires_grad=inner.requires_grad)
        made.inner = inner
        return made

    def __repr__(self) -> str:
        """Say so."""
        return f'Disguised({self.inner})'

    def numpy(self, *arguments: Any, **options: Any) -> Any:
        """Refused, as CUDA does."""
        raise TypeError('the numbers of a device are not to be had; copy them to the processor '
                        'first')

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Outside of the mode there is no such device."""
        mode = Disguise.active
        if mode is None:
            raise RuntimeError('a disguised tensor is used outside of its device')
        return mode.compute(func, args, kwargs or {})


class Disguise(TorchDispatchMode):
    """The device: `capacity` bytes, `used` of them; `operations` that it ran."""

    active: 'Disguise | None' = None

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.used = self.peak = self.operations = 0
        self._holders: dict[int, list[int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute what the device would."""
        return self.compute(func, args, kwargs or {})

    def compute(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Run one operation on what is inside, and disguise what comes out."""
        flat = tree_flatten((args, kwargs))[0]
        disguised = [x for x in flat if isinstance(x, Disguised)]
        targets = [x for x in flat if isinstance(x, torch.device)]
        stays = targets[0].type == DEVICE.type if targets else bool(disguised)
        if not disguised and not stays:
            return func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if name not in _COPIES:
            self._refuse_mixtures(func, flat)
        plain_args, plain_kwargs = tree_map(_plain, (args, kwargs))
        self.operations += 1
        found = func(*plain_args, **plain_kwargs)
        if name == 'copy_':
            return args[0]
        if stays != bool(disguised):
            # what moves is another tensor, which nothing that happens to the first one changes
            found = found.clone()
        same = {id(x.inner): x for x in disguised}

        def wrap(x: Any) -> Any:
            if not isinstance(x, Tensor) or not stays:
                return x
            return same.get(id(x)) if id(x) in same else self._hold(x)
        return tree_map(wrap, found)

    def _refuse_mixtures(self, func: Any, flat: list[Any]) -> None:
        for x in flat:
            if isinstance(x, Tensor) and not isinstance(x, Disguised) and x.dim() > 0 \
                    and func.overloadpacket.__name__ not in _INDEXING:
                raise RuntimeError(f'{func}: expected all tensors on one device, found DEVICE '
                                   f'and a tensor of shape {tuple(x.shape)} on {x.device}')

    def _hold(self, inner: Tensor) -> Disguised:
        storage = inner.untyped_storage()
        key = storage._cdata
        if key not in self._holders:
            if self.used + storage.nbytes() > self.capacity:
                raise torch.OutOfMemoryError(
                    f'tried to allocate {storage.nbytes()} bytes; {self.used} of '
                    f'{self.capacity} are in use')
            self._holders[key] = [0, storage.nbytes()]
            self.used += storage.nbytes()
            self.peak = max(self.peak, self.used)
        self._holders[key][0] += 1
        made = Disguised(inner)
        weakref.finalize(made, self._release, key)
        return made

    def _release(self, key: int) -> None:
        holders = self._holders[key]
        holders[0] -= 1
        if not holders[0]:
            self.used -= holders[1]
            del self._holders[key]

    def __enter__(self) -> 'Disguise':
        """Be there."""
        # torch.tensor() then makes its tensor here and moves it, which the mode sees
        torch._C._set_only_lift_cpu_tensors(True)
        # a parameter's data would be exchanged under the disguise, which keeps the old
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        super().__enter__()
        Disguise.active = self
        return self

    def __exit__(self, *error: Any) -> None:
        """Be gone."""
        Disguise.active = None
        super().__exit__(*error)
        torch._C._set_only_lift_cpu_tensors(False)
        torch.__future__.set_overwrite_module_params_on_conversion(False)


def _plain(x: Any) -> Any:
    if isinstance(x, torch.device):
        return torch.device('cpu')
    return x.inner if isinstance(x, Disguised) else x


@contextmanager
def disguised_device(capacity: int = 1 << 40) -> Iterator[Disguise]:
    """A device DEVICE of so many bytes for as long as the context lasts."""
    with Disguise(capacity) as device:
        yield device
