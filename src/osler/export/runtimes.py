"""What asks an artefact as other software does: llama.cpp, ONNX Runtime, OpenVINO. Each gives logits, no more."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from osler.errors import FailedError

if TYPE_CHECKING:  # one of several ways
    from transformers.exporters.base import ExportedModel

AT_ONCE = 32  # continuations of a prompt in one pass


def threads() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Runtime(Protocol):
    """A language model that somebody else runs."""

    @property
    def described(self) -> str:
        """Its software, with the version."""

    def logits(self, prompt: Sequence[int], branches: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Float32 logits of each of ``branches``, token ids behind ``prompt``: (1 + tokens, vocabulary), the first row
        at the prompt's last token. The prompt is read once, and kept in the cache."""


class Exported:
    """A folder that :mod:`osler.export.graph_writer` wrote, run by ONNX Runtime or OpenVINO."""

    def __init__(self, folder: Path) -> None:
        from transformers.exporters.base import ExportedModel

        self._model: ExportedModel = ExportedModel.from_pretrained(
            folder, device="cpu", local_files_only=True, **_options(folder)
        )
        self.config: Any = self._model.config

    @property
    def described(self) -> str:
        """See :class:`Runtime`."""
        from importlib.metadata import version

        package = {"onnx": "onnxruntime"}.get(str(self._model.export_format), str(self._model.export_format))
        return f"{package} {version(package)}"

    @torch.inference_mode()
    def logits(self, prompt: Sequence[int], branches: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """See :class:`Runtime`."""
        from transformers import DynamicCache

        first = self._run(torch.tensor([prompt]), 0, self._empty())
        last = first.logits[:, -1:].float()
        found: list[torch.Tensor] = []
        layers = [(layer.keys, layer.values) for layer in first.past_key_values.layers]
        for start in range(0, len(branches), AT_ONCE):
            group = branches[start : start + AT_ONCE]
            n, longest = len(group), max(map(len, group))
            if longest == 0:
                found += [last[0]] * n
                continue
            ids = torch.zeros(n, longest, dtype=torch.long)  # what pads on the right is behind all that is asked for
            for row, branch in enumerate(group):
                ids[row, : len(branch)] = torch.tensor(branch, dtype=torch.long)
            cache = DynamicCache([(keys.repeat(n, 1, 1, 1), values.repeat(n, 1, 1, 1)) for keys, values in layers])
            rows = self._run(ids, len(prompt), cache).logits.float()
            found += [torch.cat([last[0], row[: len(branch)]]).clone() for row, branch in zip(rows, group, strict=True)]
        return found

    def classify(self, prompt: Sequence[int]) -> torch.Tensor:
        """Float32 outputs of a classifier's head, (labels,)."""
        ids = torch.tensor([prompt])
        outputs: torch.Tensor = self._model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].float()
        return outputs.clone()

    def _empty(self) -> Any:
        from transformers import DynamicCache

        config = self.config.get_text_config()
        head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        nothing = torch.zeros(1, config.num_key_value_heads, 0, head)
        return DynamicCache([(nothing, nothing)] * config.num_hidden_layers)

    def _run(self, ids: torch.Tensor, past: int, cache: Any) -> Any:
        places = torch.arange(past, past + ids.shape[1]).repeat(len(ids), 1)
        mask = torch.ones(len(ids), past + ids.shape[1], dtype=torch.long)
        return self._model(input_ids=ids, attention_mask=mask, position_ids=places, past_key_values=cache)


def _options(folder: Path) -> dict[str, Any]:
    if (folder / "openvino_model.xml").is_file():
        # By itself it computes in what the processor is fastest in, such as bfloat16.
        return {"config": {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads()}}
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()  # by itself it takes every processor of the machine
    return {"session_options": options}


@cache
def silence_llama_cpp() -> Any:
    """Have llama.cpp log nothing. What is returned is what it calls instead, and has to live as long as it does."""
    import llama_cpp

    silence = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(silence, None)
    return silence


