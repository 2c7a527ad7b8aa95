"""A gold set for de-identification: made-up notes with planted identifiers, whose offsets and types are known.

Its three parts share nothing that a rule could be tuned to: each has its own note layouts, sentences, traps, formats
and lists of names and places (some names are in several on purpose: Wilson is an eponym). The rules were tuned on
``development``; ``held_out``, written with it before any rule, was then scored once (docs/decisions/preparation.md has the figures)
and looked at, and the rules changed; ``final`` was written after that, and scored once before
the rules were changed again. All three and the rules have one author. No name, number or address belongs to anybody: numbers are drawn at random.

In a layout ``{slot}`` is planted, everything else is as it stands. What counts as an identifier is what the Safe Harbor
list of HIPAA (45 CFR 164.514(b)(2)) names, with these borders: a year alone, a state, a country, an age below 90, a
weekday, a season, a ward or a department is none; a title (Dr, Mrs) is not part of a name.
"""

# ruff: noqa: E501, SIM905
from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

PARTS = ("development", "held_out", "final")


@dataclass(frozen=True)
class Note:
    """A text and what was planted in it: (start, end, type), in order."""

    case_id: str
    patient: str
    text: str
    planted: tuple[tuple[int, int, str], ...]


# ── lists ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
GIVEN = {
    "development": (
        "Margaret Emily Aisha Priya Siobhan Ingrid Rosa Mei-Ling Agnieszka Chloe Dorothy Fatima Harriet Jasmine Latoya"
        " Nadia Olivia Ruth Tamara Yvonne Zoë James Oliver Mohammed Rajesh Declan Lars Carlos Wei Piotr Barnaby Douglas"
        " Ethan Femi Gareth Hassan Ivan Jamal Kwame Liam Marcus Nathaniel Patrick Raymond Stuart Tobias Vikram Walter"
        " Grace Mark"
    ).split(),
    "held_out": (
        "Catherine Sophie Khadija Ananya Niamh Astrid Lucía Xiaoyan Katarzyna Abigail Edith Leila Imogen Keisha Noor"
        " Philippa Rebecca Sandra Thandiwe Una Winifred William Jack Yusuf Suresh Cormac Henrik Diego Jun Tomasz Alistair"
        " Bernard Connor Dele Evan Farid Gregory Hugo Idris Jerome Kofi Leonard Malcolm Nigel Omar Quentin Roderick"
        " Sebastian Rose Dean"
    ).split(),
}
SURNAME = {
    "development": (
        "Smith Hargreaves Patel O'Connor Lindqvist García Chen Kowalski Okafor Thompson Al-Hassan Banerjee Castellanos"
        " Dubois Eastwood Fernández Goldberg Hughes Iqbal Jefferson Kaczmarek Llewellyn MacDonald Nakamura Oyelaran"
        " Pemberton Quigley Rosenthal Sutherland Tchaikovsky Underhill Venkataraman Whitaker Yamamoto Zielinski"
        " Parkinson Wilson Down White Young Addison Bell van+der+Merwe de+Souza St.+Clair Ashworth-Jones Mbeki Nguyen"
        " Ramsbottom Schwarzenbach Blackwood Fairweather"
    ).split(),
    "held_out": (
        "Johnson Braithwaite Sharma O'Sullivan Bergström Martínez Liu Nowak Adeyemi Robertson Abu-Bakr Chatterjee"
        " Delgado Lefèvre Featherstone Gutiérrez Silverman Griffiths Hussain Washington Jankowski Pritchard McAllister"
        " Watanabe Ogunleye Satterthwaite Gallagher Weinberg Cunningham Rachmaninov Thistlethwaite Subramanian"
        " Arkwright Tanaka Wojcik Hodgkin Wilson Graves Brown Long Cushing Baker von+Trapp da+Silva Le+Roux"
        " Carrington-Hill Dlamini Pham Longbottom Oberhausen Greenhalgh Merriweather"
    ).split(),
}
CITY = {
    "development": {
        "uk": ["Leeds", "Bristol", "Norwich", "Swansea", "Aberdeen", "Stockport", "Harrogate", "Belfast", "Truro"],
        "us": ["Boston", "Cleveland", "Tucson", "Portland", "Baton Rouge", "Savannah", "Des Moines", "Akron", "Fresno"],
    },
    "held_out": {
        "uk": ["Sheffield", "Cardiff", "Ipswich", "Dundee", "Plymouth", "Rochdale", "Cheltenham", "Derry", "Exeter"],
        "us": ["Houston", "Milwaukee", "Albuquerque", "Spokane", "Little Rock", "Chattanooga", "Fort Wayne", "Toledo"],
    },
}
HOSPITAL = {
    "development": {
        "uk": ["St Mary's Hospital", "{city} Royal Infirmary", "Queen Elizabeth Hospital", "Oakfield Surgery",
               "{city} and District NHS Foundation Trust", "Beech House Nursing Home", "{city} General Hospital"],
        "us": ["Mercy Medical Center", "{city} Memorial Hospital", "Lakeside Family Practice", "Mayo Clinic",
               "University of {city} Medical Center", "Cedar Grove Nursing Home", "St. Luke's Hospital"],
    },
    "held_out": {
        "uk": ["St Thomas' Hospital", "{city} District General Hospital", "The Willows Medical Centre", "Royal {city} Hospital",
               "{city} Teaching Hospitals NHS Trust", "Elmwood Care Home", "Victoria Road Health Centre"],
        "us": ["Providence Hospital", "Saint Joseph Health Center", "{city} Children's Hospital", "Cleveland Clinic",
               "Hospital of the University of {city}", "Sunrise Assisted Living", "Johns Hopkins Hospital"],
    },
}  # fmt: skip
STREET = {
    "development": {
        "uk": ["Acacia Avenue", "Mill Lane", "Station Road", "Church Street", "Orchard Close"],
        "us": ["Maple Street", "Washington Ave", "Sunset Blvd", "Oak Ridge Drive", "Elm St"],
    },
    "held_out": {
        "uk": ["Kingsway Crescent", "Victoria Terrace", "Park Rd", "The Green", "Albert Gardens"],
        "us": ["North Pine Street", "Lincoln Pkwy", "Cherry Hill Ct", "W 5th Ave", "Peachtree Lane"],
    },
}
STATE = {"development": ["MA", "OH", "AZ", "OR", "GA"], "held_out": ["TX", "WI", "NM", "WA", "TN"]}
COMPANY = {"development": ["Tesco", "Boeing"], "held_out": ["Sainsbury's", "Walmart"]}
MONTHS = ("January February March April May June July August September October November December").split()

