"""The rules that find identifiers of persons in clinical notes: a type, a pattern, and a score.

The types follow the Safe Harbor list of HIPAA (45 CFR 164.514(b)(2)). A year alone, a state, a country and an age up to
89 are not identifiers. In a pattern, the group ``x`` is the identifier and the rest is its context.
"""

# ruff: noqa: E501, SIM905  (a pattern is read in one piece)
from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from osler.preparation.deidentification.surrogates import FOREIGN_MONTHS

TYPES = ("NAME", "AGE", "DATE", "ADDRESS", "POSTCODE", "PLACE", "ORGANIZATION", "PHONE", "EMAIL", "URL", "IP", "NATIONAL_ID",
         "RECORD", "ACCOUNT", "LICENCE", "DEVICE", "VEHICLE")  # fmt: skip
# The score of a rule. CERTAIN overrides a protected term (Mr Wilson's disease), LIKELY does not. POSSIBLE also needs a
# word that is not an ordinary one.
CERTAIN, LIKELY, POSSIBLE = 0.95, 0.8, 0.5


@dataclass(frozen=True)
class Rule:
    """A pattern for identifiers of one type. The audit gives ``name`` as the rule that found an identifier."""

    name: str
    type: str
    score: float
    pattern: re.Pattern[str]

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """The (start, end) of the identifiers in ``text``."""
        for match in self.pattern.finditer(text):
            yield match.span("x")


@dataclass(frozen=True)
class Identifier:
    """``text[start:end]`` identifies somebody: its type, and the name of the rule that found it."""

    start: int
    end: int
    type: str
    rule: str
    score: float = field(default=LIKELY, compare=False, repr=False)


