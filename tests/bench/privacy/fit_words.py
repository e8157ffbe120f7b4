"""Fits `include/privacy/words.json.gz` on sentences of our own: PYTHONPATH=. python tests/bench/privacy/fit_words.py

Names, places and companies are Faker's of many countries; ordinary words stand beside them, from Python's own manual,
the sandbox's tickets, SCOWL's word list (Debian's wamerican-small), and six other languages from Faker and from
Airflow's pages. Nothing of a measured data set goes in. With PYTHONHASHSEED=1 the texts
are the same every time: Faker draws from sets.
"""

from __future__ import annotations

import gzip
import importlib
import json
import random
import re
import tempfile
import tomllib
import zlib
from collections import Counter
from pathlib import Path
from pydoc_data.topics import topics

import airflow
import pycrfsuite
from faker import Faker

from include.privacy.tagging import FILE, TOKEN, features_of
from include.settings import ROOT

Filled = tuple[str, list[tuple[int, int, str]]]
"""A text, with where it was filled in and what that is."""
OTHER = {"de": "de_DE", "fr": "fr_FR", "es": "es_ES", "it": "it_IT", "nl": "nl_NL", "pl": "pl_PL"}
"""Languages of tickets beside English, by Airflow's name and Faker's."""
GREETED = {
    "de": (
        "Hallo",
        "Guten Tag",
        "Moin",
        "Guten Morgen",
        "Liebe",
        "Lieber",
        "Hallo Frau",
        "Hallo Herr",
        "Sehr geehrter Herr",
    ),
    "fr": ("Bonjour", "Salut", "Bonsoir", "Cher", "Chère", "Madame", "Monsieur"),
    "es": ("Hola", "Buenos días", "Buenas tardes", "Estimado", "Estimada", "Querida"),
    "it": ("Ciao", "Buongiorno", "Salve", "Gentile", "Caro", "Cara"),
    "nl": ("Hallo", "Goedemorgen", "Beste", "Geachte heer", "Geachte mevrouw"),
    "pl": ("Cześć", "Dzień dobry", "Witam", "Szanowny Panie", "Szanowna Pani"),
}
ENDED = {
    "de": ("Viele Grüße", "Mit freundlichen Grüßen", "Danke", "VG", "LG", "Besten Dank", "Vielen Dank", "Gruß"),
    "fr": ("Merci", "Cordialement", "Bien à vous", "Merci d'avance", "Salutations", "Bonne journée"),
    "es": ("Gracias", "Un saludo", "Saludos", "Saludos cordiales", "Muchas gracias", "Atentamente"),
    "it": ("Grazie", "Cordiali saluti", "Saluti", "Grazie mille", "Distinti saluti"),
    "nl": ("Bedankt", "Met vriendelijke groet", "Groeten", "Dank u", "Alvast bedankt"),
    "pl": ("Dziękuję", "Pozdrawiam", "Z poważaniem", "Z góry dziękuję"),
}
ROUNDS = 90
"""How often each sentence is filled in."""
LABELS = {
    "P": "name",
    "F": "name",
    "L": "name",
    "A": "address",
    "S": "address",
    "O": "company",
    "C": "place",
    "K": "place",
}
PEOPLE = [
    "cs_CZ",
    "da_DK",
    "de_AT",
    "de_CH",
    "de_DE",
    "en_GB",
    "en_IE",
    "en_IN",
    "en_KE",
    "en_NG",
    "en_NZ",
    "en_US",
    "es_AR",
    "es_CL",
    "es_CO",
    "es_ES",
    "es_MX",
    "et_EE",
    "fi_FI",
    "fr_BE",
    "fr_CH",
    "fr_FR",
    "fr_QC",
    "ga_IE",
    "ha_NG",
    "hr_HR",
    "hu_HU",
    "id_ID",
    "ig_NG",
    "is_IS",
    "it_IT",
    "lt_LT",
    "lv_LV",
    "nl_BE",
    "nl_NL",
    "no_NO",
    "pl_PL",
    "pt_BR",
    "pt_PT",
    "ro_RO",
    "sk_SK",
    "sl_SI",
    "sv_SE",
    "sw",
    "tr_TR",
    "tw_GH",
    "uz_UZ",
    "yo_NG",
    "zu_ZA",
    "vi_VN",
    "az_AZ",
]
CYRILLIC = ("ru_RU", "uk_UA", "bg_BG")
PLACES = [
    "en_US",
    "en_GB",
    "de_DE",
    "fr_FR",
    "es_ES",
    "it_IT",
    "nl_NL",
    "pl_PL",
    "cs_CZ",
    "hu_HU",
    "fi_FI",
    "sv_SE",
    "no_NO",
    "da_DK",
    "hr_HR",
    "sl_SI",
    "pt_BR",
    "ro_RO",
    "et_EE",
]
WORDS = Path("/usr/share/dict/american-english-small")
FORGOTTEN = 14
"""One ordinary word in so many is taken for unknown while fitting: texts to come have words that no list has."""
LEANS = 1.5
"""Added to what speaks for a name: one that is overlooked has left, and a word that is taken for one comes back."""
_LETTERS = dict(
    zip(
        ""
        "\u0430\u0431\u0432\u0433\u0434\u0435\u0436\u0437\u0438\u0439\u043a\u043b\u043c\u043d\u043e\u043f\u0440\u0441\u0442\u0443\u0444\u0445\u0446\u0447\u0448\u0449\u044a\u044b\u044c\u044d\u044e\u044f\u0456\u0457\u0454\u0491\u0451",
        [
            "a",
            "b",
            "v",
            "g",
            "d",
            "e",
            "zh",
            "z",
            "i",
            "y",
            "k",
            "l",
            "m",
            "n",
            "o",
            "p",
            "r",
            "s",
            "t",
            "u",
            "f",
            "kh",
            "ts",
            "ch",
            "sh",
            "shch",
            "",
            "y",
            "",
            "e",
            "yu",
            "ya",
            "i",
            "yi",
            "ye",
            "g",
            "yo",
        ],
        strict=True,
    )
)
_BESIDE = ("de", "van", "van der", "von", "da", "dos", "al", "Mac", "O'", "bin", "le", "della")
_STREETS = (
    "{n} {w} Street", "{n} {w} St", "{n} {w} Road", "{n} {w} Ave", "{n} {w} Avenue", "{n} {w} Lane",
    "{n} {w} Drive", "{w} {n}", "{w} {n}", "{w}straße {n}", "{w}str. {n}", "{w}weg {n}", "{n} rue {w}",
    "Calle {w} {n}", "Via {w} {n}", "ul. {w} {n}", "{w} u. {n}.", "{w}gata {n}", "{w} utca {n}.", "{w} vej {n}",
    "{n} {n} {w} St", "{w} Str. {n}", "{w} {w} {n}", "{n} {w} {w} Squares", "{n} {n} {w} Suite {n}",
    "the corner of {w} and {w}", "P.O. Box {n}",
)  # fmt: skip
_LINES = (
    "{s}\n{c}\n{k} {z}",
    "{s}\n Suite {n}\n {c}\n {k} {z}",
    "{s}, {c} {z}",
    "{s}, {z} {c}",
    "{s}\n{z} {c}\n{k}",
    "{s}\n Apt. {n}\n {c}\n\n {k} {z}",
    "{s}, {c}, {k}",
    "{s} {c} {z}",
    "{s}\n{c}, {k}\n {z}",
    "PSC {n}, Box {n}\nAPO AA {z}",
    "Unit {n} Box {n}\nDPO AE {z}",
)


