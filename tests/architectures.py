"""A tiny random causal LM of every architecture that the installed transformers offers, built offline.

    model = tiny("gemma2")              # float32, evaluation mode, eager attention, 96 tokens, the same at every call

Sizes are shrunk by the names of the configuration's fields; the layers kept are the first of each kind, so that a
window, a recurrence, a mixture of experts or a layer without rotary positions occurs where the architecture has one.
Windows and chunks are 8 tokens, scales and caps far from one, and every weight and bias is random, so that whoever
leaves one out gets visibly different probabilities.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

VOCABULARY = 96
WINDOW = 8
STD = 0.15

NOT_BUILT = {
    "gemma3n": "its image tower needs timm; its language model is gemma3n_text",
    "gemma4_assistant": "a draft head: reads the hidden states and cache of another model",
    "gemma4_unified_assistant": "a draft head: reads the hidden states and cache of another model",
    "musicgen": "AutoModelForCausalLM cannot make it from its configuration; predicts audio codes, not tokens",
    "musicgen_melody": "AutoModelForCausalLM cannot make it from its configuration; predicts audio codes, not tokens",
}

# Built, but they break what is expected of a causal LM.
NOT_REPEATABLE = {"reformer": "hashes its tokens with new random rotations at every pass"}
NOT_CAUSAL = {
    "cpmant": "every position sees the whole prompt",
    "reformer": "a later token changes how all of them are hashed",
}

# Grows with transformers: a new architecture that cannot be built fails test_architectures.
ARCHITECTURES = tuple(sorted(set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) - set(NOT_BUILT)))


def _same(value: Any, names: str) -> dict[str, Any]:
    return dict.fromkeys(names.split(), value)


# By the name of a field, whatever its default.
_TRAITS: dict[str, Any] = (
    _same(
        VOCABULARY, "vocab_size vocab_size_per_layer_input decoder_vocab_size pronunciation_vocab_size shape_vocab_size"
    )
    | _same(
        32,
        "hidden_size d_model n_embd emb_dim embedding_size embedding_dim input_embedding_size output_embedding_size"
        " word_embed_proj_dim lru_width attention_hidden_size moe_intermediate_size expert_ffn_hidden_size"
        " shared_expert_intermediate_size shared_experts_intermediate_size moe_shared_expert_intermediate_size"
        " router_hidden_size ple_embed_dim pronunciation_embed_dim shape_embed_dim prompt_mid_dim"
        " adapter_in_dim adapter_out_dim adapter_input_size hidden_size_global",
    )
    | _same(
        64,
        "intermediate_size dense_intermediate_size intermediate_size_mlp ffn_dim encoder_ffn_dim decoder_ffn_dim"
        " ffn_hidden_size feed_forward_size dim_ff dff d_inner shared_intermediate_size mamba_d_ssm dim_model_base",
    )
    | _same(
        2,
        "num_hidden_layers n_layer n_layers num_layers num_blocks encoder_layers decoder_layers num_encoder_layers"
        " num_decoder_layers depth",
    )
    | _same(
        4,
        "num_attention_heads n_head n_heads num_heads attention_heads encoder_attention_heads decoder_attention_heads"
        " num_encoder_attention_heads num_decoder_attention_heads swa_num_attention_heads linear_num_heads"
        " linear_num_value_heads mamba_n_heads mamba_num_heads",
    )
    | _same(
        2,
        "num_key_value_heads num_kv_heads swa_num_key_value_heads linear_num_key_heads n_mamba_heads num_query_groups",
    )
    | _same(
        8,
        "head_dim attention_head_dim attention_head_size dim_head d_head kv_channels swa_head_dim linear_head_dim"
        " linear_key_head_dim linear_value_head_dim qk_nope_head_dim qk_rope_head_dim v_head_dim index_head_dim"
        " query_pre_attn_scalar mamba_head_dim state_size ssm_state_size mamba_d_state mamba_dt_rank time_step_rank",
    )
    | _same(16, "q_lora_rank kv_lora_rank o_lora_rank qk_head_dim laurel_rank adapter_rank hc_lowrank mamba_d_head")
    # Fewer index heads leave many keys with a score of exactly zero, and which of those are attended to is chance.
    | _same(16, "index_n_heads")
    | _same(4, "index_block_size")
    | _same(2, "index_topk_blocks")
    | _same(4, "rotary_dim hidden_size_per_layer_input")
    | _same(4, "num_experts num_local_experts n_routed_experts moe_num_experts zero_expert_num")
    | _same(2, "num_experts_per_tok num_experts_per_token moe_topk moe_k layer_group_size")
    | _same(1, "n_group num_expert_group topk_group n_groups mamba_n_groups o_groups n_shared_experts")
    | _same(1, "first_k_dense_replace num_dense_layers moe_layer_start_index")
    | _same(
        WINDOW,
        "sliding_window sliding_window_size attention_window_size window_size attention_chunk_size local_attention"
        " local_attention_window_len chunk_size mamba_chunk_size index_topk keep_window_size floor_scale",
    )
    | _same(
        256,
        "max_position_embeddings n_positions n_ctx max_seq_len max_target_positions max_source_positions"
        " context_length model_max_length",
    )
    | _same(
        5,
        "image_token_id image_token_index audio_token_id video_token_id boi_token_id boi_token_index eoi_token_id"
        " eoi_token_index boa_token_id eoa_token_id eoa_token_index vision_start_token_id vision_end_token_id",
    )
    | _same(2.0, "final_logit_softcapping attn_logit_softcapping logits_soft_cap output_logit_soft_cap")
    | _same(2.0, "logit_scale lm_head_multiplier logits_mup_width_multiplier embedding_multiplier")
    | _same(0.5, "logits_scaling residual_multiplier")
    | _same(True, "lm_head_bias is_decoder causal use_sliding_window")
    | {"max_window_layers": 1, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
)

_ROTARY = {"rope_type": "default", "rope_theta": 10_000.0}

# What a name alone cannot know: sizes that must agree, and layers that the defaults leave out.
_EXCEPTIONS: dict[str, dict[str, Any]] = {
    # Its own configuration names no number of layers, which the cache asks for (transformers 5.23).
    "blt": {"use_cache": False, "encoder_hash_byte_group_vocab": 64},
    "bamba": {"attn_layer_indices": [1]},
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "full_attention"],
        "rope_parameters": {"sliding_attention": _ROTARY | {"mrope_section": [2, 1, 1]}, "full_attention": None},
    },
    "dbrx": {"attn_config": {"kv_n_heads": 2, "rope_theta": 10_000.0, "clip_qkv": 2.0}},
    "deepseek_v4": {
        "layer_types": ["heavily_compressed_attention", "compressed_sparse_attention", "sliding_attention"],
        "mlp_layer_types": ["hash_moe", "moe", "moe"],
        "num_hidden_layers": 3,
        "compress_rates": {"compressed_sparse_attention": 4, "heavily_compressed_attention": 8},
    },
    "dots3_note_text": {
        "swa_num_attention_heads": 4,
        "swa_num_key_value_heads": 4,
        "swa_q_lora_rank": 16,
        "swa_kv_lora_rank": 16,
        "swa_head_dim": 16,
        "swa_qk_nope_head_dim": 8,
        "swa_v_head_dim": 8,
    },
    "gemma3n_text": {
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "activation_sparsity_pattern": [0.5, 0.0, 0.0, 0.0],
        "num_hidden_layers": 4,
        "num_kv_shared_layers": 2,
    },
    "gemma4_text": {"global_head_dim": 16},
    "gemma4_unified_text": {"global_head_dim": 16},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"]},
    "inkling_text": {"vocab_size": VOCABULARY + 16, "unpadded_vocab_size": VOCABULARY},
    "inkling2_text": {"vocab_size": VOCABULARY + 16, "unpadded_vocab_size": VOCABULARY},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "laguna": {"layer_types": ["sliding_attention", "full_attention"], "num_attention_heads_per_layer": [4, 8]},
    "lfm2": {"layer_types": ["conv", "full_attention"], "block_multiple_of": 16},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "llama4_text": {"interleave_moe_layer_step": 2},
    "mamba2": {"head_dim": 16},
    "mellum": {"layer_types": ["sliding_attention", "full_attention"]},
    "ministral": {"layer_types": ["sliding_attention", "full_attention"]},
    "qwen4_exp_text": {
        "indexer_n_heads": 16,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 8,
        "indexer_budget": WINDOW,
        "indexer_compress_ratio": 2,
        "ple_layer_ids": [1],
        "heads_per_ngram": 2,
        "ngram_vocab_size_base": 64,
        "make_ngram_vocab_size_divisible_by": 8,
        "split_ngram_parts": 1,
    },
    "recurrent_gemma": {"num_hidden_layers": 3},
    "reformer": {"axial_pos_shape": (16, 16), "axial_pos_embds_dim": (8, 24), "lsh_attn_chunk_length": 8}
    | {"local_attn_chunk_length": 8},
    "xlstm": {"hidden_size": 64, "embedding_dim": 64, "qk_dim_factor": 1.0},
    "xlnet": {"attn_type": "uni"},
    "xmod": {"default_language": "en_XX"},
    "zamba": {
        "layers_block_type": ["linear_attention", "hybrid"] * 2,
        "num_hidden_layers": 4,
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
    },
    "zamba2": {"layers_block_type": ["linear_attention", "hybrid"] * 2, "num_hidden_layers": 4},
    "zaya": {"num_experts_per_tok": 1},
}

_LAYERS = (
    "num_hidden_layers",
    "n_layer",
    "n_layers",
    "num_layers",
    "num_blocks",
    "decoder_layers",
    "num_decoder_layers",
)


def _tiny_config(config_class: type[PreTrainedConfig]) -> PreTrainedConfig:
    """The smallest configuration that keeps one layer of every kind."""
    exceptions = _EXCEPTIONS.get(config_class.model_type, {})
    fields = {field.name for field in dataclasses.fields(config_class)}
    patterns = {
        name: _TRAITS[name] for name in ("use_sliding_window", "max_window_layers", "sliding_window") if name in fields
    }
    usual = vars(config_class(**patterns))
    values = {name: _TRAITS[name] for name in fields & _TRAITS.keys()}
    if "kv_lora_rank" in fields:  # multi-head latent attention has no groups
        values["num_key_value_heads"] = values["num_attention_heads"]
    for layers in [name for name in _LAYERS if name in fields][:1]:
        count = usual[layers]
        lists = {
            name: value
            for name, value in usual.items()
            if name in fields - values.keys() and isinstance(value, list | tuple) and len(value) == count
            if list(value) != list(range(count))
        }
        kept = _one_of_each_kind(lists, count)
        values |= {name: [value[i] for i in kept] for name, value in lists.items()} | {layers: len(kept)}
    for name in config_class.sub_configs:
        if isinstance(usual.get(name), PreTrainedConfig):
            values[name] = _tiny_config(type(usual[name]))
    return config_class(**values | exceptions)


def _one_of_each_kind(lists: Mapping[str, Any], count: int) -> list[int]:
    """Indices of at least two layers in which each value of each per-layer list occurs."""
    kept, seen = [], set()
    for layer in range(count):
        kinds = {(name, str(values[layer])) for name, values in lists.items()}
        if not kinds <= seen:
            kept.append(layer)
            seen |= kinds
    return kept if len(kept) > 1 else [0, min(1, count - 1)]


def tiny(model_type: str) -> PreTrainedModel:
    """The model, the same at every call: float32, evaluation mode, eager attention; its logits have ``VOCABULARY``."""
    config = _tiny_config(CONFIG_MAPPING[model_type])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.ndim > 1 and not name.endswith("A_log"):
                    parameter.normal_(std=STD)
                else:  # norms stay near one, decay rates in their range
                    parameter.add_(torch.randn_like(parameter), alpha=STD)
            for name, buffer in model.named_buffers():
                if "bias" in name and buffer.is_floating_point():  # an expert's, corrected while training
                    buffer.add_(torch.randn_like(buffer), alpha=STD)
    return model.eval()