# ── formats: strftime-like for dates; # a digit, @ a capital letter, ~ one of postcodes elsewhere ─────────────────────────────────────────
DATES = {
    "development": {
        "uk": ["{d:02}/{m:02}/{y}", "{d} {month} {y}", "{d}{th} {month} {y}", "{d:02}-{mon}-{y}", "{y}-{m:02}-{d:02}",
               "{mon} {y}", "{d:02}.{m:02}.{yy}"],
        "us": ["{m:02}/{d:02}/{y}", "{month} {d}, {y}", "{m}/{d}/{yy}", "{y}-{m:02}-{d:02}", "{mon} {d} {y}",
               "{month} {y}", "{m:02}-{d:02}-{y}"],
    },
    "held_out": {
        "uk": ["{d}/{m}/{yy}", "{d:02}.{m:02}.{y}", "{d} {mon} {yy}", "the [{d}{th} of {month} {y}]", "{d:02}{MON}{y}",
               "{weekday} [{d} {month} {y}]", "{d}{th} {month}", "{m:02}/{y}"],
        "us": ["{mon}. {d}, {y}", "{y}/{m:02}/{d:02}", "{month} {d}{th}, {y}", "{m:02}.{d:02}.{yy}", "{mon} {d}",
               "{weekday}, [{month} {d}, {y}]", "{d}-{MON}-{yy}", "{month} of {y}"],
    },
}  # fmt: skip
# These are dates only by the words before them, so the slot {on_date} has the words.
ON_DATES = {
    "development": {"uk": ["on {d:02}/{m:02}", "since {d}/{m}"], "us": ["on {m}/{d}", "since {m:02}/{d:02}"]},
    "held_out": {"uk": ["until {d}/{m}", "dated {d:02}/{m:02}"], "us": ["from {m}/{d}", "by {m:02}/{d:02}"]},
}
FORMATS: dict[str, dict[str, dict[str, list[str]]]] = {
    "LICENCE": {
        "development": {"uk": ["GMC [71#####]", "GMC no. [60#####]"], "us": ["NPI: [1#########]"]},
        "held_out": {
            "uk": ["GMC number: [70#####]", "NMC PIN [##@####E]"],
            "us": ["DEA# [B@#######]", "License No. [@-######]"],
        },
    },
    "PHONE": {
        "development": {
            "uk": ["0113 496 0###", "07700 900###", "+44 113 496 0###"],
            "us": ["(617) 555-01##", "617-555-01##", "216.555.01##"],
        },
        "held_out": {
            "uk": ["(0114) 496 0###", "07700900###", "+44 (0)114 4960###", "020 7946 0###"],
            "us": ["+1 414 555 01##", "1-414-555-01##", "713 555 01##", "713-555-01## ext. 4##"],
        },
    },
    "RECORD": {
        "development": {
            "uk": ["Hospital No: [@######]", "Hosp. no. [@@#####]", "MRN: [0#######]", "Unit number [######]"],
            "us": ["MRN: [########]", "MRN [#######]", "Medical record number: [###-##-##]", "MR# [#######]"],
        },
        "held_out": {
            "uk": [
                "Hospital number [@#####@]",
                "Patient ID: [PT-00#####]",
                "Case note no: [##/#####]",
                "CRN [#######@]",
            ],
            "us": ["MRN#[##-##-##]", "Chart # [#######]", "Accession number: [S##-#####]", "Record no. [@#######]"],
        },
    },
    "ACCOUNT": {
        "development": {
            "uk": ["account number [########]", "policy no. [@@@#######]"],
            "us": ["Account #: [##########]", "Member ID: [W#########]", "policy number [@@-#######]"],
        },
        "held_out": {
            "uk": ["a/c no [########]", "insurance reference [@@/####/##]", "membership number [#########]"],
            "us": ["Insurance ID [@@@#########]", "Medicaid ID: [##########]", "Acct [#######-##]"],
        },
    },
    "DEVICE": {
        "development": {
            "uk": ["serial number [@@@######@]", "serial no. [######]"],
            "us": ["S/N: [##-###-####]", "serial # [@@#######]"],
        },
        "held_out": {
            "uk": ["device ID [@@##-####]", "serial: [@#########]"],
            "us": ["SN [@@@######]", "Serial Number: [####-@@-###]"],
        },
    },
    "VEHICLE": {
        "development": {"uk": ["registration [@@1# @@@]"], "us": ["license plate [#@@@###]"]},
        "held_out": {"uk": ["number plate [@@6#@@@]"], "us": ["plate number [@@@-####]"]},
    },
    "IP": {
        "development": {"uk": ["10.#.4#.1##"], "us": ["192.168.#.1##"]},
        "held_out": {"uk": ["2001:db8:85a3::8a2e:37#:733#"], "us": ["172.16.#.#"]},
    },
    "POSTCODE": {
        "development": {"uk": ["LS# #~~", "BS1# #~~", "M# #~~"], "us": ["0####", "4####"]},
        "held_out": {"uk": ["S1# #~~", "EC#A #~~", "PL# #~~"], "us": ["7####", "5####-####"]},
    },
}
AGES = {
    "development": ["[9#]-year-old", "[9#] year old", "aged [9#]", "[10#]-year-old", "[ninety-one]-year-old"],
    "held_out": ["[9#] y/o", "age [9#]", "[9#]yo", "[10#] years old", "[ninety-four]-year-old", "[9#] years of age"],
}

