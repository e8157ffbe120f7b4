"""The rule by which the stand-in sorts a ticket: words that tell what is wanted, how soon, and in which language.

It is no model: it counts words, and knows no others. Confidence is a function of how far the best category is ahead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

FIELDS = frozenset({"category", "priority", "language", "summary", "confidence"})
_OTHER = "other"
_CATEGORIES: Mapping[str, str] = {
    "refund": r"refund|reimburs|money back|credit note|erstatt|gutschrift|geld zurück|rembours|reembols",
    "return": r"return|exchang|send\w* back|retoure|rücksend|umtausch|zurückschick|retour|échang|devol"
    r"|devuel|cambio de",
    "billing": r"invoice|bill|charg|vat\b|direct debit|statement|rechnung|abbuch|mahnung|lastschrift|factur|prélèv"
    r"|cobr",
    "delivery": r"deliver|parcel|package|shipment|shipped|courier|tracking|paket|liefer|sendung|zustell|colis|livr"
    r"|paquete|entrega|envío|repartidor",
    "account_access": r"log ?in|password|sign(?:ing)? (?:in|on)|locked|two-factor|username|activation|access right"
    r"|anmeld|passwor|gesperrt|zugang|connexion|mot de passe|bloqué|contraseña|inicio de sesión|usuario|bloquead",
    "technical_fault": r"error|crash|broken|defect|freez|bug\b|fail|outage|stopped working|does not (?:start|work)"
    r"|fehler|absturz|defekt|störung|erreur|plant|panne|défaut|fallo|averia|avería",
    "how_to": r"how (?:do|can|to)|manual|instructions|guide|set ?up|configur|anleitung|bedienung|wie (?:kann|man|geht)"
    r"|mode d'emploi|comment|réglage|cómo|ajustes|guía",
    "order_change": r"(?:change|add|remove|move|correct|amend).{0,40}(?:order|address|quantity|item)"
    r"|bestellung.{0,30}änder|ändern|hinzufüg|modifier|ajouter|cambi(?:en|ar)|añadir"
    r"|before (?:it ships|shipping|you send)",
    "cancellation": r"cancel|terminat|unsubscrib|give notice|notice period|withdraw|do not renew|storn|kündig|widerruf"
    r"|annul|résili|rétract|baja|rescind|desist",
    "complaint": r"complain|rude|disappoint|unacceptable|worst|disgrace|unhappy|terrible|bad review|beschwer|enttäusch"
    r"|unfreundlich|frechheit|plaindre|déçu|impoli|inadmissible|honte|quej|decepcion|maleducad|inaceptable",
    "data_privacy": r"personal data|gdpr|privacy|consent|newsletter|data you hold|processing agreement|encrypt|dsgvo"
    r"|personenbezogen|datenschutz|auftragsverarbeitung|rgpd|données personnelles|datos personales|boletín",
    "sales": r"quote|price|discount|demo\b|offer|cost|reseller|upgrade|in stock|angebot|rabatt|vorführung|kostet|preis"
    r"|devis|remise|prix|démonstration|coûte|presupuesto|descuento|precio|cuesta",
}
_PRIORITIES: Mapping[str, str] = {
    "low": r"no (?:hurry|rush)|not urgent|can wait|whenever|not important|low priority|take your time|keine eile"
    r"|nicht (?:so )?(?:dringend|wichtig)|kann (?:gern )?.{0,12}warten|rien ne presse|pas (?:très )?(?:d'urgence"
    r"|important)|peut attendre|sin prisa|no (?:es|hay) .{0,12}(?:urgente|importante|prisa)|puede esperar",
    "urgent": r"urgent|asap|emergency|immediately|right now|critical|stands? still|everything is down|within the hour"
    r"|dringend|sofort|notfall|urgence|immédiat|emergencia|inmediato|today please|heute noch|aujourd'hui même"
    r"|hoy mismo",
    "high": r"third time|second reminder|still waiting|by tomorrow|priority|end of the week|asked several|this week"
    r"|already called|importan|hurry|patience|zum dritten mal|warte|bis morgen|erinnerung|wichtig|priorit|attend"
    r"|rappel|esperando|recordatorio|prioridad|tercera vez",
}
_LANGUAGES: Mapping[str, str] = {
    "de": r"\b(?:ich|und|bitte|nicht|ist|wir|es|guten|hallo|danke|die|das|mein|für)\b",
    "fr": r"\b(?:je|vous|merci|bonjour|est|nous|une|pas|pour|mon|votre|c'est|des)\b",
    "es": r"\b(?:hola|por|favor|que|una|gracias|mi|el|los|es|necesito|está|buenos)\b",
    "en": r"\b(?:the|and|please|is|my|we|it|to|hello|thanks|of|for|you)\b",
}


def sort_ticket(record: Mapping[str, Any]) -> dict[str, Any]:
    """The answer for one ticket, by `subject` and `body`; either may be missing or nonsense."""
    text = " ".join(str(record.get(name) or "") for name in ("subject", "body")).lower()
    counted = sorted(((_hits(words, text), name) for name, words in _CATEGORIES.items()), key=lambda one: -one[0])
    (most, best), (second, _) = counted[:2]
    category = best if most else _OTHER
    tongues = {name: len(re.findall(words, text)) for name, words in _LANGUAGES.items()}
    language = max(tongues, key=lambda name: tongues[name])
    return {
        "category": category,
        "priority": "low" if category == _OTHER else _priority(text),
        "language": language if tongues[language] else "xx",
        "summary": f"A ticket about {category.replace('_', ' ')}",
        "confidence": round(0.5 + (0.4 * (most - second) / most if most else 0.05), 2),
    }


def _hits(words: str, text: str) -> int:
    return len(set(re.findall(words, text)))


def _priority(text: str) -> str:
    return next((name for name, words in _PRIORITIES.items() if re.search(words, text)), "normal")
