"""How much memory the activations of a forward pass take at the worst moment.

Every operation passes a dispatch mode that notes the storages of what it gives, and a
storage leaves the account when torch frees it. So views and in-place operations count
once, and a tensor that a module holds longer than it needs counts as long as it is held.
What an operation allocates and frees inside itself (a convolution's workspace) is not
seen.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from metanas.measures._running import device_of, evaluating

if TYPE_CHECKING:
    import torch
    from torch import nn


def activation_bytes(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Most bytes that are held at one moment of a forward pass of one input ``[1, *shape]``.

    The input counts, and every storage that an operation gives; a storage counts in full
    also where only a view of a part of it is left. Parameters and buffers do not count.

    Args:
        module: Runs in evaluation mode and without gradients; left as it was.
        shape: Of one input, without the batch.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    kept = {
        tensor.untyped_storage()._cdata
        for tensor in itertools.chain(module.parameters(), module.buffers())
    }
    held: WeakValueDictionary[int, torch.UntypedStorage] = WeakValueDictionary()
    peak = 0

    class Account(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            nonlocal peak
            outputs = operation(*args, **(kwargs or {}))
            for output in tree_leaves(outputs):
                if isinstance(output, torch.Tensor):
                    storage = output.untyped_storage()
                    if storage._cdata not in kept:
                        held[storage._cdata] = storage
            peak = max(peak, sum(storage.nbytes() for storage in held.values()))
            return outputs

    with evaluating(module), torch.no_grad(), Account():  # type: ignore[no-untyped-call]
        module(torch.zeros(1, *shape, device=device_of(module)))
    return peak