# ── layouts ───────────────────────────────────────────────────────────────────────────────────────────────────────────
# Slots: p the patient, k a relative with the same surname, c and g two clinicians. After the dot: full (a style of the
# part), first, last, rev (surname first), initial (initial and surname).
HEADERS = {
    "development": {
        "uk": [
            "{hospital}\n{address}, {city} {postcode}\nTel: {phone}  Fax: {phone}\n\n{date}\n\nDear Dr {g.last}\n\nRe: {p.full}"
            " (DOB {dob})\n{record}   NHS No: {nhs}\n{address}, {city} {postcode}\n\nDiagnosis: {disease}\n\n",
            "DISCHARGE SUMMARY\n{hospital}\nPatient: {p.rev}\nD.O.B.: {dob}    {record}\nAdmitted: {date}   Discharged:"
            " {date}\nConsultant: {c.full}\nGP: Dr {g.initial}, {hospital}\n\n",
            "Clinic date: {date}    Typed: {date}\n{record}\n\nDear {g.first},\n\nThank you for referring this pleasant"
            " {age_young} {person}, {title} {p.last}, with {disease}.\n\n",
            "Ward round, {date}, {c.full} / SHO {g.last}\n{title} {p.last}, {record}\n\n",
            "Radiology report\nName: {p.full}   NHS number {nhs}\nExam date: {date}\nReferrer: Dr {c.initial}\n\n",
            "From: {p.email}\nTo: {email}\nSent: {date} 14:32\nSubject: {p.full}, appointment on {date}\n\nDear Dr {c.last},\n\n",
        ],
        "us": [
            "{hospital}\n{address}\n{city}, {state} {postcode}\n\nPATIENT NAME: {p.rev}\n{record}\nDATE OF BIRTH: {dob}\nDATE OF"
            " ADMISSION: {date}\nDATE OF DISCHARGE: {date}\nATTENDING: {c.full}, M.D.\nSSN: {ssn}\n\n",
            "Patient: {p.full}\nDOB: {dob}  {record}\nDate of service: {date}\nReferring physician: {g.full}, MD\n\nCHIEF"
            " COMPLAINT: follow-up of {disease}.\n\nHPI: {title_dot} {p.last} is a {age_young} {person}.\n\n",
            "{date}\n\nRE: {p.full}\nDOB: {dob}\n\nDear Dr. {g.last}:\n\nI had the pleasure of seeing {title_dot} {p.last} at"
            " {hospital} for {disease}.\n\n",
            "RADIOLOGY\nEXAM: CT CHEST WITHOUT CONTRAST\nPATIENT: {p.rev}  {record}\nEXAM DATE: {date}  ORDERED BY: {c.full},"
            " MD\nCLINICAL HISTORY: {disease}.\n\n",
            "Nursing note {date} 07:15. Pt {p.last}, {record}, {age_young}.\n\n",
            "Message from {p.full} ({p.email}, {phone}) received {date}:\n\nHi Dr. {c.last},\n\n",
        ],
    },
    "held_out": {
        "uk": [
            "Our ref: {record}\nNHS: {nhs}\nDate dictated: {date}\n\nDr {g.initial}\n{hospital}\n{address}\n{city}\n{postcode}\n\nDear"
            " Doctor {g.last}\n\n{title} {p.full}, born {dob}, of {address}, {city}, {postcode}\n\nI reviewed this {person} with"
            " {disease} today.\n\n",
            "DISCHARGE LETTER\nSurname: {p.last}\nForename: {p.first}\nDate of birth: {dob}\n{record}\nWard: 7B\nResponsible"
            " clinician: {c.full}\nAdmission {date}, discharge {date}\n\n",
            "Seen in the memory clinic at {hospital} on {date}.\n\nPROBLEM LIST\n1. {disease}\n2. Osteoarthritis\n\nMany thanks"
            " for asking me to see {title} {p.initial} ({record}).\n\n",
            "{date} 08.40 WR {c.initial} (Cons), Dr {g.last} (FY1)\n{p.rev} {record}\n\n",
            "CT head - {p.full} - {dob} - {record}\nRequested by: {c.full}\nReported {date}\n\n",
            "Subject: query about my results\n\nHello, my name is {p.full} and my date of birth is {dob}. My NHS number is"
            " {nhs}. ",
        ],
        "us": [
            "{hospital}\nDischarge Summary\n\nName: {p.full}\nMR Number: see below\n{record}\nBirth date: {dob}\nAdmit"
            " Date: {date}\nDischarge Date: {date}\nPCP: {g.full}\nAttending Physician: Dr. {c.full}\nSocial Security"
            " Number: {ssn}\n\n",
            "OFFICE VISIT\n{p.full} | {dob} | {record} | {date}\n\nSUBJECTIVE: Pt is a {age_young} {person} with"
            " {disease}, followed by Dr. {g.initial}.\n\n",
            "To Whom It May Concern:\n\nI am writing on bepart of my patient, {p.full} (born {dob}; SS# {ssn}), who"
            " carries a diagnosis of {disease}.\n\n",
            "MRI BRAIN W/O CONTRAST, {date}\nPatient Name: {p.rev}\n{record}\nReferring: {g.full}, DO\nIndication:"
            " {disease}.\n\n",
            "TELEPHONE ENCOUNTER {date}: {p.full} called from {phone}. Taken by {c.first} {c.last}, RN.\n\n",
            "Portal message, {date}\nSender: {p.full} <{p.email}>\nRecipient: {c.full}, NP\n\n",
        ],
    },
}
SENTENCES = {
    "development": [
        "{title} {p.last} lives at {address} with his wife {k.first}.",
        "She was accompanied by her daughter, {k.full}, who can be reached on {phone}.",
        "{title} {p.last} lives in {city} and works for {company}.",
        "He was transferred from {hospital} on {date}.",
        "Surgery was performed by {c.full} on {date} without complications.",
        "I discussed the case with Dr {g.last} at {hospital}.",
        "The scan of {date} was compared with that of {date}.",
        "Next of kin: {k.full} (son), tel. {phone}.",
        "Symptoms began {on_date} and settled after a week.",
        "A pacemaker ({device}) was implanted in {month_year}.",
        "Results will be posted at {url} for the patient to see.",
        "Please contact my secretary on {phone} or at {email}.",
        "He drove himself to the emergency department ({vehicle}).",
        "Insurance: {account}.",
        "Her mother, {k.first} {k.last}, died at 71 of breast cancer.",
        "The patient's grandmother is a {age_old} woman with atrial fibrillation.",
        "His father, {age_old}, has Parkinson's disease.",
        "{p.first} reports that he slept badly.",
        "Mrs {k.last} asked whether the tablets could be stopped.",
        "The portal was last opened from {ip}.",
        "Reviewed with {c.first} {c.last}, who agrees with the plan.",
        "She moved here from {city} in 2016.",
        "Follow-up is booked with {c.full} for {date} at {hospital}.",
        "Blood taken {date}: see below.",
        "Sister {g.last} changed the dressing.",
        "The district nurse, {g.first}, visits twice a week.",
        "{p.last} was seen by the physiotherapist today.",
        "Correspondence to {address}, {city}.",
        "Seen with the medical student {g.full}.",
        "Copy to: {g.full}, {hospital}.",
    ],
    "held_out": [
        "{title} {p.last} resides at {address}, {city}, with her husband {k.first}.",
        "Collateral history came from the brother ({k.full}, {phone}).",
        "{title} {p.last} is originally from {city}; he is employed by {company}.",
        "She had been an inpatient at {hospital} until {date}.",
        "Dr {c.initial} performed the procedure {on_date}.",
        "Many thanks to my colleague {g.full} at {hospital} for the advice.",
        "Compared with {date}, the lesion has grown by 2 mm.",
        "Emergency contact is {k.full}, {phone}.",
        "He first noticed the weakness in {month_year}.",
        "The infusion pump, {device}, was returned to the manufacturer.",
        "Further information can be found on {url}.",
        "Our fax number is {phone}; e-mail {email}.",
        "The car, {vehicle}, was found near {city}.",
        "Billing: {account}.",
        "Daughter {k.first} holds power of attorney.",
        "His aunt lived to be {age_old} and never had a stroke.",
        "She cares for her mother, who is {age_old}.",
        "{p.first} feels that things have got worse since the summer.",
        "I spoke to Mr {k.last} over the telephone.",
        "The login from {ip} was the patient's own.",
        "{c.first} {c.last} from the pain team has kindly agreed to see him.",
        "They spent the winter in {city} with relatives.",
        "An appointment has been made with Professor {c.last} for {date}.",
        "Last menstrual period {date}.",
        "Nurse {g.last} gave the injection.",
        "Social worker {g.first} {g.last} is arranging a package of care.",
        "{p.last} tolerated the procedure well.",
        "A letter was sent to {address}, {city}, last week.",
        "The interpreter, Ms {g.last}, was present throughout.",
        "cc {g.full}; {hospital}.",
    ],
}
TRAPS = {
    "development": [
        "BP 120/80, pulse 72, RR 16, SpO2 98% on air, temp 36.8.",
        "HbA1c 6.5%, creatinine 84 umol/L, eGFR 58, CRP 12.",
        "Glasgow Coma Scale 15/15; AMTS 9/10.",
        "Started on metformin 500 mg twice daily and ramipril 2.5 mg.",
        "The differential includes Crohn's disease, Behçet's disease and tuberculosis.",
        "He scored 12/20 on the questionnaire and 24/30 on the MMSE.",
        "There is a family history of Parkinson disease and Charcot-Marie-Tooth disease.",
        "Past history of Hodgkin lymphoma treated in 2009.",
        "Referred to the Department of Cardiology and the Diabetes Clinic.",
        "No Babinski sign, Romberg negative, Kernig negative.",
        "She uses a Ventolin inhaler and takes Keppra 500 mg at night.",
        "Sequencing showed BRCA1 c.5266dupC and a variant in COL1A1.",
        "MRI of the lumbar spine: disc protrusion at L4/5, C5/6 normal.",
        "He is a retired teacher and never smoked.",
        "Symptoms are worse in winter and in the spring.",
        "Apgar 9/10; birth weight 3420 g; head circumference 34.5 cm.",
        "Hb 13.2, WBC 7.8, platelets 245, Na 139, K 4.1.",
        "The Wells score was 4.5 and the CHA2DS2-VASc score 3.",
        "A 72-year-old neighbour found him on the floor.",
        "A Foley catheter was placed; Doppler ultrasound was normal.",
        "Down syndrome was confirmed by karyotype 47,XY,+21.",
        "She travelled to India last year and to Texas before that.",
        "Gram stain negative; Epstein-Barr virus serology pending.",
        "Amoxicillin 500 mg tds for 7 days, then stop.",
        "Review in 6 weeks, sooner if worse.",
        "Wilson disease was excluded by a caeruloplasmin of 0.28 g/L.",
        "Murphy's sign negative, McBurney's point tender.",
        "ECG: sinus rhythm 72/min, QTc 412 ms.",
        "Ward 12, Bed 4. Seen in the Intensive Care Unit.",
        "Troponin 14 ng/L at 02:30 and 16 ng/L at 05:30.",
    ],
    "held_out": [
        "Blood pressure was 135/85 mmHg lying and 110/70 standing.",
        "HbA1c 48 mmol/mol, TSH 2.35 mU/L, ferritin 210, vitamin D 43 nmol/L.",
        "GCS 14 (E4 V4 M6), NIHSS 6/42, pain 7/10.",
        "Commenced atorvastatin 40 mg nocte and bisoprolol 1.25 mg od.",
        "We considered Sjögren syndrome, Graves' disease and Whipple disease.",
        "Montreal Cognitive Assessment 21/30, Barthel index 14/20.",
        "Her sister has Huntington disease and an uncle had Wilson's disease.",
        "She was treated for Hashimoto thyroiditis between 2011 and 2014.",
        "I have referred her to the Movement Disorders Clinic and to Physiotherapy.",
        "Lhermitte's phenomenon was present, Hoffmann negative, Tinel positive.",
        "Takes Seroquel 25 mg and apixaban 5 mg bd; Nurofen as needed.",
        "A pathogenic variant in FBN1, c.4786C>T (p.Arg1596Ter), was found.",
        "X-ray: T12 wedge fracture, L1/2 disc space narrowed.",
        "Lives alone, independent, drinks 14 units a week.",
        "Hay fever every summer; chilblains in cold weather.",
        "Gravida 3 para 2; gestation 38+4; liquor 8.2 cm.",
        "Albumin 38, ALP 104, ALT 22, bilirubin 9, INR 1.1.",
        "The CURB-65 score was 2 and the Glasgow-Blatchford score 5.",
        "The 45-year-old driver of the other car was unharmed.",
        "A Hickman line was sited; a Holter monitor showed no pauses.",
        "Turner syndrome had been diagnosed at 13 years.",
        "He has just come back from Spain, and from California before that.",
        "Ziehl-Neelsen stain negative; Coxsackie titres not raised.",
        "Co-amoxiclav 625 mg three times daily for 5/7.",
        "To be seen again in 3 months with bloods.",
        "No features of Cushing syndrome or Addison disease.",
        "Phalen's test positive, Trendelenburg gait on the right.",
        "Echo: EF 55-60%, E/A 0.8, aortic root 34 mm.",
        "Transferred from the Acute Medical Unit to Ward 31, bay 2.",
        "Glucose 5.6 at 08:00; lactate 1.2; pH 7.38; base excess -1.4.",
    ],
}
CLOSINGS = {
    "development": {
        "uk": ["\n\nYours sincerely,\n\n{c.full}\nConsultant Neurologist\n{hospital}", "\n\nDr {c.full}\n{licence}",
               "\n\nElectronically signed by {c.full} on {date}"],
        "us": ["\n\nElectronically signed by: {c.full}, MD {date}", "\n\n{c.full}, M.D. ({licence})\nDictated: {date}  Transcribed:"
               " {date}", "\n\nThanks,\n{c.first}"],
    },
    "held_out": {
        "uk": ["\n\nWith kind regards\n\nDr {c.full} MBBS MRCP ({licence})\nSpecialist Registrar to {g.full}", "\n\nSigned {c.initial}, {date}",
               "\n\nBest wishes\n{p.first}\n{phone}"],
        "us": ["\n\nDictated by {c.full}, MD, {hospital}", "\n\nSincerely,\n{c.full}, MD, PhD\n{licence}\n{phone} (office)",
               "\n\nReport signed by {c.rev}, {date}"],
    },
}  # fmt: skip
DISEASES = {
    "development": ["Crohn's disease", "Parkinson disease", "Hodgkin lymphoma", "Marfan syndrome", "type 2 diabetes",
                    "Kabuki syndrome 1", "Guillain-Barré syndrome", "asthma", "Fabry disease", "Alzheimer's dementia"],
    "held_out": ["Wilson disease", "Noonan syndrome 4", "Huntington's disease", "Ehlers-Danlos syndrome", "migraine",
                 "Charcot-Marie-Tooth disease type 1A", "Kawasaki disease", "Gaucher disease", "heart failure", "Rett syndrome"],
}  # fmt: skip