# ── names ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
_U = "[A-ZÀ-ÖØ-Þ]"
_L = r"(?:[^\W\d_]|['’](?!s\b)(?=[^\W\d_]))"
# Capitalised words that end a name or are none: roles, headings, credentials, the phrases of letters.
STOP = (
    "WR|CRN|Case|Whom|It|Account|Acct|Address|Admit\\w*|Admission|Age|Aged|All|Also|Ambulatory|And|Appointment|Attending|Author|Best|Birth\\w*|Bed|Blood"
    "|Board|Born|Care|Cardiology|CC|Cc|Chart|Chief|Clinic\\w*|Colleague|Consultant|Contact|Copy|Cons|CT|D\\.?O\\.?B|DO|DOS|Date|Daughter"
    "|Dear|Department|Diagnosis|Dictated|Discharge\\w*|Doctor|Dr|Drs|Electronically|Email|Emergency|Exam\\w*|Family|Fax|Female|Follow\\w*"
    "|For|Forename|From|FRC[A-Z]+|FY1|FY2|GMC|GP|He|Health|Hello|Her|Hi|His|History|Hosp|Hospital|Husband|In|Indication|Insurance|Junior"
    "|Kind|Lady|License|Licence|Madam|Male|Manager|Many|Matron|MBBS|MBChB|MD|M\\.D|Medical|Member|Message|Miss|MR|MRI|Mr|MRC[A-Z]+"
    "|MRN|Mrs|Ms|My|Name|Neurologist|NHS|No|None|Note|NP|NPI|Number|Nurse|On|Our|Outpatient|P\\.?A|Patient|PCP|Ph\\.?D|Phone|Please"
    "|Policy|Portal|Prof|Professor|Pt|Radiology|Re|Recipient|Record|Referr\\w+|Registered|Registrar|Regards|Report\\w*|Requested"
    "|Responsible|Result\\w*|Reviewed|RN|R\\.N|Sender|Senior|Sent|Serial|SHO|She|Signed|Sincerely|Sir|Sister|Social|Son|Specialist|SpR"
    "|SSN|Subject|Surgery|Surname|Team|Tel\\w*|Thank\\w*|That|The|They|This|To|Today|Transcribed|Typed|Unit|Ward|We|Wife|With|Yours"
    "|January|February|April|June|July|August|September|October|November|December|Monday|Tuesday|Wednesday|Thursday|Friday"
    "|Saturday|Sunday|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|I|A|An|DATE|DOB|PATIENT|NAME|EXAM|ORDERED|CLINICAL|BY|OF|REFERRING|SEX"
)
# Nothing in a name repeats without end: a search that begins at each word must not go on to the end of a long text.
CAPITALISED = rf"(?<!\w)(?!(?:{STOP})\b(?!['’-]\w)){_U}{_L}{{1,30}}(?:-{_L}{{1,30}}){{0,3}}"
_INITIAL = rf"(?!(?:I|A)\s){_U}\."
_PARTICLE = (
    r"(?:(?:van|von|de|da|do|del|della|di|dos|der|den|ten|ter|la|le|du|bin|ibn|al|el|zu|zur"
    r"|Van|Von|De|Da|Del|Di|Der|La|Le|Du|El|Al|St\.?)\s)"
)
SURNAME = rf"{_PARTICLE}{{0,2}}{CAPITALISED}"
FULL_NAME = (
    rf"(?<![\w/])(?:(?:{_INITIAL}|{_U})[ ]){{0,3}}{_PARTICLE}{{0,2}}{CAPITALISED}"
    rf"(?:[ ](?:(?:{_INITIAL}|{_U})[ ]|{_PARTICLE}){{0,2}}{CAPITALISED}){{0,4}}"
)
_REVERSED = rf"{_PARTICLE}{{0,2}}{CAPITALISED}(?:[ ]{CAPITALISED})?(?:,[ ]?|[;|^+&*•(\[]){CAPITALISED}(?:[ ](?:{_INITIAL}|{_U}\b|{CAPITALISED})){{0,4}}"
_NAME = rf"(?:{_REVERSED}|{FULL_NAME})"
# Not in any case: "412 ms. Murphy".
_TITLE = r"(?:Drs?|DR|Doctors?|MR|Mr|MRS|Mrs|MS|Ms|Miss|MISS|Mx|Messrs|Profs?|Professor|Sir|Dame|Rev(?:erend)?|Nurse|Sister|Matron|Midwife|dr|mr|mrs)\b\.?"
_TITLES = rf"(?:{_TITLE}[ ]{{1,3}})?"
_CREDENTIAL = (
    r"(?:M\.?D\b|D\.?O\b|R\.?N\b|N\.?P\b|PA-?C\b|A?PRN\b|LPN\b|Ph\.?D\b|MB[ ,]?B[SC]|MBChB|BM ?BS|FRC|MRC|FAC[CPS]|FFA|LCSW|RD\b|PharmD"
    r"|DPM|DDS|BSc|MSc|RGN|CNS\b)"
)
# Labels before which a name is certain, and words before which it is possible.
_NAME_LABEL = (
    r"(?i:(?:patient|full|pt|client|first|last|middle|maiden|preferred|mother's|father's)(?:['’]s)?[ ]name|surname|forenames?"
    r"|family name|given names?|name|signed(?: off)?(?: by)?|electronically signed by|dictated by|transcribed by|typed by"
    r"|(?:report(?:ed)?|request(?:ed)?|order(?:ed)?|prepared|verified|authori[sz]ed|checked|seen|taken) by"
    r"|attending(?: physician| surgeon)?|referr(?:er|ing(?: physician| provider| doctor)?)|referred by|pcp|primary care (?:physician|provider)"
    r"|author|provider|responsible clinician|surgeon|an(?:a)?esthetist|next of kin|nok|emergency contact(?: is)?|my name is|sender"
    r"|recipient|attn|attention)"
)
_NAME_CUE = (
    r"(?i:patient|pt|re|from|to|cc|copy to|subject|contact|consultant|gp|registrar|dear|hi|hello|dear doctor|dear dr"
    r"|with|by|spoke to|according to|thank you,|thanks,|/s/|colleagues?|under(?: the care of)?|called"
    r"|on behalf of|on behalf of my patient,|student|nurse|physiotherapist|social worker|secretary|interpreter|pharmacist|carer|dietitian"
    r"|therapist|i am|this is|named|known as"
    r"|wife|husband|spouse|partner|son|daughter|mother|mum|mom|father|dad|brother|sister|aunt|uncle|cousin|niece|nephew|grand\w+|friend"
    r"|neighbou?r|fianc[ée]e?|guardian)"
)

