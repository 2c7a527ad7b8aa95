"""What is to be learnt: cases, where they come from, the prompt, the labels, and what may be changed in a case."""

from osler.tasks.augmentation import Augmentation, rephrased
from osler.tasks.case import Case, Cases, changed, told_as
from osler.tasks.classified_text import candidate_tokens, encode_classified
from osler.tasks.conversation import OPTIONS, TEXT, Conversation, turns
from osler.tasks.images import CaseImage, case_image
from osler.tasks.perturbation import SWAPS, Perturbation, share_of, split_sentences
from osler.tasks.prompt import Prompt, TooLong, WrittenImage, chat_template_sha256, completions, load_prompt
from osler.tasks.source import Source
from osler.tasks.sources.all_diseases import AllDiseases
from osler.tasks.sources.dataset import HubDataset
from osler.tasks.task import Task, load_task, load_to_ask

__all__ = [
    "OPTIONS",
    "SWAPS",
    "TEXT",
    "AllDiseases",
    "Augmentation",
    "Case",
    "CaseImage",
    "Cases",
    "Conversation",
    "HubDataset",
    "Perturbation",
    "Prompt",
    "Source",
    "Task",
    "TooLong",
    "WrittenImage",
    "candidate_tokens",
    "case_image",
    "changed",
    "chat_template_sha256",
    "completions",
    "encode_classified",
    "load_prompt",
    "load_task",
    "load_to_ask",
    "rephrased",
    "share_of",
    "split_sentences",
    "told_as",
    "turns",
]