# ── the third part, written after the second had been looked at ───────────────────────────────────────────────────────
FINAL = "final"
GIVEN[FINAL] = (
    "Alice Beatrice Chiara Divya Eleanor Freya Gemma Hyacinth Ilse Joanna Kavita Lorraine Maeve Nkechi Ottoline Parvati Renée"
    " Svetlana Tabitha Ursula Verity Yasmin Arjun Benedict Clifford Dmitri Emeka Frederick Giovanni Hamish Isaac Joaquín Kelechi"
    " Lucas Mateusz Neville Oscar Percival Ronan Samir Terence Umar Vincent Xavier Zachary Hope Will"
).split()  # fmt: skip
SURNAME[FINAL] = (
    "Williams Ackroyd Bhattacharya O'Reilly Söderberg Jiménez Zhang Lewandowski Eze Henderson Choudhury Espinoza"
    " Moreau Hollingsworth Rodríguez Bernstein Bevan Mahmood Lincoln Wiśniewski Rhydderch McCormack Kobayashi Balogun Butterworth"
    " O'Donoghue Rosenberg Cartwright Shostakovich Winterbottom Krishnamurthy Sidebottom Suzuki Pawlak Huntington Sjögren Turner"
    " Green Short ten+Boom de+la+Cruz El-Sayed Montague-Jones Khumalo Tran Hebblethwaite Steinmetz Ravenscroft"
).split()  # fmt: skip
CITY[FINAL] = {
    "uk": ["Bradford", "Newport", "Lincoln", "Inverness", "Bournemouth", "Oldham", "Shrewsbury", "Lisburn", "Bath"],
    "us": ["Denver", "Omaha", "Santa Fe", "Tacoma", "Baltimore", "Knoxville", "Sioux Falls", "Dayton", "Mobile"],
}
HOSPITAL[FINAL] = {
    "uk": ["St George's Hospital", "{city} Victoria Infirmary", "Great Ormond Street Hospital", "Riverbank Surgery",
           "Ash Tree House Care Home", "NHS Greater {city}", "Royal Free Hospital"],
    "us": ["Good Samaritan Medical Center", "{city} VA Medical Center", "Sacred Heart Hospital", "Hillcrest Pediatrics",
           "Beth Israel Deaconess", "Golden Acres Rehabilitation Center", "{city} Regional Hospital"],
}  # fmt: skip
STREET[FINAL] = {
    "uk": ["Cavendish Square", "Hawthorn Grove", "Bridge St", "Upper Brook Street", "Saltergate"],
    "us": ["Martin Luther King Jr Blvd", "Walnut Cir", "S Main St", "Highland Avenue", "42nd Street"],
}
STATE[FINAL] = ["CO", "NE", "MD", "AL", "SD"]
COMPANY[FINAL] = ["Rolls-Royce", "Amazon"]
DATES[FINAL] = {
    "uk": [
        "{d}.{m}.{y}",
        "{d}{th} {mon} {y}",
        "{d:02} {MON} {y}",
        "{d}-{m}-{y}",
        "{d:02}/{mon}/{y}",
        "{d} {month}, {y}",
    ],
    "us": ["{mon} {d}, {y}", "{m}-{d}-{y}", "{d} {mon} {y}", "{MON} {d}, {y}", "{y}.{m:02}.{d:02}", "{m}/{d}/{y}"],
}
ON_DATES[FINAL] = {"uk": ["after {d}/{m}", "before {d:02}/{m:02}"], "us": ["due {m}/{d}", "seen {m:02}/{d:02}"]}
for _kind, _forms in {
    "LICENCE": {"uk": ["GMC: [7######]", "HCPC no [PH######]"], "us": ["NPI [1#########]"]},
    "PHONE": {"uk": ["0121-496-0###", "07700-900-###", "0044 121 496 0###"], "us": ["(303)555-01##", "303/555-01##", "1 (303) 555-01##"]},
    "RECORD": {
        "uk": ["Hosp No [@@@####]", "MRN [######]", "Ref: [@@/#######]", "Hospital Number [##-##-##]"],
        "us": ["MRN = [########]", "Med Rec #: [######-#]", "Encounter # [#########]", "Patient # [#######]"],
    },
    "ACCOUNT": {"uk": ["Bupa membership no. [########]", "account [########]"], "us": ["Medicare number [#@@#-@@#-@@##]", "Group # [#####-##]"]},
    "DEVICE": {"uk": ["serial number: [##@@######]", "S/N [#######]"], "us": ["serial no [@@@-######]", "Lot # [@####@#]"]},
    "VEHICLE": {"uk": ["reg [@@5# @@@]"], "us": ["license plate number [###-@@@]"]},
    "IP": {"uk": ["81.2.69.1##"], "us": ["fe80::1ff:fe23:4567:89#a"]},
    "POSTCODE": {"uk": ["BD# #~~", "SW#A #~~", "B1# #~~"], "us": ["8####", "2####"]},
}.items():  # fmt: skip
    FORMATS[_kind][FINAL] = _forms