# ── dates ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?"
    r"|Dec(?:ember)?|JAN(?:UARY)?|FEB(?:RUARY)?|MAR(?:CH)?|APR(?:IL)?|MAY|JUNE?|JULY?|AUG(?:UST)?|SEPT?(?:EMBER)?|OCT(?:OBER)?"
    r"|NOV(?:EMBER)?|DEC(?:EMBER)?|(?:january|february|april|june|july|august|september|october|november|december))\b"
)
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_MON = r"(?:0?[1-9]|1[0-2])"
_YEAR = r"(?:19|20)\d{2}"
_TH = r"(?:st|nd|rd|th)"
_SHORT_YEAR = r"(?:\d{4}|\d{2})"
_IN_OTHER_LANGUAGES = "|".join(sorted(FOREIGN_MONTHS, key=len, reverse=True))
_NO_UNIT = r"(?!\d|[.,]\d|\s?(?:mg|mcg|g|ml|mL|cm|mm|units?|%|kg|°|days|weeks|months|years|tablets?))"

# ── numbers ───────────────────────────────────────────────────────────────────────────────────────────────────────────
_NO = r"(?:\s?(?:numbers?|num|nos?|id|identifier|reference|ref|code)\b\.?|\s?#)"
_SEP = r"(?:\s?(?:is|was))?\s{0,2}[:#=.]?\s{0,3}"
_ID = r"(?P<x>(?=[A-Z/-]*\d)(?=(?:[A-Z/ -]*\d){3})[A-Z0-9]+(?:[-/][A-Z0-9]+)*)(?![\w/])"
_STATES = "A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|PR|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY]"
_STREET = (
    r"Street|Str|St|Road|Rd|Avenue|Ave|Av|Lane|Ln|Drive|Dr|Close|Court|Ct|Crescent|Cres|Way|Place|Pl|Terrace|Ter|Gardens|Gdns|Grove"
    r"|Hill|Boulevard|Blvd|Parkway|Pkwy|Highway|Hwy|Mews|Case|Square|Sq|Walk|Circle|Cir|Trail|Green|Park|Rise|View|Wharf|Alley"
    r"|Broadway|Parade|Turnpike|Loop|Path|Quay|Drove|Mead|Fields?|Meadows?"
)
_UNIT = r"(?:(?:Flat|Apt\.?|Apartment|Suite|Ste\.?|Unit|Room|Rm|No\.?|#)\s?#?[A-Z]?\d*[A-Z]?\b)"

# ── organisations ─────────────────────────────────────────────────────────────────────────────────────────────────────
_PROPER = r"(?:(?!(?:Dr|Mr|Mrs|Ms|Miss|Prof)\b)(?:St\.|[A-Z]\.|[A-ZÀ-Þ][\w'’-]{0,40}))"
INSTITUTION = (
    r"Hospitals?|Infirmary|Medical (?:Cent(?:er|re)|Group|Practice|College|School)|Health ?(?:Cent(?:er|re)|System|care|Board)|Surgery|Hospice"
    r"|(?:Nursing|Care|Rest|Retirement) Home|Assisted Living|(?:NHS )?(?:Foundation )?Trust|Universit(?:y|ies)|College|School|Academy"
    r"|Pharmacy|Laborator(?:y|ies)|Institute|(?:Family|General|Group|Dental|Medical) Practice|Rehabilitation Cent(?:er|re)|Sanatorium"
    r"|Church|Prison|Library|Ltd|Limited|PLC|Inc|LLC"
)
_MINOR_INSTITUTION = r"Clinic|Cent(?:er|re)|Practice|House|Lodge|Manor|Associates|Partners|Imaging"

# An institution with only such words in its name could be anyone's.
GENERIC = frozenset(
    "a an the and of for at in on to our your local day night general community regional district teaching university children childrens"
    " women womens men mens mother maternity acute private public cottage psychiatric mental health hospital hospitals medical centre center"
    " clinic surgery family primary secondary tertiary care emergency accident urgent walk nursing home residential rest school high"
    " pharmacy practice outpatient inpatient out patients patient laboratory trust foundation nhs referring previous new old another same"
    " this that his her their my cardiac cancer heart eye dental orthopaedic orthopedic spinal stroke pain sleep memory diabetes asthma"
    " respiratory renal dialysis fertility antenatal postnatal orthodontic transplant trauma burns rehabilitation veterans army military"
    " cardiology neurology oncology haematology hematology dermatology rheumatology paediatric pediatric psychiatry gastroenterology"
    " endocrinology urology gynaecology gynecology obstetrics ophthalmology radiology immunology genetics genetic movement disorders"
    " disorder headache epilepsy breast wound foot falls st ward department unit secretary main state national royal hospice college"
    " retirement assisted living prison church library system board group institute academy surgical surgeon plastic vascular thoracic"
    " gp doctors doctor nurse nurses ltd inc limited llc plc".split()
)


