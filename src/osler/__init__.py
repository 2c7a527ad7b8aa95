"""Osler: versioned recipes that fine-tune open LLMs for medical diagnosis, and score them honestly."""

import logging
import warnings

__version__ = "0.1.0"

# Two messages of every run with a model that say nothing to whoever reads them. They are kept quiet here, because the
# first is printed while bitsandbytes is imported. Delete each when its library has stopped.
# bitsandbytes 0.50 looks for an optional kernel on a CPU with AVX512-BF16, and asks for a package we do not want.
logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(
    lambda record: not record.getMessage().startswith("Failed to load CPU gemm_4bit_forward from kernels-community")
)
# transformers 5.23 renamed what PEFT 0.21 and TRL 1.16 still ask for.
warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
