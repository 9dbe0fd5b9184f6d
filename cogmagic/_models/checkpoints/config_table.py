"""Every key of a checkpoint's configurations that a class reads: default and allowed values.

The classes are diffusers' ``CogVideoXTransformer3DModel``, ``AutoencoderKLCogVideoX`` and
``CogVideoX*Scheduler``, and transformers' ``T5Config`` and ``T5Tokenizer``. Ranges are wide enough
for any model that might be trained, and narrow enough that building one allocates little.
"""

from __future__ import annotations

from cogmagic._models.checkpoints.config_values import (
    Choice,
    Flag,
    Listed,
    Mapped,
    Real,
    Value,
    Whole,
)

__all__ = ["CONFIG_VALUES", "TOKENIZER_VALUES"]


_ACTIVATIONS = ("silu", "swish", "mish", "gelu", "relu")
"""Those of ``diffusers.models.activations.get_activation``."""


_FEED_FORWARDS = ("gelu", "gelu-approximate", "geglu", "geglu-approximate", "swiglu", "linear-silu")
"""Those of ``diffusers.models.attention.FeedForward``."""


_T5_ACTIVATIONS = ("relu", "gelu", "gelu_new", "silu")


_DTYPES = ("float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2")
"""The dtypes of stored weights, which are loaded in the precision of the request."""


_TRANSFORMER: dict[str, Value] = {
    "num_attention_heads": Whole(30, "30 or 48", least=1, most=256),
    "attention_head_dim": Whole(64, least=16, most=256),
    "in_channels": Whole(
        16, "16 (text-to-video), 32 (image-to-video), 33 or 48 (inpainting)", least=1, most=512
    ),
    "out_channels": Whole(16, least=1, most=256),
    "flip_sin_to_cos": Flag(True, "true"),
    "freq_shift": Choice(0, choices=(0, 1)),
    "time_embed_dim": Whole(512, least=8, most=16_384),
    "ofs_embed_dim": Whole(None, "null or 512", optional=True, least=8, most=16_384),
    "text_embed_dim": Whole(4096, least=8, most=16_384),
    "num_layers": Whole(30, "30 or 42", least=1, most=256),
    "dropout": Real(0.0),
    "attention_bias": Flag(True, "true"),
    "sample_width": Whole(90, "90 or 170", least=2, most=1024),
    "sample_height": Whole(60, "60 or 96", least=2, most=1024),
    "sample_frames": Whole(49, "49 or 81", least=1, most=1024),
    "patch_size": Whole(2, least=2, most=2),
    "patch_size_t": Whole(None, "null or 2", optional=True, least=2, most=2),
    "temporal_compression_ratio": Whole(4, least=4, most=4),
    "max_text_seq_length": Whole(226, least=1, most=4096),
    "activation_fn": Choice("gelu-approximate", choices=_FEED_FORWARDS),
    "timestep_activation_fn": Choice("silu", choices=_ACTIVATIONS),
    "norm_elementwise_affine": Flag(True, "true"),
    "norm_eps": Real(1e-5, least=1e-12, most=0.01),
    "spatial_interpolation_scale": Real(1.875, least=0.01, most=100.0),
    "temporal_interpolation_scale": Real(1.0, least=0.01, most=100.0),
    "use_rotary_positional_embeddings": Flag(False, "true (2b: false)"),
    "use_learned_positional_embeddings": Flag(False, "false (5b-i2v: true)"),
    "patch_bias": Flag(True, "true or false"),
}


_VAE: dict[str, Value] = {
    "in_channels": Whole(3, least=3, most=3),
    "out_channels": Whole(3, least=3, most=3),
    "down_block_types": Listed(
        ("CogVideoXDownBlock3D",) * 4,
        "CogVideoXDownBlock3D four times",
        of=Choice(None, choices=("CogVideoXDownBlock3D",)),
        length=4,
    ),
    "up_block_types": Listed(
        ("CogVideoXUpBlock3D",) * 4,
        "CogVideoXUpBlock3D four times",
        of=Choice(None, choices=("CogVideoXUpBlock3D",)),
        length=4,
    ),
    "block_out_channels": Listed(
        (128, 256, 256, 512), "[128, 256, 256, 512]", of=Whole(None, least=1, most=1024), length=4
    ),
    "latent_channels": Whole(16, least=1, most=256),
    "layers_per_block": Whole(3, least=1, most=8),
    "act_fn": Choice("silu", choices=_ACTIVATIONS),
    "norm_eps": Real(1e-6, least=1e-12, most=0.01),
    "norm_num_groups": Whole(32, least=1, most=512),
    "temporal_compression_ratio": Whole(4, least=4, most=4),
    "sample_height": Whole(480, least=96, most=8192),
    "sample_width": Whole(720, least=96, most=8192),
    "scaling_factor": Real(1.15258426, "0.7 (2b: 1.15258426)", least=0.001, most=1000.0),
    "shift_factor": Choice(None, choices=(None,)),  # the pipeline would ignore these three
    "latents_mean": Choice(None, choices=(None,)),
    "latents_std": Choice(None, choices=(None,)),
    "force_upcast": Flag(True, "true"),
    "use_quant_conv": Choice(False, "false", choices=(False,)),  # these two do not fit the latents
    "use_post_quant_conv": Choice(False, "false", choices=(False,)),
    "invert_scale_latents": Flag(False, "false (1.5: true)"),
}