AGES[FINAL] = ["[9#]-yr-old", "[9#] years old", "aged [10#]", "[9#] y.o.", "[ninety-six] year old"]
HEADERS[FINAL] = {
    "uk": [
        "Private and confidential\n\n{p.full}\n{address}\n{city}\n{postcode}\n\n{date}\n\nDear {title} {p.last}\n\nThank you for coming to"
        " see us with {disease}. {record}. ",
        "OUTPATIENT LETTER\nPt: {p.full}  DOB: {dob}  {record}  NHS {nhs}\nSeen by: Dr {c.full}, on {date}\n\nDear Dr {g.last},\n\n",
        "Handover {date}\nBed 6: {p.last}, {p.first}. {age_young}. {disease}. {record}. Under {c.last}.\n",
        "HISTOPATHOLOGY\nSurname {p.last}  Forename {p.first}  Sex F  Born {dob}\n{record}\nRequesting doctor: {c.initial}\n\n",
    ],
    "us": [
        "HISTORY AND PHYSICAL\nPt Name: {p.rev}    {record}\nAdmit date: {date}   DOB: {dob}\nSSN {ssn}\nPrimary physician: {g.full}, M.D.\n\nThis is"
        " a {age_young} {person} with {disease}. ",
        "Dear Dr. {g.full},\n\nThank you for the referral of {p.full}, a {age_young} {person} from {city}, {state} {postcode}. ",
        "EMERGENCY DEPARTMENT NOTE - {date}\n{title_dot} {p.full} ({record}) arrived by ambulance from {address}, {city}. ",
        "Secure message from {p.full}, {date}: ",
    ],
}  # fmt: skip
SENTENCES[FINAL] = [
    "{title} {p.last} came with {k.first}, her cousin.",
    "His partner {k.full} phoned from {phone} to cancel.",
    "I have asked {g.full} to see him at {hospital}.",
    "{p.first} is managing well at home.",
    "Mr and Mrs {k.last} were both present.",
    "Dr {c.last}'s team will review him on {date}.",
    "Thank you, {g.first}, for your help.",
    "She lives near {city} and is employed by {company}.",
    "The defibrillator has {device}.",
    "Please send the invoice to {account}.",
    "His mobile is {phone} and his address is {address}, {city}.",
    "Her uncle is {age_old} and in good health.",
    "There was an accident involving a van, {vehicle}, {on_date}.",
    "The questionnaire is at {url}, or write to {email}.",
    "According to {k.first}, the fits began in {month_year}.",
    "Operation note of {date}: surgeon {c.full}, assistant {g.full}.",
    "He was born in {city} and adopted.",
    "The device reported to {ip}.",
    "Discharged to {hospital} on {date}.",
    "{k.first} and {p.first} were married last year.",
]
TRAPS[FINAL] = [
    "BP 98/62, HR 110, RR 22, GCS 15, BM 7.2.",
    "Sodium 131, potassium 5.2, urea 9.8, CK 1240.",
    "Mini-Mental State Examination 27/30; Epworth score 9/24.",
    "Takes Lipitor 20 mg, Eliquis 5 mg and levothyroxine 75 mcg.",
    "There is no evidence of Paget disease, Ménière disease or Bell's palsy.",
    "Family history of von Willebrand disease and Duchenne muscular dystrophy.",
    "Virchow's node not felt; Trousseau sign absent; Osler nodes absent.",
    "Echo showed an ejection fraction of 45-50%.",
    "Barrett's oesophagus was seen, Prague C2M4.",
    "Admitted under General Medicine, moved to the Stroke Unit, Bay 3.",
    "An 88-year-old resident had the same rash.",
    "MRI: T2 hyperintensity at C3/4; Schmorl's nodes at T11/12.",
    "She had visited Kenya in the autumn.",
    "Swan-Ganz catheter removed; Ryles tube in place.",
    "Variant c.1521_1523delCTT in CFTR, classified as pathogenic.",
    "Alvarado score 7, Child-Pugh B, Ranson criteria 2.",
    "Peak flow 380 L/min; FEV1/FVC 0.68.",
    "He takes 1/2 tablet at night and 10 units of Lantus.",
    "Diagnosed with Kaposi sarcoma in 1998.",
    "To continue physiotherapy; review at 12 weeks.",
]
CLOSINGS[FINAL] = {
    "uk": ["\n\nYours faithfully\n\n{c.full}\nST5 in Cardiology\n{licence}", "\n\nRegards,\nDr {c.initial}", "\n\nDictated but not signed: {c.full}, {date}"],
    "us": ["\n\n{c.full}, DO\n{licence}", "\n\n/s/ {c.full} {date}", "\n\nBest,\n{c.full}\n{phone}"],
}  # fmt: skip
DISEASES[FINAL] = [
    "Paget disease",
    "Down syndrome",
    "Duchenne muscular dystrophy",
    "Bell's palsy",
    "gout",
    "von Willebrand disease",
]