def _rule(name: str, kind: str, score: float, pattern: str) -> Rule:
    return Rule(name, kind, score, re.compile(pattern))


RULES = (
    # Contacts.
    _rule("email", "EMAIL", CERTAIN, r"(?P<x>[\w.+'-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8})"),
    _rule("url", "URL", CERTAIN, r"(?P<x>(?:https?://|www\.)[^\s<>\"')]*[^\s<>\"').,;:])"),
    _rule("domain", "URL", CERTAIN, r"(?<![@\w.-])(?P<x>(?:[a-z0-9-]+\.)+(?:com|org|net|edu|gov|uk|io|health|info)(?:/[^\s<>\"')]*[^\s<>\"').,;:])?)(?![\w@])"),
    _rule("ipv4", "IP", CERTAIN, r"(?<![\d.])(?P<x>(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d))(?![\d.]\d)"),
    _rule("ipv6", "IP", CERTAIN, r"(?i)(?<![\w:])(?P<x>(?=[0-9a-f:]{0,39}(?:::|(?:[0-9a-f]{1,4}:){7}))[0-9a-f]{0,4}(?:::?[0-9a-f]{1,4}){2,7})(?![\w:])"),
    _rule("phone label", "PHONE", CERTAIN,
          r"(?i:\b(?:tele?phone|tel|phone|mobile|mob|cell|fax|call(?:ed)?(?: (?:me|us|her|him))?(?: on| at| from)?"
          r"|reach(?:ed)? (?:me |us |her |him )?(?:on|at)|contact(?:ed)? (?:me |us |her |him )?(?:on|at))\b(?: (?:number|no))?)"
          r"[.:]?(?: is)?\s{0,2}(?P<x>(?=(?:[^\d\n]{0,3}\d){7})\+?\(?\d[\d ().-]{5,18}\d(?:\s?(?:x|[Ee]xt\.?|extension)\s?\d{1,6})?)(?![/\d])"),
    _rule("extension", "PHONE", CERTAIN, r"(?i:\b(?:pager|bleep|beeper|extension|ext)\b\.?:?(?: (?:number|no\.?|#))?)\s?(?P<x>\d{3,7})\b"),
    _rule("phone us", "PHONE", LIKELY, r"(?<![\w.-])(?P<x>(?:\+?1[ .-]?)?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])\d{3}[ .-]\d{4}(?:,?\s?(?:x|[Ee]xt\.?)\s?\d{1,6})?)(?![\w-])"),
    _rule("phone uk", "PHONE", LIKELY, r"(?<![\w.-])(?P<x>(?:\+44 ?(?:\(0\) ?)?|\(0|0)\d{2,4}\)?[ -]?\d{3,4}[ -]?\d{3,4}(?:\s?(?:x|[Ee]xt\.?)\s?\d{1,6})?)(?![\w/-])"),
    # Numbers with a label. MR 12 is a scan: labels that are words of the language need "number" behind them.
    _rule("ssn", "NATIONAL_ID", CERTAIN, r"(?i:\b(?:ssn|ss\s?#|social security)(?:\s?(?:number|no\.?|#))?(?: ending(?: in)?)?)" + _SEP + r"(?P<x>\d{3}[- ]?\d{2}[- ]?\d{4}|[xX*]{3}-[xX*]{2}-\d{4}|\d{4})\b"),
    _rule("ssn form", "NATIONAL_ID", LIKELY, r"(?<![\w-])(?P<x>(?!000|666|9\d\d)\d{3}-\d{2}-\d{4})(?![\w-])"),
    _rule("nhs", "NATIONAL_ID", CERTAIN, r"(?i:\b(?:nhs|chi|h ?& ?c)(?:\s?(?:number|num|no\.?|#))?)" + _SEP + r"(?P<x>\d{3}[ -]?\d{3}[ -]?\d{4})\b"),
    _rule("national insurance", "NATIONAL_ID", LIKELY, r"\b(?P<x>[A-CEGHJ-PR-TW-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D])\b"),
    _rule("record label", "RECORD", CERTAIN,
          rf"(?i:\b(?:(?:MRN|CRN|URN|(?:(?:our|your) )?ref(?:erence)?|patient id|med(?:ical)?\.? rec(?:ord)?|hospital id){_NO}?|(?:MR|unit|hosp(?:ital)?\.?|patient|chart|case(?: notes?)?"
          rf"|record|accession|episode|encounter|visit|specimen|sample|lab(?:oratory)?|study|referral|file|registration){_NO}))\.?" + _SEP + _ID),
    _rule("account label", "ACCOUNT", CERTAIN,
          rf"(?i:\b(?:(?:account|acct|a/c|policy|medicaid|medicare|subscriber|iban|insurance|billing|invoice|claim){_NO}?|(?:member(?:ship)?|group|plan|beneficiary|card|health plan){_NO}))\.?" + _SEP + _ID),
    _rule("licence label", "LICENCE", CERTAIN, rf"(?i:\b(?:(?:GMC|NMC|NPI|DEA|HCPC|GPhC)(?: pin)?{_NO}?|(?:driv\w+ )?licen[cs]e{_NO}))\.?" + _SEP + _ID),
    _rule("device label", "DEVICE", CERTAIN, rf"(?i:\b(?:serial{_NO}?|s/n|sn|(?:device|lot|batch|implant|model|udi|imei){_NO}))\.?" + _SEP + _ID),
    _rule("vehicle label", "VEHICLE", CERTAIN,
          rf"(?i:\b(?:licen[cs]e plates?|number plates?|plates?|vehicle(?: reg(?:istration)?)?|car reg(?:istration)?|registration|reg|VIN){_NO}?)\.?" + _SEP
          + r"(?P<x>(?=[A-Z -]*\d)(?=[\d -]*[A-Z])[A-Z0-9]{2,}(?:[ -][A-Z0-9]{2,4})?)\b(?![-/\w])"),
    _rule("number form", "RECORD", LIKELY, r"(?<![\w./:+-])(?P<x>(?!N[CGMPR]0)[A-Z]{1,3}-?\d{6,9}[A-Z]?|\d{7,12})(?![\w./-]|,\d|\s?(?:copies|cells|IU|units))"),
    # Ages over 89.
    _rule("age", "AGE", CERTAIN,
          r"(?i)(?<![\w./])(?P<x>9\d|1[0-2]\d|ninety(?:[- ](?:one|two|three|four|five|six|seven|eight|nine))?|(?:a |one )hundred(?:[- ]and[- ]\w+)?)"
          r"[ -]?(?:years?[ -](?:old|of age)|year[ -]old|yrs?[ -]old|y[./]?o\b|y\.o\.)"),
    _rule("age label", "AGE", CERTAIN,
          r"(?i)\b(?:aged?|died at|lived? to(?: be)?|turned|(?:who|he|she|mother|father|patient) is|at the age of)(?: now)?:?\s(?P<x>9\d|1[0-2]\d|ninety(?:-\w+)?)\b"
          r"(?![/.]\d|\s?(?:%|mg|kg|bpm|/min|cm|mm|days|hours|weeks|months|ml))"),
    # Dates.
    _rule("date numeric", "DATE", LIKELY, r"(?<![\w/.-])(?P<x>\d{1,2}([/.-])\d{1,2}\2(?:\d{4}|\d{2}))(?![\w/]|[.-]\d)"),
    _rule("date range", "DATE", CERTAIN, rf"(?<![\w/.-])(?P<x>(?:\d{{1,2}}([/.-])\d{{1,2}}(?:\2{_SHORT_YEAR}|\.)?[ ]?[–-][ ]?|\d{{1,2}}\.?[–-])\d{{1,2}}([/.])\d{{1,2}}\3{_SHORT_YEAR})(?![\w/]|[.-]\d)"),
    _rule("date iso", "DATE", CERTAIN, rf"(?:(?<![\w/.-])|(?<=-\d\d/))(?P<x>{_YEAR}([/.-]){_MON}\2{_DAY})(?=T\d\d|/{_YEAR}-|(?![\w/]|[.-]\d))"),
    _rule("date year-month", "DATE", LIKELY, rf"(?<![\w/.-])(?P<x>{_YEAR}[/-](?:0[1-9]|1[0-2]))(?![\w/]|[.-]\d)"),
    _rule("date and time compact", "DATE", CERTAIN, rf"(?<![\w/.-])(?P<x>{_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))(?=[T_ -]?[0-2]\d:?[0-5]\d(?::?[0-5]\d|(?<=\D\d{{4}})|(?<=:\d\d))(?:Z|(?!\w)))"),
    _rule("date in another language", "DATE", CERTAIN, rf"(?i)(?<![\w/.])(?P<x>{_DAY}(?:er|º|°|\.)? ?(?:de )?(?:{_IN_OTHER_LANGUAGES})\.?,? (?:de |del )?{_YEAR})(?!\w)"),
    _rule("date compact", "DATE", LIKELY, rf"(?i:\b(?:dates?|dob|born|on|dated|seen|exam\w*)\b[^\d\n]{{0,12}})(?P<x>{_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))(?!\w)"),
    _rule("date day month", "DATE", CERTAIN, rf"(?<![\w/.])(?P<x>{_DAY}{_TH}?[ /-]?(?:of )?{_MONTH}\.?(?:,?[ /-]?(?:of )?(?:{_YEAR}|['’]?\d{{2}}(?!\w|:\d)))?){_NO_UNIT}"),
    _rule("date day-month-year joined", "DATE", CERTAIN, rf"(?<![\w/.])(?P<x>{_DAY}(?i:JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)(?:{_YEAR}|\d{{2}}))(?!\w)"),
    _rule("date month day", "DATE", CERTAIN, rf"(?<!\w)(?P<x>{_MONTH}\.? {_DAY}{_TH}?\b(?:,? {_YEAR}|, ?['’]?\d{{2}}(?!\w))?){_NO_UNIT}"),
    _rule("date month year", "DATE", CERTAIN, rf"(?<!\w)(?P<x>{_MONTH}\.?,?(?: of)?[ -]{_YEAR})(?!\w)"),
    _rule("date numeric month", "DATE", LIKELY, rf"(?<![\w/.-])(?P<x>(?:0[1-9]|1[0-2])/{_YEAR})(?![\w/])"),
    _rule("date without year", "DATE", LIKELY,
          r"(?i:\b(?:on|since|until|till|from|by|dated?|before|after|due|seen)\s)(?P<x>\d{1,2}/\d{1,2})(?![\w/]|[.]\d|\s?(?:mmHg|to \d|points|on the))"),
    # 5/4 alone can be the strength of a muscle, so it needs one of those words or another date before it.
    _rule("date after date", "DATE", LIKELY,
          rf"(?<![\w.-])(?:\d{{1,2}}/)?\d{{1,2}}/{_SHORT_YEAR} (?:and|or|to|until|&) (?P<x>\d{{1,2}}/\d{{1,2}})(?![\w/]|[.]\d|\s?(?:mmHg|to \d|points|on the|power|strength))"),
    # Where somebody lives.
    _rule("street", "ADDRESS", CERTAIN,
          rf"(?<![\w/.-])(?P<x>(?:{_UNIT},? )?(?:\d+ [A-Z]\w+ (?:Court|House), )?\d{{1,5}}[A-Za-z]? (?:(?:[NSEW]|N[EW]|S[EW])\.? )?(?:(?:The|[A-Z][\w'’.-]*|\d+(?:st|nd|rd|th)) ){{0,5}}?"
          rf"(?:The )?(?:(?:{_STREET})\b\.?(?! (?:Road|Rd|Street|St|Avenue|Ave|Lane|Ln|Court|Ct|Drive|Crescent|Terrace|Pkwy)\b)|[A-Z]\w+(?:way|gate|side)\b(?: (?:{_STREET})\b\.?)?)(?:,? {_UNIT})?)"),
    _rule("po box", "ADDRESS", CERTAIN, r"(?i:\b(?P<x>P\.? ?O\.? Box \d+))"),
    _rule("house", "ADDRESS", CERTAIN, rf"(?P<x>{_UNIT}, [A-Z]\w+ (?:House|Court|Lodge|Mansions))"),
    _rule("postcode uk", "POSTCODE", LIKELY, r"(?<![\w/-])(?P<x>[A-PR-UWYZ][A-HK-Y]?\d[A-Z\d]? \d[ABD-HJLNP-UW-Z]{2})(?![\w-])"),
    _rule("postcode uk joined", "POSTCODE", LIKELY, r"(?i:\b(?:post ?code:? |, ))(?P<x>[A-PR-UWYZ][A-HK-Y]?\d[A-Z\d]?\d[ABD-HJLNP-UW-Z]{2})(?![\w-])"),
    _rule("zip", "POSTCODE", CERTAIN, rf"(?:\b(?:{_STATES}|[A-Z][a-z]+),? {{1,2}}|(?i:\bzip(?: ?code)?:? ))(?P<x>\d{{5}}(?:-\d{{4}})?)(?![\w-]|,\d|\.\d|\s?(?:mg|ml|/|cells|copies|steps))"),
    _rule("zip+4", "POSTCODE", LIKELY, r"(?<![\w-])(?P<x>\d{5}-\d{4})(?![\w-])"),
    _rule("postcode ca", "POSTCODE", LIKELY, r"(?<![\w-])(?P<x>[ABCEGHJ-NPRSTVXY]\d[A-Z] \d[A-Z]\d)(?![\w-])"),
    # Not MD or PA without a ZIP code: those are physicians, and assistants of theirs.
    _rule("city before state", "PLACE", LIKELY,
          rf"(?<!\w)(?P<x>[A-Z][\w'’.-]{{1,40}}(?: [A-Z][\w'’.-]{{1,40}}){{0,2}}), (?:(?:{_STATES}) \d{{5}}|(?!MD|PA)(?:{_STATES})(?=[.,;)]|\s*$|\s*\n))"),
    _rule("city after street", "PLACE", CERTAIN, rf"\d[A-Za-z]? (?:[\w'’.]+ ){{0,5}}(?:{_STREET}|[A-Z]\w+(?:way|gate|side))\b\.?(?:,? {_UNIT})?,?[ \n]{{1,2}}(?P<x>(?:{CAPITALISED}[ ]){{0,2}}{CAPITALISED})(?=,? (?:{_STATES})\b|,?\s+[A-Z]{{1,2}}\d|[.,;]|\s*\n)"),
    _rule("city before postcode", "PLACE", CERTAIN, rf"(?P<x>(?:{CAPITALISED}[ ]){{0,2}}{CAPITALISED}),?\s+[A-PR-UWYZ][A-HK-Y]?\d[A-Z\d]? ?\d[A-Z]{{2}}\b"),
    # What somebody belongs to.
    _rule("institution", "ORGANIZATION", LIKELY,
          rf"(?<![\w-])(?P<x>{_PROPER}(?: (?:(?:of|the|and|&|upon) ){{0,3}}{_PROPER}){{0,6}}? (?:{INSTITUTION})(?: (?:{INSTITUTION}))*(?: of (?:(?:the|and|of) )*[A-Z][\w'’-]+(?: (?:[A-Z][\w'’-]+|(?:of|and|the)(?= [A-Z])))*)?)(?!\w| (?:number|[Nn]o\b|#|ID))"),
    _rule("institution of", "ORGANIZATION", LIKELY, r"(?P<x>\b(?:Hospital|University|College|Institute|School) (?:of|for) (?:(?:the|and|of|for) )*[A-Z][\w'’-]+(?: (?:[A-Z][\w'’-]+|(?:of|and)(?= [A-Z])))*)"),
    _rule("small institution", "ORGANIZATION", POSSIBLE, rf"(?<![\w-])(?P<x>{_PROPER}(?: {_PROPER}){{0,3}} (?:{_MINOR_INSTITUTION}))(?!\w)"),
    _rule("employer", "ORGANIZATION", LIKELY, r"(?i:\b(?:works? (?:for|at)|working (?:for|at)|worked (?:for|at)|employed (?:by|at)|employer:?)\s)(?:the )?(?P<x>[A-Z][\w'’&.-]*\w(?: (?:[A-Z][\w'’&-]*|and|&))*)"),
    # Who it is.
    _rule("title", "NAME", CERTAIN, rf"(?<!\w){_TITLE}[ ]+(?P<x>{FULL_NAME})"),
    _rule("titles", "NAME", CERTAIN, rf"(?<!\w)(?:Drs|Messrs|Doctors)\.?[ ]+{FULL_NAME}(?: and|,? &|,)[ ](?P<x>{FULL_NAME})"),
    _rule("title lower", "NAME", POSSIBLE, r"(?<!\w)(?:[Dd]r|[Mm]rs?|[Mm]s)\.?[ ](?P<x>[a-z]{3,}(?:-[a-z]+)?)\b"),
    _rule("name label", "NAME", LIKELY, rf"\b{_NAME_LABEL}(?:[ ]?[:;=|+&*•…,.(\[–—-]{{1,2}}\s{{0,3}}|[ ]is\s{{1,3}}|\s{{1,3}}){_TITLES}(?P<x>{_NAME})"),
    _rule("name cue", "NAME", POSSIBLE, rf"(?<!\w){_NAME_CUE}(?:[:,(-]{{1,2}})?[ ]\(?{_TITLES}(?P<x>{_NAME})"),
    _rule("subject", "NAME", POSSIBLE, rf"(?im:^(?:re|subject|ref|patient)\s?:)\s{{0,3}}{_TITLES}(?P<x>(?-i:{_NAME}))"),
    _rule("role", "NAME", LIKELY, rf"\b(?:SHO|FY[12]|F[12]|SpR|StR|ST[1-8]|CT[1-3]|HO|Cons|Pt|Resident)\.?:?[ ]{_TITLES}(?P<x>{FULL_NAME})"),
    _rule("who speaks", "NAME", POSSIBLE,
          rf"(?P<x>{FULL_NAME})[ ](?:called|phoned|rang|telephoned|wrote|asked|came|reports?|reported|says|said|feels|felt|states|stated|denies|denied|complains|complained|tells|told|describes|described"
          r"|attends|attended|visits|visited|thinks|believes|remains|agrees|agreed|wants|wishes)\b"),
    _rule("initials", "NAME", LIKELY, rf"(?<![\w/.])(?P<x>(?:{_U}\.[ ]?){{1,3}}{_PARTICLE}{{0,2}}{CAPITALISED})"),
    _rule("name beside number", "NAME", POSSIBLE,
          rf"(?P<x>{_NAME})\s{{0,2}}[|,;:(–-]{{1,2}}\s*(?:the |[A-Z][a-z]+day,? )?(?=(?i:DOB|D\.O\.B|born|date of birth|MRN|NHS|hosp|patient id|CRN|DOS)\b|\d{{4}}[/.-]|\d{{1,4}}[/.-]\d{{1,2}}[/.-]\d{{2,4}}|\d{{1,2}}(?:st|nd|rd|th)?[ -]?(?:{_MONTH})|(?:{_MONTH})\.? \d)"),
    _rule("reversed beside number", "NAME", LIKELY,
          rf"(?P<x>{_REVERSED})(?=[ ,(]{{1,3}}(?i:DOB|MRN|MR ?#|CRN|NHS|patient id|hosp(?:ital)?\.? n|case|chart|unit n|record|medical record|\d{{6}}))"),
    _rule("name above address", "NAME", POSSIBLE, rf"(?m:^){_TITLES}(?P<x>{FULL_NAME})(?=\n(?:{_UNIT}, )?\d{{1,5}}[A-Za-z]? [A-Z])"),
    _rule("second subject", "NAME", POSSIBLE, rf"{CAPITALISED} and (?P<x>{CAPITALISED}) (?:are|were|have|had)\b"),
    _rule("sentence subject", "NAME", POSSIBLE, rf"(?m:^|(?<=[.!?:]\s))(?P<x>{_PARTICLE}{{0,2}}{CAPITALISED})[ ](?:and {CAPITALISED} (?:are|were|have|had)|was|is|has|had|will|did|does|can|could|[a-z]{{2,}}(?:ed|[^s]s))\b"),
    _rule("sign-off", "NAME", LIKELY, rf"(?i:\b(?:sincerely|faithfully|truly|regards|wishes|thanks|thank you|cheers|signed))[,.]?[^\S\n]{{0,9}}\n\s{{0,9}}{_TITLES}(?P<x>{FULL_NAME})"),
    _rule("credential", "NAME", LIKELY, rf"(?P<x>{_NAME}),?[ ]{_CREDENTIAL}"),
    _rule("capitals reversed", "NAME", LIKELY, rf"(?m:^|(?<=\s))(?P<x>{_PARTICLE}{{0,2}}[A-ZÀ-Þ][A-ZÀ-Þ'’-]{{2,40}}, (?:{CAPITALISED})(?: {_U}\b\.?)?)(?=\s|$|[,.;(])"),
)  # fmt: skip
