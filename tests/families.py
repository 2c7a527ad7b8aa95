"""A tiny random model of each family that recipes/ ships a recipe of: its own architecture, and a chat template of the
shape of its own."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    Gemma3Processor,
    Idefics3Processor,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

from osler.storage import read_json

ROOT = Path(__file__).parents[1]
END = "<|im_end|>"

# What a size is shrunk to, by the name of its field; the other fields stay what they are in the family's file.
SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "sliding_window": 16,
    "image_size": 32,
    "patch_size": 8,
    "scale_factor": 2,
    "mm_tokens_per_image": 4,
    "max_position_embeddings": 2048,
}

# The tokens that stand for images, by their names in a family's configuration.
IMAGE_TOKENS = {
    "smolvlm-256m": {"image_token_id": "<image>"},
    "gemma-3-4b": {"image_token_index": "<image_soft_token>"},
    "medgemma-4b": {"image_token_index": "<image_soft_token>"},
}

_TURNS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
_OPENED = "{% if add_generation_prompt %}<|im_start|>assistant\n"
TEMPLATES = {
    # An empty block before the last answer, and to begin with where thinking is off: in training as in serving.
    "qwen3": "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{{ '<think>\n\n</think>\n\n' if m.role == 'assistant' and loop.last else '' }}{{ m.content }}"
    "<|im_end|>\n{% endfor %}"
    + _OPENED
    + "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}",
    "smollm3": "<|im_start|>system\n## Metadata\n\nToday Date: {{ strftime_now('%d %B %Y') }}\n"
    "Reasoning Mode: /no_think\n\n"
    "{{ messages[0].content if messages[0].role == 'system' else '' }}<|im_end|>\n"
    "{% for m in messages if m.role != 'system' %}<|im_start|>{{ m.role }}\n"
    "{{ '<think>\n\n</think>\n' if m.role == 'assistant' else '' }}{{ m.content }}<|im_end|>\n{% endfor %}"
    + _OPENED
    + "{% if not (enable_thinking is defined and enable_thinking) %}<think>\n\n</think>\n{% endif %}{% endif %}",
    "llama": "<|im_start|>system\n\nToday Date: {{ strftime_now('%d %b %Y') }}\n\n"
    "{{ messages[0].content if messages[0].role == 'system' else '' }}<|im_end|>"
    "{% for m in messages if m.role != 'system' %}<|im_start|>{{ m.role }}\n\n{{ m.content | trim }}<|im_end|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n\n{% endif %}",
    "gemma": "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}<|im_start|>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{% if m.content is string %}{{ m.content | trim }}{% else %}{% for c in m.content %}"
    "{{ '<start_of_image>' if c.type == 'image' else c.text | trim }}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>model\n{% endif %}",
    "phi": "{% for m in messages %}<|im_start|>{{ m.role }}{{ m.content }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant{% endif %}",
    "gpt-oss": "<|im_start|>system\nReasoning: low\n# Valid channels: analysis, commentary, final.<|im_end|>"
    "{% for m in messages %}<|im_start|>{{ 'developer' if m.role == 'system' else m.role }}"
    "{{ '<|channel|>final' if m.role == 'assistant' else '' }}<|message|>{{ m.content }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant{% endif %}",
    # Roles in words, and no text that is not a part.
    "smolvlm": "<|im_start|>{% for m in messages %}{{ m.role | capitalize }}"
    "{{ ':' if m.content[0].type == 'image' else ': ' }}"
    "{% for c in m.content %}{{ c.text if c.type == 'text' else '<image>' }}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}",
    "smol": _TURNS + _OPENED + "{% endif %}",
}


def template(base: str) -> str:
    """The shape of the chat template of the family that ``recipes/<base>`` is of."""
    names = {"medgemma": "gemma", **{name: name for name in TEMPLATES}}
    return TEMPLATES[next(names[name] for name in names if base.startswith(name))]


def of_its_class(config: PreTrainedConfig) -> Any:
    """The class of models that a configuration is of."""
    if config.model_type == "bert":
        return AutoModel
    several = "ForConditionalGeneration" in (config.architectures or [""])[0]
    return AutoModelForImageTextToText if several else AutoModelForCausalLM


def shrunk(written: dict[str, Any], vocabulary: int) -> dict[str, Any]:
    """A configuration with the sizes of :data:`SIZES`, those of its parts, too."""
    small = {name: SIZES.get(name, value) for name, value in written.items()}
    small |= {name: shrunk(part, vocabulary) for name, part in written.items() if name.endswith("_config")}
    if "vocab_size" in written:
        small["vocab_size"] = vocabulary
    tokens = {name: 2 for name in written if name.endswith(("token_id", "token_index"))}
    return small | tokens


@cache
def save_tiny(base: str, tokenizer_folder: Path, folder: Path) -> Path:
    """Write the tiny model of ``recipes/<base>`` and its tokenizer into ``folder``, once."""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    tokenizer.chat_template = None if base in ("biobert", "clinicalbert", "biomedbert") else template(base)
    processor = processor_of(base, tokenizer_folder)
    if processor is not None:
        tokenizer = processor.tokenizer
        tokenizer.chat_template = template(base)
    written = shrunk(read_json(ROOT / "recipes" / base / "config.json"), len(tokenizer))
    for name in IMAGE_TOKENS.get(base, {}):
        written[name] = tokenizer.convert_tokens_to_ids(IMAGE_TOKENS[base][name])
    kind = written.pop("model_type")
    written.pop("_name_or_path")
    config = AutoConfig.for_model(kind, **written)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: PreTrainedModel = of_its_class(config).from_config(config, dtype=torch.float32)
        for name, parameter in model.named_parameters():
            if name.endswith("mm_input_projection_weight"):
                torch.nn.init.normal_(parameter)  # Gemma's begins at zero, and no image would say anything
    model.save_pretrained(folder)
    (processor or tokenizer).save_pretrained(folder)
    return folder


def processor_of(base: str, tokenizer_folder: Path) -> ProcessorMixin | None:
    """What reads images for the tiny model of ``recipes/<base>``, as large as that; None of a family without images."""
    if base == "smolvlm-256m":
        images: Any = Idefics3ImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
        return Idefics3Processor(images, AutoTokenizer.from_pretrained(tokenizer_folder), image_seq_len=4)
    if base in ("gemma-3-4b", "medgemma-4b"):
        names = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(tokenizer_folder, extra_special_tokens=names)
        images = Gemma3ImageProcessorPil(size={"height": 32, "width": 32})
        return Gemma3Processor(images, tokenizer, image_seq_length=4)
    return None