class Pools:
    """What the places in a sentence are filled with."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.first, self.last = _names_of(PEOPLE), _names_of(PEOPLE, "last")
        for locale in CYRILLIC:
            self.first[locale] = [_latin(one) for one in _names_of((locale,))[locale]]
            self.last[locale] = [_latin(one) for one in _names_of((locale,), "last")[locale]]
        Faker.seed(seed)  # which of several countries comes next is drawn from what all share
        faker = Faker(PLACES)
        faker.seed_instance(seed)
        english = Faker("en_US")
        english.seed_instance(seed)
        self.cities = [faker.city() for _ in range(4000)]
        self.countries = [english.country() for _ in range(400)]
        self.streets = [faker.street_name() for _ in range(4000)]
        self.companies = [english.company() for _ in range(1500)] + [faker.company() for _ in range(1500)]
        self.jobs = [english.job() for _ in range(1000)]
        self.words = [one for one in _listed() if 2 < len(one) < 12]
        self.sold = [
            "laptop",
            "coffee machine",
            "Wireless Headset",
            "office chair",
            "Pro licence",
            "printer",
            "Smart Lamp X2",
        ]

    def person(self) -> tuple[str, str]:
        locale = self.random.choice(list(self.first))
        first, last = self.random.choice(self.first[locale]), self.random.choice(self.last[locale])
        if self.random.random() < 0.06:
            last = f"{self.random.choice(_BESIDE)} {last}".replace("' ", "'")
        if self.random.random() < 0.04:
            last += "-" + self.random.choice(self.last[locale])
        return first, last

    def fill(self, slot: str) -> str:
        r = self.random
        if slot in "PFL":
            first, last = self.person()
            if slot == "F":
                return first
            if slot == "L":
                return last
            middle = r.choice("ABCDEFGHIJKLMNOPRSTVWZ")
            forms = (f"{first} {last}",) * 7 + (
                f"{first} {middle}. {last}",
                f"{first} {middle} {last}",
                first,
                f"{last}, {first}",
                f"{first[0]}. {last}",
                f"{first} {last.upper()}",
            )
            return r.choice(forms)
        if slot == "S":
            return self.street()
        if slot == "A":
            form = r.choice(_LINES)
            return form.format(
                s=self.street(),
                n=r.randint(1, 999),
                c=r.choice(self.cities),
                k=r.choice(self.countries),
                z=r.choice(("%05d", "%04d")) % r.randint(1000, 99999),
            )
        if slot == "D":
            return r.choice(
                (
                    f"{r.randint(1, 28)}/{r.randint(1, 12)}/{r.randint(1930, 2026)}",
                    f"{r.randint(1930, 2026)}-0{r.randint(1, 9)}-{r.randint(10, 28)}",
                    str(r.randint(1930, 2026)),
                )
            )
        if slot == "M":
            return r.choice(
                [
                    "Monday",
                    "Tuesday",
                    "Wednesday",
                    "Thursday",
                    "Friday",
                    "Saturday",
                    "Sunday",
                    "January",
                    "February",
                    "March",
                    "April",
                    "May",
                    "June",
                    "July",
                    "August",
                    "September",
                    "October",
                    "November",
                    "December",
                ]
            )
        if slot == "N":
            return str(r.randint(1, 10 ** r.randint(1, 12)))
        if slot == "T":
            return f"+{r.randint(1, 99)} {r.randint(10, 999)} {r.randint(1000, 9999999)}"
        if slot == "E":
            return f"{self.random.choice(self.jobs).split()[0].lower()}@example.com"
        if slot == "O":
            words = (r.choice(self.sold).title().split()[0], r.choice(self.streets).split()[0])
            return r.choice(
                (
                    r.choice(self.companies),
                    r.choice(self.companies),
                    r.choice(words)
                    + r.choice(
                        ("ly", "ify", " Labs", " Inc", "Hub", " Corporation", "soft", "", "Works", " Systems", " Group")
                    ),
                )
            )
        if slot in "WV":
            word = r.choice(self.words)
            return word if slot == "W" else word.title()
        return r.choice({"C": self.cities, "K": self.countries, "J": self.jobs, "X": self.sold}[slot])

    def street(self) -> str:
        r = self.random

        def word() -> str:
            pool = r.choice((self.streets, self.cities, self.last[r.choice(list(self.last))]))
            return re.split(r"[ ]", r.choice(pool))[0]

        if r.random() < 0.3:
            return r.choice(
                (f"{r.choice(self.streets)} {r.randint(1, 300)}", f"{r.randint(1, 9999)} {r.choice(self.streets)}")
            )
        return re.sub(
            r"\{(\w)\}",
            lambda m: str(r.randint(1, 99999 if r.random() < 0.2 else 400)) if m[1] == "n" else word(),
            r.choice(_STREETS),
        )


def _names_of(locales: tuple[str, ...] | list[str], which: str = "first") -> dict[str, list[str]]:
    found = {}
    for locale in locales:
        provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
        names: set[str] = set()
        for kind in ("", "_male", "_female", "_unisex", "_nonbinary"):
            listed = getattr(provider, f"{which}_names{kind}", ())
            names |= set() if isinstance(listed, property) else set(listed or ())
        found[locale] = sorted(str(one) for one in names if one)
    return {locale: names for locale, names in found.items() if names}


def _listed() -> list[str]:
    return [one for one in WORDS.read_text(encoding="utf-8").split() if one.isalpha() and one.islower()]


class _Forgetful(frozenset[str]):
    """Ordinary words, of which some are forgotten for each text."""

    text = 0

    def __contains__(self, word: object) -> bool:
        return super().__contains__(word) and (zlib.crc32(str(word).encode()) + self.text) % FORGOTTEN != 0


def _latin(name: str) -> str:
    return "".join(_LETTERS.get(one.lower(), one.lower()) for one in name).title()


def make_texts(seed: int) -> list[Filled]:
    """Texts with the places and labels of what they were filled with."""
    pools = Pools(seed)
    made = []
    for sentence in tomllib.loads((Path(__file__).parent / "sentences.toml").read_text(encoding="utf-8"))["sentences"]:
        for _ in range(ROUNDS if "{" in sentence else 12):
            text, spans, at = "", list[tuple[int, int, str]](), 0
            for slot in re.finditer(r"\{(\w)\}", sentence):
                text += sentence[at : slot.start()]
                put = pools.fill(slot[1])
                if slot[1] in LABELS:
                    spans.append((len(text), len(text) + len(put), LABELS[slot[1]]))
                text, at = text + put, slot.end()
            text += sentence[at:]
            chance = pools.random.random()
            if chance < 0.10 and len(text.lower()) == len(text):
                text = text.lower()
            elif chance < 0.12 and len(text.upper()) == len(text):
                text = text.upper()
            made.append((text, spans))
    return made + [(one, []) for one in plain_texts(pools.random)] + other_texts(pools)


def plain_texts(random_: random.Random) -> list[str]:
    """English that names nobody."""
    manual = [one.strip() for topic in topics.values() for one in re.split(r"(?<=[.:])\s{2,}|\n\n", topic)]
    manual = [re.sub(r"\s+", " ", one) for one in manual if 40 < len(one) < 400]
    return random_.sample(manual, 2500) + 4 * _told()


def _told() -> list[str]:
    """How the sandbox's tickets begin, end and press; what they are about is left for measuring."""
    tickets = tomllib.loads((ROOT / "include/demo/sandbox/seed/tickets.toml").read_text(encoding="utf-8"))
    parts = [tickets["opening"], tickets["closing"], tickets["subject"], *tickets["priority"].values()]
    return [one for part in parts for listed in part.values() for one in listed if one and "Jo" not in one]


