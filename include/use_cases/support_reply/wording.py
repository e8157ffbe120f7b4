"""What a draft says that binds the company: sums, periods, dates, promises; and in which language it is written.

Forms of words in English, German, French and Spanish. They find what is said plainly, and no promise in other words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_WORDS: Mapping[str, int] = {
    word: number
    for number, words in enumerate(
        (
            "one|eins|uno",
            "two|zwei|deux|dos",
            "three|drei|trois|tres",
            "four|vier|quatre|cuatro",
            "five|fünf|cinq|cinco",
            "six|sechs|seis",
            "seven|sieben|sept|siete",
            "eight|acht|huit|ocho",
            "nine|neun|neuf|nueve",
            "ten|zehn|dix|diez",
            "eleven|elf|onze|once",
            "twelve|zwölf|douze|doce",
        ),
        1,
    )
    for word in words.split("|")
} | {
    "fourteen": 14,
    "vierzehn": 14,
    "quinze": 15,
    "quince": 15,
    "thirty": 30,
    "dreißig": 30,
    "trente": 30,
    "treinta": 30,
}
_UNITS = {
    "minute": r"minut\w*",
    "hour": r"hours?|stunden?|heures?|horas?|hrs?",
    "workday": r"(?:working|business|work)[ -]?days?|(?:werk|arbeits|geschäfts)tage?n?|jours? (?:ouvr\w+)"
    r"|días? (?:hábil\w*|laborabl\w*)",
    "day": r"days?|tage?n?|jours?|días?",
    "week": r"weeks?|wochen?|semain\w*|semanas?",
    "month": r"months?|monate?n?s?|mois|mes(?:es)?",
    "year": r"years?|jahre?n?s?|ans?|années?|años?",
}
_ONE = r"(?:an?|ein(?:e[mrns]?)?|une?|una?)"
_NUMBER = rf"\d{{1,4}}|{'|'.join(sorted(_WORDS, key=len, reverse=True))}"
_WITHIN = r"(?:within|in|for|after|innerhalb|binnen|nach|für|dans|sous|après|pendant|en|dentro de|tras|durante)"
_PERIODS = tuple(
    (
        unit,
        re.compile(
            rf"(?<!\w)(?:(?P<number>{_NUMBER})|{_WITHIN}\s+(?:von\s+)?{_ONE})[\s-]*(?:{words})(?!\w)", re.IGNORECASE
        ),
    )
    for unit, words in _UNITS.items()
)
_CURRENCY = r"€|\$|£|EUR|USD|GBP|CHF|euros?|dollars?|pounds?|franken|francs?|cents?"
_AMOUNT = r"\d[\d.,' ]{0,20}"
_SUM = re.compile(
    rf"(?:{_CURRENCY})\s?(?P<a>{_AMOUNT})|(?<!\d)(?P<b>{_AMOUNT}?)\s?(?:{_CURRENCY})(?!\w)", re.IGNORECASE
)
_SHARE = re.compile(r"(\d+(?:[.,]\d+)?)\s?(?:%|percent|per cent|prozent|pour cent|por ciento)", re.IGNORECASE)
_MONTHS = (
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}|mai|märz|okt\w*|dez\w*|janvier|février|mars|avril|juin"
    r"|juillet|août|septembre|octobre|novembre|décembre|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre"
    r"|octubre|noviembre|diciembre|januar|februar|juni|juli"
)
_DATES = (
    re.compile(r"(?<![\w.-])\d{4}-\d{2}-\d{2}(?!\w)|(?<![\w.-])\d{1,2}[./]\d{1,2}[./](?:\d{4}|\d{2})?(?!\w)"),
    re.compile(
        rf"(?<!\w)\d{{1,2}}(?:st|nd|rd|th|\.|er)?\s(?:de\s|of\s)?(?:{_MONTHS})(?!\w)|(?<!\w)(?:{_MONTHS})\s\d{{1,2}}(?!\w)",
        re.IGNORECASE,
    ),
    re.compile(
        r"(?<!\w)(?:today|tonight|tomorrow|heute|aujourd'hui|demain|hoy|(?:mon|tues|wednes|thurs|fri|satur|sun)day"
        r"|(?:mon|diens|donners|frei|sams|sonn)tag|mittwoch|lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche"
        r"|lunes|martes|miércoles|jueves|viernes|sábado|domingo)(?!\w)",
        re.IGNORECASE,
    ),
    re.compile(r"(?<!\w)(?<!Guten )morgen(?!\w)|(?<!la )(?<!\w)mañana(?!\w)"),
)


class Figure(NamedTuple):
    """A sum, share, period or date: of which kind, and its value in one form."""

    kind: str
    value: str


def figures_in(text: str) -> set[Figure]:
    """Every sum of money, share, period of time and date that a text names."""
    found = {Figure("sum", _plain(hit["a"] or hit["b"])) for hit in _SUM.finditer(text)}
    found |= {Figure("share", hit[1].replace(",", ".")) for hit in _SHARE.finditer(text)}
    found |= set(_periods(text))
    return found | {Figure("date", hit[0].casefold()) for form in _DATES for hit in form.finditer(text)}


def _plain(amount: str) -> str:
    return re.sub(r"[^\d]", "", re.sub(r"[.,]00?\b(?!\d)|[.,]-", "", amount.strip()))


def _periods(text: str) -> Iterator[Figure]:
    for unit, form in _PERIODS:
        for hit in form.finditer(text):
            said = (hit["number"] or "1").lower()
            yield Figure("period", f"{_WORDS.get(said, said)} {unit}")


_MONEY = (
    r"refund\w*|reimburs\w*|compensat\w*|voucher\w*|gift ?cards?|discounts?|credit(?:s|ed| note)?|money|waive[sd]?"
    r"|replacement|free of charge|for free|erstatt\w*|rückerstatt\w*|gutschrift\w*|gutgeschrieben|gutschein\w*"
    r"|rabatt\w*|entschädig\w*|ersatz\w*|überw[ie]\w*|geld|kostenlos|rembours\w*|avoir|bon d'achat|remise|dédommag\w*"
    r"|gratuit\w*|indemni\w*|reembols\w*|abon(?:o|amos|aremos|ado)|vales?|descuentos?|compensa\w*|gratis|devoluci\w+"
)
_GIVES = (
    r"\b(?:we|i)(?:'ll|'ve| will| have| are going to| shall| can| hereby| now)?(?: now| gladly| of course| already"
    r"| fully| just| also| happily)* (?:refund|reimburse|compensate|credit|waive|pay|transfer|send|grant|approve|give"
    r"|offer|issue)(?:ed)?\b",
    r"\b(?:we|i)(?:'ve| have)(?: now| already| just)* (?:sent|paid|given|refunded|approved|issued|granted|credited)\b",
    r"\byou(?:'ll| will| are going to| shall| can expect to)(?: now| also| soon| shortly)* (?:get|receive|have|see)\b",
    r"\b(?:is|has been|was|will be|are|have been|were)(?: now| already| hereby| fully| just)* (?:approved|granted|sent"
    r"|paid|refunded|reimbursed|credited|issued|transferred|guaranteed|on (?:its|the) way|waived)\b",
    r"\b(?:wir|ich) (?:erstatten|überweisen|schreiben|gewähren|zahlen|schenken|senden|schicken|erlassen|übernehmen"
    r"|geben)\b",
    r"\b(?:wir|ich) (?:werden|haben|können).{0,80}\b(?:erstatte\w*|überw\w+|gutschreib\w*|gutgeschrieben|gewähr\w+"
    r"|gezahlt|zahlen|geschickt|gesendet|zusenden|erlassen)\b",
    r"\bsie (?:erhalten|bekommen|werden)\b",
    r"\b(?:wurde|wird|ist|sind|wurden|werden)\b.{0,60}\b(?:überwiesen|genehmigt|veranlasst|bewilligt|gewährt|erstattet"
    r"|gutgeschrieben|unterwegs|erlassen)\b",
    r"\bnous (?:vous )?(?:remboursons|rembourserons|offrons|offrirons|accordons|accorderons|versons|verserons"
    r"|envoyons)\b",
    r"\bnous (?:vous )?(?:avons|allons)(?: vous| bien| déjà)* (?:rembours|offr|offert|accord|vers|envoy|dédommag)\w*",
    r"\bvous (?:recevrez|allez recevoir|serez|obtiendrez)\b",
    r"\b(?:a été|est|sera|ont été|seront) (?:accordé|approuvé|versé|envoyé|remboursé|validé|garanti|effectué)\w*",
    r"\b(?:le|les|les hemos|le hemos|hemos|vamos a|ya) ?(?:reembols|devolv|abon|ofrec|enviar|enviam|conced|aprob"
    r"|pag)\w*",
    r"\b(?:recibirá|recibirán|obtendrá|se le (?:reembolsará|abonará|devolverá))\b",
    r"\b(?:ha sido|está|será|fue|han sido) (?:aprobad|concedid|pagad|enviad|reembolsad|abonad|garantizad)\w*",
)
_BINDING = tuple(re.compile(form, re.IGNORECASE) for form in _GIVES)
_VALUED = re.compile(rf"(?<!\w)(?:{_MONEY})(?!\w)", re.IGNORECASE)
_ASSURED = re.compile(
    r"\b(?:we|i) (?:guarantee|promise|assure)|\bguaranteed\b|\b(?:wir|ich) (?:garantieren?|versprechen?|sichern? Ihnen)"
    r"\b|\bgarantiert\b|\bnous (?:vous )?(?:garantissons|promettons|assurons)|\b(?:le )?(?:garantizamos|prometemos"
    r"|aseguramos)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^.!?\n]+")


def promises_in(text: str) -> list[str]:
    """The sentences that give money, goods or a guarantee, or say that it was given."""
    sentences = (hit[0].strip() for hit in _SENTENCE.finditer(text.replace("\u2019", "'")))
    return [
        one
        for one in sentences
        if _ASSURED.search(one) or (_VALUED.search(one) and any(form.search(one) for form in _BINDING))
    ]


_TELLING = {
    "en": r"\b(?:the|and|please|is|my|we|it|to|hello|thanks?|of|for|you|your|will|this|that|have|with)\b",
    "de": r"\b(?:ich|und|bitte|nicht|ist|wir|es|guten|danke|die|das|der|für|ihre?|ihnen|sie|ein|wird|zu)\b",
    "fr": r"\b(?:je|vous|merci|bonjour|est|nous|une|pas|pour|votre|des|les|le|et|que|du|ce)\b",
    "es": r"\b(?:hola|por|favor|que|una|gracias|su|el|los|es|está|para|le|la|un|usted|de|y|con)\b",
}
_TONGUES = {name: re.compile(words, re.IGNORECASE) for name, words in _TELLING.items()}
_LEAST = 3
"""Telling words below which a text has no language that could be told."""


def tongue_of(text: str) -> str | None:
    """The language that most of a text's small words are of; None where that cannot be told."""
    counts = sorted(((len(form.findall(text)), name) for name, form in _TONGUES.items()), reverse=True)
    (most, name), (second, _) = counts[:2]
    return name if most >= _LEAST and most > second else None
