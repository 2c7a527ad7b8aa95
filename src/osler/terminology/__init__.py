"""Names and hierarchies of findings and diseases: HPO's files, one normal form of a name, findings in a text."""

from osler.terminology import languages
from osler.terminology.assertions import Finding, Status, findings, present_findings
from osler.terminology.diseases import Terminology
from osler.terminology.hpo import (
    PHENOTYPIC_ABNORMALITY,
    Annotation,
    Annotations,
    Ontology,
    read_annotations,
    read_genes,
    read_names,
    read_ontology,
)
from osler.terminology.mentions import Lexicon
from osler.terminology.normal_form import canonical, normal_form
from osler.terminology.recognition import Recogniser
from osler.terminology.spelling import spelling, tidy
from osler.terminology.vocabulary import Vocabulary, mid_sentence_case

__all__ = [
    "PHENOTYPIC_ABNORMALITY",
    "Annotation",
    "Annotations",
    "Finding",
    "Lexicon",
    "Ontology",
    "Recogniser",
    "Status",
    "Terminology",
    "Vocabulary",
    "canonical",
    "diseases",
    "findings",
    "languages",
    "mid_sentence_case",
    "normal_form",
    "present_findings",
    "read_annotations",
    "read_genes",
    "read_names",
    "read_ontology",
    "spelling",
    "tidy",
]