class LlamaCpp:
    """A GGUF file, run by llama.cpp on the CPU. ``context``: the most tokens of a prompt with one continuation.

    Raises :class:`FailedError` where it cannot be loaded.
    """

    def __init__(self, path: Path, context: int) -> None:
        import llama_cpp

        silence_llama_cpp()
        self._lib: Any = llama_cpp
        self._lib.llama_backend_init()
        parameters = self._lib.llama_model_default_params()
        parameters.use_extra_bufts = False  # with repacked weights 0.3.36 crashes on quantised files (AVX512, no AMX)
        parameters.n_gpu_layers = 0
        self._model = self._lib.llama_model_load_from_file(str(path).encode(), parameters)
        if not self._model:
            raise FailedError(f"{path.name}: llama.cpp cannot load it")
        self._vocabulary = self._lib.llama_model_get_vocab(self._model)
        self._n_vocabulary: int = self._lib.llama_vocab_n_tokens(self._vocabulary)
        wanted = self._lib.llama_context_default_params()
        self._room = context * 2
        wanted.n_ctx = wanted.n_batch = wanted.n_ubatch = self._room
        wanted.n_seq_max, wanted.kv_unified = AT_ONCE + 1, True
        wanted.n_threads = wanted.n_threads_batch = threads()
        self._context = self._lib.llama_init_from_model(self._model, wanted)
        if not self._context:
            raise FailedError(f"{path.name}: llama.cpp cannot make a context of {self._room} tokens")

    @property
    def described(self) -> str:
        """See :class:`Runtime`."""
        from importlib.metadata import version

        return f"llama-cpp-python {version('llama-cpp-python')}"

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a rendered prompt, control tokens read as such and nothing added."""
        said = text.encode()
        room = (self._lib.llama_token * (len(said) + 8))()
        n = self._lib.llama_tokenize(self._vocabulary, said, len(said), room, len(room), False, True)
        return list(room[:n])

    @property
    def chat_template(self) -> str:
        """The template in the file."""
        key = b"tokenizer.chat_template"
        room = self._lib.ctypes.create_string_buffer(2**20)
        self._lib.llama_model_meta_val_str(self._model, key, room, len(room))
        return str(room.value.decode())

    def logits(self, prompt: Sequence[int], branches: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """See :class:`Runtime`."""
        memory = self._lib.llama_get_memory(self._context)
        self._lib.llama_memory_clear(memory, True)
        last = self._decode([(token, place, 0) for place, token in enumerate(prompt)], [len(prompt) - 1])
        found: list[torch.Tensor] = []
        for group in self._groups(branches, self._room - len(prompt)):
            batch = []
            for sequence, branch in enumerate(group, 1):
                self._lib.llama_memory_seq_cp(memory, 0, sequence, -1, -1)
                batch += [(token, len(prompt) + place, sequence) for place, token in enumerate(branch)]
            rows = self._decode(batch, list(range(len(batch)))) if batch else torch.zeros(0, self._n_vocabulary)
            found += [torch.cat([last, own]) for own in rows.split([len(branch) for branch in group])]
            for sequence in range(1, len(group) + 1):
                self._lib.llama_memory_seq_rm(memory, sequence, -1, -1)
        return found

    def _groups(self, branches: Sequence[Sequence[int]], room: int) -> list[list[Sequence[int]]]:
        groups: list[list[Sequence[int]]] = []
        for branch in branches:
            if not groups or len(groups[-1]) == AT_ONCE or sum(map(len, groups[-1])) + len(branch) > room:
                groups.append([])
            groups[-1].append(branch)
        return groups

    def _decode(self, tokens: Sequence[tuple[int, int, int]], asked: Sequence[int]) -> torch.Tensor:
        """(asked, vocabulary) logits of ``tokens``, each with its place and its sequence."""
        batch = self._lib.llama_batch_init(len(tokens), 0, 1)
        try:
            batch.n_tokens = len(tokens)
            for row, (token, place, sequence) in enumerate(tokens):
                batch.token[row], batch.pos[row] = token, place
                batch.n_seq_id[row], batch.seq_id[row][0] = 1, sequence
                batch.logits[row] = 0
            for row in asked:
                batch.logits[row] = 1
            if status := self._lib.llama_decode(self._context, batch):
                raise FailedError(f"llama_decode ended with {status} on {len(tokens)} tokens")
            rows = []
            for row in asked:
                pointer = self._lib.llama_get_logits_ith(self._context, row)
                rows.append(torch.from_numpy(np.ctypeslib.as_array(pointer, (self._n_vocabulary,)).copy()))
            return torch.stack(rows)
        finally:
            self._lib.llama_batch_free(batch)