def other_texts(pools: Pools) -> list[Filled]:
    """Other languages: what Airflow says in them, and words by chance with a name among them or none."""
    made: list[Filled] = []
    for language, locale in OTHER.items():
        said, words = airflow_says(language), lorem_words(locale)
        made += [(one, []) for one in said]
        for _ in range(2_000):
            made.append(_by_chance(pools, words, GREETED.get(language, ()), ENDED.get(language, ())))
    return made


def airflow_says(language: str) -> list[str]:
    """The sentences and labels of Airflow's own pages."""
    folder = Path(airflow.__file__).parent / "ui" / "dist" / "i18n" / "locales" / language
    found = [
        text
        for file in sorted(folder.glob("*.json"))
        for text in re.findall(r': "([^"]{3,})"', file.read_text("utf-8"))
    ]
    return [re.sub(r"\{\{\w+\}\}", "7", one) for one in found if "\\" not in one]


def lorem_words(locale: str) -> list[str]:
    """Words of a language, as Faker's filler text has them."""
    return [one for one in importlib.import_module(f"faker.providers.lorem.{locale}").Provider.word_list if one]


def _by_chance(pools: Pools, words: list[str], greeted: tuple[str, ...], ended: tuple[str, ...]) -> Filled:
    r = pools.random
    chosen = r.choices(words, k=r.randint(4, 14))
    chosen[0] = chosen[0].capitalize()
    german = any(one[0].isupper() for one in words)
    chosen = [one.capitalize() if german and r.random() < 0.25 else one for one in chosen]
    name, way = pools.fill(r.choice("PPFL")), r.random()
    body = " ".join(chosen) + r.choice(".!?")
    if way < 0.45:
        start = f"{r.choice(greeted)}, " if greeted and way < 0.2 else ""
        end = f"\n{r.choice(ended)}" if ended and way > 0.3 else ""
        return f"{start}{body}{end}", []
    if way < 0.6 and greeted:
        head = f"{r.choice(greeted)} "
        return f"{head}{name}, {body}", [(len(head), len(head) + len(name), "name")]
    if way < 0.75 and ended:
        head = f"{body} {r.choice(ended)}{r.choice((', ', chr(10), ' '))}"
        return f"{head}{name}", [(len(head), len(head) + len(name), "name")]
    at = r.randint(0, len(chosen))
    head = "".join(f"{one} " for one in chosen[:at])
    return f"{head}{name} {' '.join(chosen[at:])}.", [(len(head), len(head) + len(name), "name")]


