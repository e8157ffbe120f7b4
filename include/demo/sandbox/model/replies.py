"""The rule by which the stand-in drafts a reply: sentences by language and category, as the guidelines allow them.

It is no model and reads no ticket: it goes by category, language, tone and name. A ticket that talks of drafting, or of
what must be said, is named as one for a person.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

FIELDS = frozenset({"subject", "body", "language", "tone", "guidelines", "confidence", "needs_human"})
_ORDERS = re.compile(
    r"ignor|disregard|forget|vergiss|oubli|olvida|instruct|system|prompt|draft|reply (?:has|must)|\bAI\b|assistant",
    re.IGNORECASE,
)
_SAYS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "subject": "Your message",
        "greeting": "Hello{name},",
        "thanks": "thank you for your message about {about}.",
        "sorry": "We are sorry for the trouble.",
        "checked": "A colleague looks at it and answers you here.",
        "link": "You find more under {link}.",
        "sign": "Your support team",
    },
    "de": {
        "subject": "Ihre Nachricht",
        "greeting": "Guten Tag{name},",
        "thanks": "danke für Ihre Nachricht zum Thema {about}.",
        "sorry": "Es tut uns leid, dass Sie Umstände haben.",
        "checked": "Ein Kollege sieht es sich an und antwortet Ihnen hier.",
        "link": "Mehr finden Sie unter {link}.",
        "sign": "Ihr Support-Team",
    },
    "fr": {
        "subject": "Votre message",
        "greeting": "Bonjour{name},",
        "thanks": "merci pour votre message au sujet de : {about}.",
        "sorry": "Nous sommes désolés pour la gêne.",
        "checked": "Un collègue examine votre demande et vous répond ici.",
        "link": "Vous en trouverez plus sur {link}.",
        "sign": "Votre équipe d'assistance",
    },
    "es": {
        "subject": "Su mensaje",
        "greeting": "Hola{name}:",
        "thanks": "gracias por su mensaje sobre {about}.",
        "sorry": "Sentimos las molestias.",
        "checked": "Un compañero lo revisa y le responde por aquí.",
        "link": "Encontrará más en {link}.",
        "sign": "Su equipo de asistencia",
    },
}
_ABOUT: Mapping[str, tuple[str, str, str, str]] = {
    "billing": ("an invoice", "Rechnung", "facture", "una factura"),
    "refund": ("a refund", "Erstattung", "remboursement", "un reembolso"),
    "delivery": ("a delivery", "Lieferung", "livraison", "una entrega"),
    "return": ("a return", "Rückgabe", "retour", "una devolución"),
    "account_access": ("access to an account", "Zugang", "accès au compte", "el acceso a una cuenta"),
    "technical_fault": ("a fault", "Störung", "panne", "una avería"),
    "how_to": ("how something is used", "Bedienung", "mode d'emploi", "el uso de un producto"),
    "order_change": ("a change of an order", "Änderung", "modification", "un cambio de pedido"),
    "cancellation": ("a cancellation", "Kündigung", "résiliation", "una cancelación"),
    "complaint": ("our service", "Service", "notre service", "nuestro servicio"),
    "data_privacy": ("personal data", "Datenschutz", "données personnelles", "datos personales"),
    "sales": ("our plans", "Angebote", "nos offres", "nuestros planes"),
}
_LANGUAGES = ("en", "de", "fr", "es")
_HELP = "https://help.example.com"
_LINKS: Mapping[str, tuple[str, str]] = {
    "billing": ("BIL-1", f"{_HELP}/invoices"),
    "refund": ("REF-2", f"{_HELP}/refunds"),
    "delivery": ("DEL-1", f"{_HELP}/tracking"),
    "return": ("RET-2", f"{_HELP}/returns"),
    "account_access": ("ACC-1", f"{_HELP}/password"),
    "technical_fault": ("TEC-1", "https://status.example.com"),
    "how_to": ("HOW-1", f"{_HELP}/manuals"),
    "sales": ("SAL-1", "https://www.example.com/plans"),
}
_DECIDED: Mapping[str, str] = {
    "refund": "Whether and how much is paid back",
    "cancellation": "Check the contract and confirm its end",
    "complaint": "Read the complaint and answer it",
    "data_privacy": "Pass the request on to the data protection officer",
}


def draft_reply(record: Mapping[str, Any]) -> dict[str, Any]:
    """The draft for one ticket; any field may be missing or nonsense."""
    language = record.get("ticket_language") if record.get("ticket_language") in _LANGUAGES else "en"
    category, tone = str(record.get("category")), str(record.get("tone"))
    says, name = _SAYS[str(language)], record.get("customer_name")
    about = _ABOUT.get(category, ("your request", "Anfrage", "votre demande", "su solicitud"))
    cited, link = _LINKS.get(category, ("", ""))
    sentences = [
        says["thanks"].format(about=about[_LANGUAGES.index(str(language))]),
        says["sorry"] if tone == "warm" else "",
        says["checked"],
        says["link"].format(link=link) if link else "",
    ]
    greeting = says["greeting"].format(name=f" {name}" if isinstance(name, str) and name else "")
    decide = _decide(record)
    return {
        "subject": says["subject"],
        "body": f"{greeting}\n\n{' '.join(filter(None, sentences))}\n\n{says['sign']}",
        "language": language,
        "tone": tone if tone in ("plain", "warm", "formal") else "plain",
        "guidelines": ["GEN-1", "GEN-2", "GEN-3", *([cited] if cited else []), *(["COM-1"] if tone == "warm" else [])],
        "confidence": 0.6 if decide else 0.85,
        "needs_human": decide,
    }


def _decide(record: Mapping[str, Any]) -> str | None:
    """What an agent must decide or look up; None if nothing."""
    text = " ".join(str(record.get(name) or "") for name in ("ticket_subject", "ticket_body"))
    if _ORDERS.search(text):
        return "The ticket tells what the reply has to say: read it before sending"
    if decided := _DECIDED.get(str(record.get("category"))):
        return decided
    return "Urgent: look at it at once" if record.get("priority") == "urgent" else None
