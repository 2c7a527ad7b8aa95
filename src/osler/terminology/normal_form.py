"""Bring the name of a diagnosis into a form in which all its spellings are the same string.

Both sides of a comparison take the same steps. So a step may mangle a word (``herpes`` loses its s), as long as it
never makes two diseases one. Numbers, letters, "with", "without" and "due to" tell diseases apart and are kept.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from itertools import pairwise

from osler.terminology.spelling import has_sign, spelling

# Abbreviations that mean one diagnosis wherever they occur. MS, DM, PML, HSP, CP and the like mean several.
ABBREVIATIONS = {
    "ADHD": "attention deficit hyperactivity disorder",
    "ADPKD": "autosomal dominant polycystic kidney disease",
    "AIDS": "acquired immunodeficiency syndrome",
    "ALL": "acute lymphoblastic leukemia",
    "ALS": "amyotrophic lateral sclerosis",
    "AMI": "acute myocardial infarction",
    "AML": "acute myeloid leukemia",
    "ARDS": "acute respiratory distress syndrome",
    "ARPKD": "autosomal recessive polycystic kidney disease",
    "BBS": "Bardet-Biedl syndrome",
    "BPH": "benign prostatic hyperplasia",
    "BPPV": "benign paroxysmal positional vertigo",
    "CDG": "congenital disorder of glycosylation",
    "CHF": "congestive heart failure",
    "CKD": "chronic kidney disease",
    "CLL": "chronic lymphocytic leukemia",
    "CML": "chronic myeloid leukemia",
    "CMT": "Charcot-Marie-Tooth disease",
    "COPD": "chronic obstructive pulmonary disease",
    "CVID": "common variable immunodeficiency",
    "DEE": "developmental and epileptic encephalopathy",
    "DKA": "diabetic ketoacidosis",
    "DLBCL": "diffuse large B-cell lymphoma",
    "DMD": "Duchenne muscular dystrophy",
    "DVT": "deep vein thrombosis",
    "EDS": "Ehlers-Danlos syndrome",
    "EIEE": "early infantile epileptic encephalopathy",
    "FSHD": "facioscapulohumeral muscular dystrophy",
    "GERD": "gastroesophageal reflux disease",
    "GORD": "gastroesophageal reflux disease",
    "HHT": "hereditary hemorrhagic telangiectasia",
    "HLH": "hemophagocytic lymphohistiocytosis",
    "HUS": "hemolytic uremic syndrome",
    "IBD": "inflammatory bowel disease",
    "IBS": "irritable bowel syndrome",
    "ITP": "immune thrombocytopenic purpura",
    "LGMD": "limb-girdle muscular dystrophy",
    "MDD": "major depressive disorder",
    "MEN": "multiple endocrine neoplasia",
    "MPS": "mucopolysaccharidosis",
    "NSTEMI": "non-ST elevation myocardial infarction",
    "OCD": "obsessive-compulsive disorder",
    "OSA": "obstructive sleep apnea",
    "PCOS": "polycystic ovary syndrome",
    "PKU": "phenylketonuria",
    "PNH": "paroxysmal nocturnal hemoglobinuria",
    "PTSD": "post-traumatic stress disorder",
    "SIADH": "syndrome of inappropriate antidiuretic hormone secretion",
    "SLE": "systemic lupus erythematosus",
    "STEMI": "ST elevation myocardial infarction",
    "T1D": "type 1 diabetes mellitus",
    "T1DM": "type 1 diabetes mellitus",
    "T2D": "type 2 diabetes mellitus",
    "T2DM": "type 2 diabetes mellitus",
    "TB": "tuberculosis",
    "TIA": "transient ischemic attack",
    "TTP": "thrombotic thrombocytopenic purpura",
    "UTI": "urinary tract infection",
    "VHL": "von Hippel-Lindau syndrome",
    "VSD": "ventricular septal defect",
    "WPW": "Wolff-Parkinson-White syndrome",
}
# These mean one diagnosis only before a number: SMA is also an artery, SCA a cardiac arrest.
SERIES = {
    "NF": "neurofibromatosis",
    "SCA": "spinocerebellar ataxia",
    "SMA": "spinal muscular atrophy",
    "SPG": "spastic paraplegia",
}
# Other words for the same disease: names that have changed, and organs as noun and as adjective. Keys are words as
# `_words` returns them.
RENAMED = {
    r"mental retardation|intellectual developmental disorder": "intellectual disability",
    # OMIM renamed this numbered series and kept the numbers; without a number it is another syndrome.
    r"(?:early infantile epileptic encephalopathy|epileptic encephalopathy early infantile)(?= \d)": (
        "developmental epileptic encephalopathy"
    ),
    r"acute lympho(?:cytic|id)": "acute lymphoblastic",
    r"acute myocardial infarction": "myocardial infarction",  # one that is not acute is called old
    r"chicken pox": "chickenpox",
    r"high blood pressure": "hypertension",
    r"myelogenous": "myeloid",
    r"aortic": "aorta",
    r"cardiac": "heart",
    r"esophageal": "esophagus",
    r"gastric": "stomach",
    r"hepatic": "liver",
    r"ovarian": "ovary",
    r"pancreatic": "pancreas",
    r"pulmonary": "lung",
    r"renal": "kidney",
}

SYMBOLS = str.maketrans(
    {"α": " alpha ", "β": " beta ", "γ": " gamma ", "δ": " delta "}
    | dict.fromkeys("’‘ʼ`´", "'")
    | dict.fromkeys("‐‑‒–—−", "-")
)
# Up to 39: OMIM's series have no higher numbers.
ARABIC = {
    tens + units: str(10 * len(tens) + number)
    for tens in ("", "X", "XX", "XXX")
    for number, units in enumerate(["", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"])
    if tens + units
}

# Words that only announce a number or letter.
TYPE = {"type", "subtype", "group", "complementation"}
# A number or letter after one of these belongs to it: complex II deficiency, type 4, is not complex IV deficiency,
# type 2.
BINDERS = {"chromosome", "complex", "factor", "grade", "interleukin", "monosomy", "stage", "trisomy", "vitamin"}
DROPPED = TYPE | {"the", "of", "and", "nos", "unspecified"}
# Words are never moved across these.
RELATIONS = {
    r"\b(?:due to|secondary to|caused by|resulting from|following|after)\b": " < ",
    r"\bwith(?: or |/)without\b": " ± ",
    r"\bwithout\b": " ! ",
    r"\bwith\b": " + ",
}
SIGNS = "<±!+"
SPELLING = {
    r"o?oe|ae": "e",  # gastro-oesophageal, gastroesophageal
    r"(tum|col|behavi|hum|od)our": r"\1or",
    r"sulph": "sulf",
    r"^leuco": "leuko",
    r"iz(e|ed|er|ing|ation)$": r"is\1",
    r"^(fib|cent)re$": r"\1er",
    r"^disk$": "disc",
    r"^grey$": "gray",
    r"ies$": "y",
    r"(?<=\w{3})(?<![sui])s$": "",
}
MAX_BEFORE = 400  # characters of a name before its abbreviation
DESIGNATOR = re.compile(r"\d{1,4}(?:[a-z]{1,3}(?:\d{1,3}[a-z]{0,2})?)?|[a-h]")
_TOKEN = re.compile(rf"\w+(?:\.\d+)*|[{SIGNS}]")
_EXPANDED = re.compile(rf"\b(?:({'|'.join(SERIES | ABBREVIATIONS)})[ -]?(?=\d)|({'|'.join(ABBREVIATIONS)})\b)")
_STEPS = [
    (re.compile(old, re.IGNORECASE if ignore else 0), new)
    for old, new, ignore in (
        (r"'s?\b|'", "", True),
        (r"\b(\d+)-(?=[a-z]{4})", r"\1", True),  # a position in a molecule: 3-methylglutaconic
        (r"\b([A-Za-z][a-z]{2,}o)-(?=[a-z])", r"\1", False),  # gastro-esophageal, but not Castello-Branco
        (r"\b(non|pseudo|anti|post|pre|hyper|hypo|micro|macro|poly|auto)[- ](?=[a-z])", r"\1", True),
        (r"\b(\w+)(?:[- ]cells?)?[- ](negative|positive)\b", r"\1\2", True),  # B-negative and NK-positive
        (r"^\W*(?:an?|the)\s+(?=\w)", "", True),
        (r"\bdiabetes\b(?!\s+(?:mellitus|insipidus))", "diabetes mellitus", True),
        *((old, new, True) for old, new in RELATIONS.items()),
    )
]
_SPELLING = [(re.compile(old), new) for old, new in SPELLING.items()]


def normal_form(text: str) -> str:
    """The words of a diagnosis in one spelling and in alphabetical order, then ``#`` and its number or letter.

    The steps are, in this order: convert Unicode to ASCII and spell out Greek letters; drop an abbreviation in brackets
    after its own words; write out abbreviations; drop possessives; join hyphenated prefixes; convert Roman numerals to
    Arabic; convert British to American spelling and plurals to singulars; drop words without meaning (``type``, ``of``,
    ``the``); sort the rest. Sorting undoes inverted titles (``Epileptic encephalopathy, early infantile, 13``) but
    moves no word across "with", "without" or "due to". A text without words gives an empty string.

    The steps are made for names in the letters of European languages. A name with a sign or letters that they would
    lose (``ER+``, ``TSH↑``, ``viêm tủy``, ``が``; see :func:`~osler.terminology.spelling.has_sign`) stays as it is
    written, in lower case.
    """
    return _as_written(text) if has_sign(text) else _arrange(_words(text))


@lru_cache(maxsize=1 << 18)
def canonical(text: str) -> str:
    """The normal form after applying :data:`RENAMED`, so that different words for one disease are equal, too."""
    if has_sign(text):
        return _as_written(text)
    words = " ".join(_words(text))
    for old, new in _RENAMED:
        words = old.sub(new, words)
    return _arrange(words.split())


def _as_written(text: str) -> str:
    """One sign for a dash, and none that a list puts at its end."""
    return spelling(re.sub("[‐‑‒–−]", "-", text)).rstrip(".,;: ")


def _words(text: str) -> list[str]:
    """The words in order, each in one spelling; ``SIGNS`` stand for relations."""
    if not text.isascii():  # most texts are, and this is slow
        text = unicodedata.normalize("NFKD", text.translate(SYMBOLS))
        text = "".join(character for character in text if not unicodedata.combining(character))
    text = re.sub(rf"[{SIGNS}_]", " ", text)
    text = re.sub(r"\(([^()]*)\)", lambda match: " " if _abbreviates(match) else f" {match[1]} ", text)
    # In a title in capitals, ALL is no abbreviation; a single word in lower case may be one.
    all_capitals = text.isupper() and " " in text and re.search(r"[A-Z]{6}", text)
    text = text.lower() if all_capitals else _expand(text.upper() if text.strip().upper() in ABBREVIATIONS else text)
    for old, new in _STEPS:
        text = old.sub(new, text)
    tokens = _TOKEN.findall(text)
    return [_unify_spelling(_to_arabic(token, before)) for before, token in pairwise(["", *tokens])]


def _abbreviates(brackets: re.Match[str]) -> bool:
    """Whether the brackets hold an abbreviation of the words before them (CLL) and not something new (type 2)."""
    inside = brackets[1]
    if (
        brackets.start() > MAX_BEFORE
        or not re.fullmatch(r"[A-Za-z0-9-]{2,10}", inside)
        or sum(character.isupper() for character in inside) < 2
    ):
        return False
    before = brackets.string[: brackets.start()].lower()
    letters = iter(re.sub(r"\W", "", before))
    return before.strip()[:1] == inside[0].lower() and all(c in letters for c in inside.lower() if c != "-")


def _expand(text: str) -> str:
    words = SERIES | ABBREVIATIONS
    return _EXPANDED.sub(lambda match: words[match[1]] + " " if match[1] else words[match[2]], text)


def _to_arabic(token: str, before: str) -> str:
    """A Roman numeral as an Arabic one: ``II`` → ``2``, ``IIh`` → ``2h``, ``Ii`` → ``1i``; other tokens unchanged."""
    if token[0] not in "IVXivx":
        return token
    typed = before.lower() in TYPE | BINDERS
    if token in ARABIC and (token != "X" or typed):
        return ARABIC[token]
    match = re.fullmatch(r"([IVX]+)([A-Za-z])", token)
    if match and match[1] in ARABIC and (typed or match[2] in "abcABC"):
        return ARABIC[match[1]] + match[2]
    match = re.fullmatch(r"([ivx]+)([a-h]?)", token)
    if match and match[1].upper() in ARABIC and (typed or len(match[1]) > 1):
        return ARABIC[match[1].upper()] + match[2]
    return token


@cache
def _unify_spelling(token: str) -> str:
    """``token`` in lower case, in one spelling and in the singular."""
    word = token.lower()
    for old, new in _SPELLING:
        word = old.sub(new, word)
    return word


_RENAMED = [
    (re.compile(rf"\b(?:{old})\b"), " ".join(map(_unify_spelling, new.split()))) for old, new in RENAMED.items()
]


def _arrange(words: list[str]) -> str:
    """Sort the words between two relations, and put the numbers after them."""
    parts: list[str] = []
    plain: list[str] = []
    numbers: list[str] = []

    def close() -> None:
        # Two numbers keep their order and stay apart: 3 of 9 is not 39.
        number = re.sub(r"(?<=\d) (?=\d)", ".", " ".join(numbers)).replace(" ", "")
        parts.extend([*sorted(set(plain)), *([f"#{number}"] if number else [])])
        plain.clear()
        numbers.clear()

    before = ""
    for word in words:
        if word in SIGNS:
            close()
            parts.append(word)
        elif DESIGNATOR.fullmatch(word) and before in BINDERS:
            plain[-1] += f"~{word}"
        elif DESIGNATOR.fullmatch(word):
            numbers.append(word)
        elif word not in DROPPED:
            plain.append(word)
        before = word
    close()
    return " ".join(parts)