_WIDTH = Whole(512, "4,096", least=8, most=16_384)


_TEXT_ENCODER: dict[str, Value] = {
    "vocab_size": Whole(32_128, least=1, most=2**20),
    "d_model": _WIDTH,
    "hidden_size": _WIDTH,  # an alias of the key before, as are head_dim and two more below
    "d_kv": Whole(64, least=1, most=1024),
    "head_dim": Whole(64, least=1, most=1024),
    "d_ff": Whole(2048, "10,240", least=1, most=2**17),
    "num_layers": Whole(6, "24", least=1, most=256),
    "num_hidden_layers": Whole(6, "24", least=1, most=256),
    "num_decoder_layers": Whole(None, "24", optional=True, least=0, most=256),
    "num_heads": Whole(8, "64", least=1, most=256),
    "num_attention_heads": Whole(8, "64", least=1, most=256),
    "relative_attention_num_buckets": Whole(32, least=4, most=4096),
    "relative_attention_max_distance": Whole(128, least=4, most=2**20),
    "dropout_rate": Real(0.1),
    "classifier_dropout": Real(0.0),
    "layer_norm_epsilon": Real(1e-6, least=1e-12, most=0.01, point=True),
    "initializer_factor": Real(1.0, least=0.0, most=1000.0, point=True),
    "feed_forward_proj": Choice(
        "relu",
        "gated-gelu",
        choices=(*_T5_ACTIVATIONS, *(f"gated-{name}" for name in _T5_ACTIVATIONS)),
    ),
    "dense_act_fn": Choice(None, "gelu_new", choices=_T5_ACTIVATIONS),
    "is_gated_act": Flag(None, "true", optional=True),
    "is_encoder_decoder": Flag(True, "true"),
    "is_decoder": Choice(False, "false", choices=(False,)),
    "use_cache": Flag(True, "true"),
    "tie_word_embeddings": Flag(True, "false", optional=True),
    "pad_token_id": Whole(0, optional=True, least=0, most=2**20),
    "eos_token_id": Whole(1, optional=True, least=0, most=2**20),
    "id2label": Mapped(None, "none", optional=True),
    "label2id": Mapped(None, "none", optional=True),
    # The class builds a dictionary with this many labels.
    "num_labels": Whole(2, "none", least=0, most=1000),
    "chunk_size_feed_forward": Whole(0, least=0, most=2**20),
    "output_hidden_states": Choice(False, "false", choices=(False,)),
    "output_attentions": Choice(False, "false", choices=(False,)),
    "dtype": Choice(None, "bfloat16", optional=True, choices=_DTYPES),
    "torch_dtype": Choice(None, "bfloat16", optional=True, choices=_DTYPES),
    "attn_implementation": Choice(None, optional=True, choices=("eager", "sdpa")),
    "_attn_implementation": Choice(None, optional=True, choices=("eager", "sdpa")),
    "rope_scaling": Choice(None, choices=(None,)),
    "rope_parameters": Choice(None, choices=(None,)),
}


_SCHEDULER: dict[str, Value] = {
    # At least as many as the steps that a request may ask for.
    "num_train_timesteps": Whole(1000, least=1000, most=10_000),
    "beta_start": Real(0.00085, least=1e-6, most=0.5),
    "beta_end": Real(0.012, least=1e-6, most=0.999),
    "beta_schedule": Choice(
        "scaled_linear", choices=("scaled_linear", "linear", "squaredcos_cap_v2")
    ),
    "trained_betas": Listed(None, optional=True, of=Real(None, least=1e-6, most=0.999)),
    "clip_sample": Flag(True, "false"),
    "set_alpha_to_one": Flag(True, "true"),
    "steps_offset": Whole(0, least=0, most=1),
    "prediction_type": Choice(
        "epsilon", "v_prediction", choices=("v_prediction", "epsilon", "sample")
    ),
    "clip_sample_range": Real(1.0, least=1e-3, most=1000.0),
    "sample_max_value": Real(1.0, least=1e-3, most=1000.0),
    "timestep_spacing": Choice("leading", "trailing", choices=("trailing", "leading", "linspace")),
    "rescale_betas_zero_snr": Flag(False, "true"),
    "snr_shift_scale": Real(3.0, "1.0 (2b: 3.0)", least=0.01, most=100.0),
}


CONFIG_VALUES: dict[str, dict[str, Value]] = {
    "transformer": _TRANSFORMER,
    "vae": _VAE,
    "text_encoder": _TEXT_ENCODER,
    "scheduler": _SCHEDULER,
}
"""The keys by component."""


_SIDES = ("right", "left")


TOKENIZER_VALUES: dict[str, Value] = {
    "extra_ids": Whole(100, least=0, most=10_000),
    # Tokenizers without a limit are saved with 1e30.
    "model_max_length": Real(226, optional=True, least=1, most=1e31),
    "padding_side": Choice("right", choices=_SIDES),
    "truncation_side": Choice("right", choices=_SIDES),
    "added_tokens_decoder": Mapped(None, "an object of tokens by id", optional=True),
    "sp_model_kwargs": Mapped(None, "{}", optional=True),
    "legacy": Flag(None, "true", optional=True),
    "clean_up_tokenization_spaces": Flag(None, "true", optional=True),
}
"""The keys of ``tokenizer/tokenizer_config.json``."""
