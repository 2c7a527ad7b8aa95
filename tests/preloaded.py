"""What scripts and tests import of other people, imported once, for the processes that are forked from this one."""

import gc
import sys

import bitsandbytes  # noqa: F401
import evaluate  # noqa: F401
import fastapi  # noqa: F401
import ftfy  # noqa: F401
import matplotlib.backends.backend_svg
import matplotlib.figure  # noqa: F401
import peft.tuners.lora.bnb
import peft.utils.transformers_weight_conversion  # noqa: F401
import py3langid.langid  # noqa: F401
import pydantic.main  # noqa: F401
import pytest  # noqa: F401
import rensa  # noqa: F401
import sklearn.feature_extraction.text
import sklearn.svm  # noqa: F401
import torch.distributed.checkpoint.state_dict  # noqa: F401
import transformers.integrations.bitsandbytes
import transformers.models.bert.modeling_bert
import transformers.models.llama.modeling_llama  # noqa: F401
import trl.trainer.dpo_trainer
import trl.trainer.sft_trainer  # noqa: F401
import uvicorn.protocols.http.h11_impl  # noqa: F401
from transformers.conversion_mapping import get_checkpoint_conversion_mapping

# What transformers works out once in a process, for any model: thousands of patterns.
get_checkpoint_conversion_mapping("llama")
# Each forked process would compile Osler again, where the environment says that no bytecode is written.
sys.dont_write_bytecode = False
# Their objects stay: a collection in a forked process need not look at them, nor copy their pages.
gc.collect()
gc.freeze()
