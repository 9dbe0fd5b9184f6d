"""Bytes and operations that a trace counts."""

from __future__ import annotations

from cogmagic._footprint.curves import Peak


class TestTrace:
    """On tensors of known sizes."""

    def test_storages_count_and_views_do_not(self) -> None:
        import torch
        from torch import nn

        from cogmagic._footprint.trace import traced

        with traced(nn.Identity()) as trace:
            x = torch.empty(256, device="meta")
            y = x.view(16, 16).t()
            y.add_(1)
            assert trace.live == 1024
            z = x + 1
            assert trace.live == 2048
            del x
            assert trace.live == 2048  # y is a view of it
            del y, z
            assert trace.live == 0
            torch.empty(1, device="meta")
        assert trace.peak() == Peak(2048, 2048, 2048)

    def test_sizes_are_rounded_to_blocks_of_512_bytes(self) -> None:
        import torch
        from torch import nn

        from cogmagic._footprint.trace import traced

        with traced(nn.Identity()) as trace:
            tensors = [torch.empty(n, dtype=torch.uint8, device="meta") for n in (1, 512, 513)]
            assert trace.live == 512 * 4
        assert len(tensors) == 3

    def test_weights_of_a_leaf_count_while_it_runs(self) -> None:
        import torch
        from torch import nn

        from cogmagic._footprint.trace import traced

        with torch.device("meta"):
            net = nn.Sequential(nn.Linear(128, 256, bias=False), nn.Linear(256, 128, bias=False))
        with traced(net) as trace:
            net(torch.empty(1, 128, device="meta"))
        weights = 128 * 256 * 4
        everything = 512 + 1024 + 512
        assert trace.peak() == Peak(everything, everything + weights, everything)
        assert trace.operations == 2 * 2 * 128 * 256

    def test_peaks_start_from_what_is_live_at_a_cut(self) -> None:
        import torch
        from torch import nn

        from cogmagic._footprint.trace import traced

        with torch.device("meta"):
            net = nn.Sequential(nn.Embedding(64, 256), nn.Linear(256, 128, bias=False))
        cuts: list[Peak] = []
        net[1].register_forward_pre_hook(lambda *_: cuts.append(trace.cut()))
        with traced(net) as trace:
            net(torch.empty(1, dtype=torch.int64, device="meta"))
        weights = 64 * 256 * 4, 256 * 128 * 4
        assert cuts[0].leaf_peak == 512 + 1024 + weights[0]
        assert trace.peak().leaf_peak == 512 + 1024 + 512 + weights[1]

    def test_memory_freed_before_a_leaf_is_mapped_again(self) -> None:
        import torch
        from torch import nn

        from cogmagic._footprint.trace import traced

        with torch.device("meta"):
            net = nn.Sequential(*(nn.Linear(256, 256, bias=False) for _ in range(4)))
        with traced(net) as trace:
            net(torch.empty(1, 256, device="meta"))
        assert trace.peak().peak == 3 * 1024
        assert trace.peak().mapped == 5 * 1024  # the input, and each layer's output

    def test_strided_input_counts_as_copied_for_a_kernel(self) -> None:
        import torch
        import torch.nn.functional as F  # noqa: N812
        from torch import nn

        from cogmagic._footprint.trace import traced

        with traced(nn.Identity()) as trace:
            x = torch.empty(64, 64, 64, device="meta")
            F.layer_norm(x, (64,))
            plain = trace.peak().peak
            trace.restart()
            F.layer_norm(x.transpose(0, 1), (64,))
        assert trace.peak().peak - plain == x.numel() * 4

    def test_attention_stores_no_scores(self) -> None:
        import torch
        import torch.nn.functional as F  # noqa: N812
        from torch import nn

        from cogmagic._footprint.trace import traced

        query = torch.empty(1, 4, 4096, 64, device="meta", dtype=torch.bfloat16)
        with traced(nn.Identity()) as trace:
            out = F.scaled_dot_product_attention(query, query, query)
        assert out.shape == query.shape
        assert trace.peak().peak == query.numel() * 2 + 4 * 4096 * 4  # the sums of the rows
        assert trace.operations == 4 * 4 * 4096**2 * 64

    def test_next_leaf_arrives_while_one_runs(self) -> None:
        """The weights of two neighbours beside what is alive while the first of them runs."""
        import torch
        from torch import nn

        from cogmagic._footprint.trace import traced

        sides = (256, 512), (512, 256), (256, 4)
        module = nn.Sequential(*(nn.Linear(*s, bias=False) for s in sides)).to("meta")
        with traced(module) as trace:
            module(torch.zeros(1, 256, device="meta"))
        weights, given, hidden, out = 4 * 256 * 512, 4 * 256, 4 * 512, 4 * 256
        assert trace.ahead_peak == 2 * weights + given + hidden
        assert trace.peak().leaf_peak == weights + given + hidden + out
