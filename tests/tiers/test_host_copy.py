"""Tensors that are put back."""

from __future__ import annotations

from typing import Any

import torch

from cogmagic._tiers.hooks import modules
from cogmagic._tiers.host_copy import HostCopy
from tests.helpers.pipelines import tensors


def test_host_copy_puts_back_what_was_replaced(pipe: Any) -> None:
    before = tensors(pipe)
    host = HostCopy(modules(pipe))
    for component in modules(pipe):
        for sub in component.modules():
            for name, parameter in sub._parameters.items():
                if parameter is not None:
                    parameter.data = parameter.data.clone()
                    sub._parameters[name] = torch.nn.Parameter(parameter.data, requires_grad=False)
    assert tensors(pipe) != before
    host.restore()
    assert tensors(pipe) == before