_SLOT = re.compile(r"\{([a-z_]+)(?:\.([a-z]+))?\}")


@dataclass(frozen=True)
class Person:
    first: str
    last: str
    middle: str


class Writer:
    """Writes the notes of one patient; what is the same in all of them (name, birth, numbers) is drawn once."""

    def __init__(self, part: str, style: str, rng: random.Random) -> None:
        self.part, self.style, self.rng = part, style, rng
        self.female = rng.random() < 0.5
        self.p = self._drawn()
        self.k = Person(rng.choice(GIVEN[part]), self.p.last, "")
        self.born = date(rng.randint(1940, 2012), rng.randint(1, 12), rng.randint(1, 28))
        self.record = self._digits(rng.choice(FORMATS["RECORD"][part][style]))
        self.seen = date(rng.randint(2013, 2024), 1, 1) + timedelta(days=rng.randint(0, 364))

    def note(self, number: int) -> Note:
        rng, part = self.rng, self.part
        self.c, self.g = self._drawn(), self._drawn()
        body = rng.sample(SENTENCES[part], rng.randint(4, 8)) + rng.sample(TRAPS[part], rng.randint(3, 7))
        rng.shuffle(body)
        layout = rng.choice(HEADERS[part][self.style]) + " ".join(body) + rng.choice(CLOSINGS[part][self.style])
        pieces: list[str] = []
        planted: list[tuple[int, int, str]] = []
        length = end = 0
        for slot in _SLOT.finditer(layout):
            for text, kind in [(layout[end : slot.start()], ""), *self._fill(slot[1], slot[2])]:
                if kind:
                    planted.append((length, length + len(text), kind))
                pieces.append(text)
                length += len(text)
            end = slot.end()
        pieces.append(layout[end:])
        patient = f"{self.part}-{self.p.last}-{self.record}"
        return Note(f"{part}-{number:04d}", patient, "".join(pieces), tuple(planted))

    def _drawn(self) -> Person:
        first, middle = self.rng.sample(GIVEN[self.part], 2)
        return Person(first, self.rng.choice(SURNAME[self.part]).replace("+", " "), middle)

    def _fill(self, slot: str, form: str | None) -> list[tuple[str, str]]:
        """The pieces that stand for a slot: (text, type), with an empty type for what is no identifier."""
        if slot in ("p", "k", "c", "g"):
            person = getattr(self, slot)
            assert form is not None
            if form == "email":
                return [(f"{_ascii(person.first[:1])}.{_ascii(person.last)}@example.com".lower(), "EMAIL")]
            return [(self._named(person, form), "NAME")]
        return getattr(self, f"_{slot}")() if hasattr(self, f"_{slot}") else self._formatted(slot)

    def _named(self, person: Person, form: str) -> str:
        first, last, middle = person.first, person.last, person.middle or "Ann"
        if form == "initial":
            return f"{first[0]} {last}" if self.part == "development" else f"{first[0]}. {last}"
        styles: dict[str, list[Callable[[], str]]] = {
            "full": [lambda: f"{first} {last}", lambda: f"{first} {middle[0]}. {last}", lambda: f"{first} {middle} {last}"],
            "rev": [lambda: f"{last.upper()}, {first}", lambda: f"{last}, {first}"],
        }  # fmt: skip
        if self.part == "final":
            styles = {
                "full": [lambda: f"{first} {last}", lambda: f"{first[0]}. {last}", lambda: f"{first[0]}. {middle[0]}. {last}"],
                "rev": [lambda: f"{last.upper()},{first.upper()}", lambda: f"{last}, {first} {middle}"],
            }  # fmt: skip
        if self.part == "held_out":
            styles = {
                "full": [lambda: f"{first} {last}", lambda: f"{first} {last.upper()}", lambda: f"{first.upper()} {last.upper()}"],
                "rev": [lambda: f"{last.upper()}, {first.upper()}", lambda: f"{last}, {first} {middle[0]}."],
            }  # fmt: skip
        return self.rng.choice(styles[form])() if form in styles else str(getattr(person, form))

    def _formatted(self, slot: str) -> list[tuple[str, str]]:
        """RECORD and the like: a label and, in brackets, the number; or a number alone."""
        kind = slot.upper()
        form = self.record if slot == "record" else self.rng.choice(FORMATS[kind][self.part][self.style])
        return _bracketed(form if slot == "record" else self._digits(form), kind)

    def _digits(self, form: str) -> str:
        """The form with its # and @ drawn, those in brackets only where there are brackets."""
        fill = {"#": "0123456789", "@": "ABCDEFGHJKLMNPRSTUVWXYZ", "~": "ABDEFGHJLNPQRSTUWXYZ"}
        if "[" in form:
            return re.sub(r"\[.*\]", lambda inside: "[" + self._digits(inside[0][1:-1]) + "]", form)
        return "".join(self.rng.choice(fill[c]) if c in fill else c for c in form)

    def _title(self) -> list[tuple[str, str]]:
        return [(self.rng.choice(["Mrs", "Miss", "Ms"]) if self.female else "Mr", "")]

    def _title_dot(self) -> list[tuple[str, str]]:
        return [(self.rng.choice(["Mrs.", "Ms."]) if self.female else "Mr.", "")]

    def _person(self) -> list[tuple[str, str]]:
        return [(self.rng.choice(["woman", "lady"] if self.female else ["man", "gentleman"]), "")]

    def _disease(self) -> list[tuple[str, str]]:
        return [(self.rng.choice(DISEASES[self.part]), "")]

    def _company(self) -> list[tuple[str, str]]:
        return [(self.rng.choice(COMPANY[self.part]), "ORGANIZATION")]

    def _state(self) -> list[tuple[str, str]]:
        return [(self.rng.choice(STATE[self.part]), "")]

    def _age_young(self) -> list[tuple[str, str]]:
        return [(self.rng.choice(["{}-year-old", "{} year old", "{} yo"]).format(self.rng.randint(19, 89)), "")]

    def _age_old(self) -> list[tuple[str, str]]:
        return _bracketed(self._digits(self.rng.choice(AGES[self.part])), "AGE")

    def _city(self) -> list[tuple[str, str]]:
        return [(self.rng.choice(CITY[self.part][self.style]), "PLACE")]

    def _hospital(self) -> list[tuple[str, str]]:
        form = self.rng.choice(HOSPITAL[self.part][self.style])
        return [(form.format(city=self.rng.choice(CITY[self.part][self.style])), "ORGANIZATION")]

    def _address(self) -> list[tuple[str, str]]:
        flat = {"uk": ["Flat 3, ", "12 Rose Court, "], "us": ["Apt 4B, ", "Suite 210, "]}[self.style]
        street = self.rng.choice(STREET[self.part][self.style])
        number = self.rng.randint(1, 99) if self.style == "uk" else self.rng.randint(100, 9899)
        before = self.rng.choice(flat) if self.rng.random() < 0.2 else ""
        return [(f"{before}{number} {street}", "ADDRESS")]

    def _email(self) -> list[tuple[str, str]]:
        domain = {"uk": "nhs.example.uk", "us": "hospital.example.org"}[self.style]
        form = {"development": "{a}.{b}@{d}", "held_out": "{b}_{a}@{d}", "final": "{a}{b}7@{d}"}[self.part]
        return [(form.format(a=_ascii(self.c.first), b=_ascii(self.c.last), d=domain).lower(), "EMAIL")]

    def _url(self) -> list[tuple[str, str]]:
        forms = {
            "development": ["https://results.example.org/p/{}", "www.example.com/patients/{}"],
            "final": ["https://www.example.org/forms?p={}", "http://example.edu/{}"],
            "held_out": ["http://portal.example.net/view?id={}", "myhealth.example.co.uk/u/{}"],
        }
        return [(self.rng.choice(forms[self.part]).format(self.rng.randint(1000, 99999)), "URL")]

    def _nhs(self) -> list[tuple[str, str]]:
        while True:
            nine = [self.rng.randint(0, 9) for _ in range(9)]
            check = 11 - sum(digit * weight for digit, weight in zip(nine, range(10, 1, -1), strict=True)) % 11
            if check != 10 and nine[0] in (4, 6, 7, 9):
                digits = "".join(map(str, [*nine, check % 11]))
                sep = self.rng.choice(["", " "] if self.part == "development" else ["-", " "])
                return [(sep.join((digits[:3], digits[3:6], digits[6:])), "NATIONAL_ID")]

    def _ssn(self) -> list[tuple[str, str]]:
        sep = "-" if self.part == "development" else self.rng.choice(["", " "])
        area, group, serial = self.rng.randint(100, 665), self.rng.randint(10, 99), self.rng.randint(1000, 9999)
        return [(f"{area}{sep}{group}{sep}{serial}", "NATIONAL_ID")]

    def _dob(self) -> list[tuple[str, str]]:
        full = [form for form in DATES[self.part][self.style] if "{d" in form and "{y" in form]
        return _bracketed(_dated(self.born, self.rng.choice(full)), "DATE")

    def _date(self) -> list[tuple[str, str]]:
        when = self.seen + timedelta(days=self.rng.randint(-400, 400))
        full = [form for form in DATES[self.part][self.style] if "{d" in form]
        return _bracketed(_dated(when, self.rng.choice(full)), "DATE")

    def _month_year(self) -> list[tuple[str, str]]:
        when = self.seen - timedelta(days=self.rng.randint(0, 2000))
        form = {
            "development": ["{month} {y}", "{mon} {y}"],
            "held_out": ["{m:02}/{y}", "{month} of {y}"],
            "final": ["{month}, {y}", "{MON} {y}"],
        }[self.part]
        return _bracketed(_dated(when, self.rng.choice(form)), "DATE")

    def _on_date(self) -> list[tuple[str, str]]:
        word, text = _dated(self.seen, self.rng.choice(ON_DATES[self.part][self.style])).split(" ", 1)
        return [(word + " ", ""), (text, "DATE")]


def _bracketed(text: str, kind: str) -> list[tuple[str, str]]:
    before, bracket, rest = text.partition("[")
    if not bracket:
        return [(text, kind)]
    inside, _, after = rest.partition("]")
    return [(before, ""), (inside, kind), (after, "")]


def _ascii(name: str) -> str:
    return re.sub(r"[^A-Za-z]", "", name.replace("é", "e").replace("í", "i").replace("ö", "o").replace("è", "e"))


def _dated(when: date, form: str) -> str:
    month = MONTHS[when.month - 1]
    th = "th" if 4 <= when.day % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(when.day % 10, "th")
    return form.format(
        d=when.day, m=when.month, y=when.year, yy=f"{when.year % 100:02}", month=month, mon=month[:3],
        MON=month[:3].upper(), th=th, weekday=when.strftime("%A"),
    )  # fmt: skip


def notes(part: str, count: int = 300, seed: int = 0) -> Iterator[Note]:
    """``count`` notes of one part, always the same for a seed; two to a patient, British and American in turn."""
    rng = random.Random(f"{part}/{seed}")
    for number in range(0, count, 2):
        writer = Writer(part, ("uk", "us")[number // 2 % 2], rng)
        yield from (writer.note(n) for n in range(number, min(number + 2, count)))