def ordinary_words(texts: list[Filled]) -> frozenset[str]:
    """Words that stand in small letters in texts, and in no place that was filled in."""
    seen: Counter[str] = Counter()
    for text, spans in texts:
        if text.islower():
            continue
        filled = {at for start, end, _ in spans for at in range(start, end)}
        seen.update({hit[0] for hit in TOKEN.finditer(text) if hit[0].islower() and hit.start() not in filled})
    found = frozenset(word for word in seen if len(word) > 1) | {"i", "a"} | frozenset(_listed())
    others = [text for language in OTHER for text in airflow_says(language)] + _told()
    others += [word for locale in OTHER.values() for word in lorem_words(locale)]
    others += [text for listed in (*GREETED.values(), *ENDED.values()) for text in listed]
    return found | {hit[0].lower() for text in others for hit in TOKEN.finditer(text) if hit[0][0].isalpha()}


def fit(seed: int = 1) -> None:
    """Fit, and write the file."""
    texts = make_texts(seed)
    ordinary = ordinary_words(texts)
    trainer = pycrfsuite.Trainer(algorithm="lbfgs", verbose=False)
    forgetful = _Forgetful(ordinary)
    for at, (text, spans) in enumerate(texts):
        forgetful.text = at
        hits = list(TOKEN.finditer(text))
        labels = [next((label for start, end, label in spans if start <= hit.start() < end), "no") for hit in hits]
        if hits:
            trainer.append(features_of([hit[0] for hit in hits], forgetful), labels)
    trainer.set_params({"c1": 0.25, "c2": 0.02, "max_iterations": 120, "feature.minfreq": 2})
    with tempfile.TemporaryDirectory() as folder:
        trainer.train(f"{folder}/model")
        tagger = pycrfsuite.Tagger()
        tagger.open(f"{folder}/model")
        info = tagger.info()
    labels = sorted(info.labels)
    state: dict[str, list[float]] = {}
    for (name, label), weight in info.state_features.items():
        if abs(weight) >= 0.02:
            state.setdefault(name, [0.0] * len(labels))[labels.index(label)] = round(weight, 3)
    name = labels.index("name")
    state["b"][name] = round(state["b"][name] + LEANS, 3)
    transitions = [[round(info.transitions.get((one, to), 0.0), 3) for to in labels] for one in labels]
    kept = {
        "labels": labels,
        "transitions": transitions,
        "ordinary": " ".join(sorted(ordinary)),
        "state": dict(sorted(state.items())),
    }
    with gzip.GzipFile(FILE, "wb", 9, mtime=0) as handle:
        handle.write(json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode())
    print(
        f"{len(texts)} texts, {len(state)} features, {len(ordinary)} ordinary words, {FILE.stat().st_size // 1024} kB"
    )


if __name__ == "__main__":
    fit()
