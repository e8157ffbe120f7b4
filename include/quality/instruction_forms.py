"""Forms of words in which a text gives a model orders, in four languages; texts are folded before (`instructions`).

Folded: lower case, accents and umlauts' dots gone, one blank for several. A form that is added is added in all four.
"""

from __future__ import annotations

_RULES = r"(?:instructions?|prompts?|rules|guidelines|directives?)"
_KEYS = r"(?:score|tier|confidence|priority|category|next_action)"
_NEAR = r"[^.!?\n]"
_MODEL = (
    r"(?:ai|a\.i\.|llm|gpt|chatbot|assistant(?! (?:manager|director|professor|teacher|secretary))|bot|(?:language"
    r"|ai) model"
    r"|automated (?:reader|system|agent|processing)|(?:ai )?summari[sz]er|extraction (?:software|system|tool))"
)
_KI = r"(?:ki|sprachmodell|kunstliche intelligenz|assistent|bot|chatbot|auslesesystem|automat\w*)"
_IA = r"(?:ia|intelligence artificielle|modele(?: de langage)?|assistant|robot|chatbot|logiciel|systeme automatique)"
_IA_ES = r"(?:ia|inteligencia artificial|modelo(?: de lenguaje)?|asistente|robot|chatbot|programa(?: de lectura)?)"

ENGLISH = (
    rf"\b(?:ignore|disregard|forget|override|bypass)\b[^.!?]{{0,30}}\b(?:previous|prior|above|earlier|your|system)\b"
    rf"[^.!?]{{0,20}}\b{_RULES}\b",
    rf"\b(?:ignore|disregard|forget|override)\b (?:all |any |the |these |those )+{_RULES}\b",
    r"\b(?:ignore|disregard|forget) (?:the text of this|every ?thing (?:before|above|you|that)"
    r"|all (?:of )?the above)\b",
    r"\byou are (?:now|no longer)\b[^.!?]{0,40}\b(?:assistant|model|ai|bot|dan|unrestricted|administrator)\b",
    r"\b(?:system|developer|hidden|initial) ?[_-]?(?:prompt|instructions?)\b",
    r"\b(?:reveal|print|repeat|show|output|leak)\b[^.!?]{0,20}\b(?:your|the) (?:initial |full |exact |hidden )?"
    r"(?:prompt|instructions you|instructions above|rules you)",
    r"\b(?:repeat|print|output|copy|write out)\b (?:everything|all (?:of )?the (?:text|words)|the (?:text|words"
    r"|lines)) above\b",
    r"\b(?:jailbreak|developer mode|do anything now|unrestricted (?:ai|model|assistant))\b",
    r"\b(?:pretend|act as|role ?play|imagine)\b[^.!?]{0,30}\b(?:assistant|language model|ai|llm|scoring model)\b",
    r"\b(?:note|message|instructions?|attention|dear)\b[^.!?]{0,15}\b(?:the )?(?:ai|llm|language model)\b",
    r"\b(?:write|save|apply|send|store)\b[^.!?]{0,40}\b(?:record|contact|row|ticket) (?:id |number |no\. ?|# ?)?"
    r"\d+[^.!?]{0,20}\binstead\b",
    # whom it speaks to
    rf"\b(?:hello|hi|hey|dear|to (?:the|any|whichever|whatever)|for (?:the|any)|ps for (?:the"
    rf"|any))\b,? {_NEAR}{{0,10}}\b"
    rf"(?:{_MODEL}|model)\b(?=,|:|\W? ?(?:in the|that|who|which|reading|might|could|please|handling|would|in this))",
    rf"\b(?:if|as|when|since) you(?:'re| are) {_NEAR}{{0,10}}\b(?:{_MODEL}|model|program)\b",
    rf"\b(?:would|could|can|will) (?:the|any) {_MODEL}\b",
    rf"(?:^|\n|>|<!--) ?{_MODEL}\b ?[,:]",
    r"\b(?:note|notice|remark|message) (?:for|to|on) (?:auto\w+|machine) (?:processing|reading|readers?|systems?"
    r"|tools?)\b",
    rf"\b(?:any|every|the) (?:system|tool|software|model|{_MODEL}) (?:that (?:reads|processes)|processing"
    rf"|reading) (?:this|it)\b",
    # what was said before counts no more
    rf"\b(?:told|asked|given|instructed|{_RULES}|precedes|preceding|brief)\b{_NEAR}{{0,50}}\b(?:no longer (?:appl"
    rf"|bind|valid|hold"
    rf"|count)|(?:is|are) (?:outdated|obsolete|void|withdrawn|suspended|superseded))",
    r"\b(?:binding|binds?) (?:on )?you\b",
    rf"\b(?:supersedes?|replaces?|overrides?) (?:the|your|any|all) {_NEAR}{{0,20}}\b(?:brief|{_RULES}|prompt)\b",
    rf"\b(?:do not|don't|never|stop) (?:follow|use|apply|obey)(?:ing)? your\b{_NEAR}{{0,20}}\b(?:guides?|{_RULES}"
    rf"|protocol|policy)",
    r"\b(?:pretend|act|behave)\b (?:as if|that|like|the beginning)\b[^.!?]{0,40}\b(?:never been (?:written|said)"
    r"|was blank|no "
    r"(?:rules|instructions|guidelines)|nothing was said)",
    r"\bwhoever (?:configured|programmed|prompted|set) you\b",
    r"\b(?:play the part of|stay in character|in (?:the )?character of|take on the (?:role|persona))\b",
    r"\bimagine (?:that )?you are (?:my|the|a|an)\b",
    r"\b(?:new|updated|additional|revised) (?:instructions?|task|system rules)\b ?(?:for (?:you|the model"
    r"|the ai))? ?[:\n]",
    r"\b(?:admin(?:istrator)?|operator|system|platform|developer|root) (?:notice|message|note|override|command)\b",
    r"\b(?:highest|top) (?:precedence|priority) (?:instruction|message|order)|\b(?:internal|highest) precedence\b",
    r"\boutput (?:must|should|shall|has to) be\b",
    # what is to be answered
    rf"\bthe (?:expected|correct|right|true) (?:answer|output|result|label|score"
    rf"|classification)\b{_NEAR}{{0,30}}\b(?:is|has|was|=|:)",
    rf"\b(?:repl(?:y|ies)|answers?|summar(?:y|ies)|responses?)\b (?:of|to|for|from|in) (?:this"
    rf"|the)\b{_NEAR}{{0,30}}\b(?:must|has to"
    r"|have to|shall|always|contains?|needs to)\b",
    rf"\b(?:it is required|make sure|be sure) that (?:the|your) (?:repl|answer|summar|respon){_NEAR}{{0,60}}",
    r"\b(?:system|software|tool|model|assistant) processing this (?:document|text|record|message|e-?mail)\b",
    r"\b(?:when|once) you (?:read|see|reach|have (?:read|finished)) (?:this|part|the (?:end|next))\b",
    r"\byou (?:will|must|shall|should) (?:grade|classify|score|rate|label|rank) (?:this|it|me|us)\b",
    r"\b(?:grade|classify|score|rate|label|rank) (?:it|this|me|us|this (?:lead|ticket|record|row|one)) (?:as|with)\b",
    rf"\b(?:confidence|needs_\w+|score|priority)\b must be\b|\b(?:skip|omit|bypass) the {_NEAR}{{0,20}}\b(?:check"
    rf"|review|validation)\b",
    r"\b(?:append|add|include|copy|paste)\b (?:the )?(?:previous|other|last) (?:customer|ticket|record|row|user)\b",
    r"\bcopy this (?:link|text|sentence) into\b|\b(?:are|is) classified by the sender\b",
    r"\b(?:leave|set|put|keep) the \w+ (?:field|column|flag) (?:empty|blank|to)\b",
    r"\b(?:set|put|change) the (?:risk|score|tier|rating|label|segment)\b",
)
GERMAN = (
    r"\b(?:ignorier\w*|vergiss|missachte\w*)\b[^.!?]{0,40}\b(?:anweisung|vorgabe|regel|instruktion)\w*",
    r"\bdu bist (?:jetzt|nun|ab sofort)\b[^.!?]{0,40}\b(?:assistent|modell|ki|bot|administrator)\b",
    r"\b(?:systemnachricht|systemprompt|system-prompt)\b",
    rf"\b(?:liebe[rs]?|hallo|an (?:die|das|den)|fur (?:die|das)|hinweis (?:an|fur) (?:die|das)"
    rf"|falls dies(?:es)? (?:ein|eine))\b"
    rf" {_NEAR}{{0,12}}\b{_KI}\b",
    rf"\b(?:wenn|falls|da) du (?:ein|eine) {_KI}\b",
    r"\b(?:hinweis|anmerkung|nachricht|notiz) (?:zur|fur die|an die) (?:automatischen?"
    r"|maschinellen?) (?:verarbeitung|auswertung)\b",
    rf"\b(?:anweisung|vorgabe|regel|richtlinie|auftrag|anleitung)\w*\b{_NEAR}{{0,30}}\b(?:gelten nicht|gilt nicht"
    rf"|hinfallig|zuruckgezogen"
    r"|ausser kraft|aufgehoben|veraltet|uberholt)",
    r"\b(?:ist|sind) fur dich (?:hinfallig|ungultig|bedeutungslos)\b",
    r"\b(?:dein|deine) neue[rns]? (?:auftrag|aufgabe|rolle|anweisung)\b|\bneue anweisung(?:en)?\b ?[:\n]",
    r"\b(?:tu|verhalte dich|handle) (?:so|als)\b[^.!?]{0,10}\bals (?:hattest|ob|gabe)\b[^.!?]{0,40}\b(?:keine?|nie)\b",
    r"\b(?:spiel|ubernimm) (?:jetzt )?die rolle\b|\bbleib in (?:der|deiner) rolle\b|\bstell dir vor,? du (?:bist"
    r"|warst)\b",
    r"\bder (?:administrator|betreiber|entwickler)s?\b[^.!?]{0,12}\bki\b|\b(?:administrator|betreiber)hinweis\b",
    rf"\bdas (?:richtige|erwartete|korrekte) (?:ergebnis|label|urteil)\b{_NEAR}{{0,40}}\b(?:ist|lautet)\b",
    rf"\bin (?:der|die|jeder) (?:antwort|zusammenfassung)\b{_NEAR}{{0,30}}\b(?:muss|soll|ist zu|gehort)\b",
    r"\b(?:gib|zeig|schreib)\w*\b[^.!?]{0,20}\b(?:dein\w*|den) (?:system ?)?prompt|\bwelche anweisungen du\b",
    r"\b(?:uberspring\w*|umgeh\w*) (?:die|jede) (?:\w+)?prufung\b|\bstufe (?:das|dies|den|die|es"
    r"|mich)\b[^.!?]{0,30}\bals\b",
)
FRENCH = (
    r"\b(?:ignore[zr]?|oublie[zr]?)\b[^.!?]{0,40}\b(?:instructions|consignes|regles)\b",
    r"\b(?:tu es|vous etes) (?:maintenant|desormais)\b[^.!?]{0,40}\b(?:assistant|modele|ia|robot|administrateur)\b",
    r"\b(?:message|invite|prompt) (?:du )?systeme\b",
    rf"\b(?:chere?|bonjour|a l'|a la|au|pour (?:l'|la |le )|si (?:un|une|tu es (?:un|une))|a l'attention (?:du|de l'"
    rf"|de la))"
    rf"{_NEAR}{{0,6}}\b{_IA}\b(?=,| ?:| (?:qui|lit|charge|de lecture|d'extraction))",
    r"\b(?:note|remarque|avis|message) (?:pour|sur|a) (?:le |l')?(?:traitement|lecture) automatique\b",
    rf"\b(?:consignes?|instructions?|regles|directives?)\b{_NEAR}{{0,30}}\b(?:ne (?:s'appliquent|valent"
    rf"|comptent) plus|sont (?:caduques"
    r"|annulees|suspendues|obsoletes))",
    r"\bne (?:tiens|tenez) pas compte de (?:ce qu|ces|tes|vos|la consigne|les)\b|\bne t'engage (?:plus|desormais)\b",
    r"\b(?:fais|faites|agis) comme si (?:tu|vous) n'a\w+\b",
    r"\b(?:nouvelles? (?:instructions?|consignes?)|ta nouvelle tache)\b ?[:\n]",
    r"\b(?:joue[zr]?|prends|reste dans) (?:le |ton |son )?role\b|\bimagine[zr]? que (?:tu es|vous etes)\b",
    rf"\bla (?:bonne|reponse) (?:reponse |attendue |correcte )?(?:est|doit)\b|\bdans (?:la"
    rf"|chaque) reponse\b{_NEAR}{{0,25}}\b(?:faut|doit)\b",
    r"\b(?:affiche|montre|ecris|recopie|donne)[zr]?\b[^.!?]{0,25}\b(?:prompt|tes instructions|tes consignes"
    r"|consignes que tu)\b",
    r"\bmets? ce (?:message|ticket|dossier) en tete\b|\b(?:saute|ignore|contourne)[zr]? (?:la|le) (?:verification"
    r"|controle)\b",
)
SPANISH = (
    r"\b(?:ignora|ignore|olvida|olvide|omite)\b[^.!?]{0,40}\b(?:instrucciones|reglas|indicaciones)\b",
    r"\b(?:ahora|a partir de ahora) eres\b[^.!?]{0,40}\b(?:asistente|modelo|ia|bot|administrador)\b",
    r"\b(?:mensaje|prompt) del? sistema\b",
    rf"\b(?:querid[ao]|hola,?|a la|al|para (?:la|el)|si (?:un|una|eres (?:un|una)))\b{_NEAR}{{0,6}}\b{_IA_ES}\b"
    r"(?=,| ?:| (?:que|lee|encargad))",
    r"\b(?:nota|aviso|mensaje) (?:para|sobre|a) (?:el |la )?(?:procesamiento|tratamiento|lectura) automatic\w+",
    rf"\b(?:instrucciones|reglas|indicaciones|directrices)\b{_NEAR}{{0,30}}\b(?:ya no (?:valen|rigen|cuentan"
    rf"|se aplican)|quedan? sin efecto"
    r"|quedan? anulad\w+)",
    r"\bolvida(?:te)? (?:de )?todo lo (?:que|anterior)\b|\bno tengas en cuenta lo (?:que|anterior)\b",
    r"\b(?:haz|actua|haga) como si\b[^.!?]{0,40}\b(?:ningun\w*|nunca|no)\b",
    r"\bnuevas? (?:instrucci\w+|tarea)\b ?[:\n]",
    r"\b(?:haz|asume|interpreta) el papel de\b|\bimagina que eres\b|\bsigue en (?:tu )?papel\b",
    rf"\bla respuesta (?:correcta|esperada) (?:es|debe)\b|\ben (?:la|cada) respuesta\b{_NEAR}{{0,25}}\b(?:hay que"
    rf"|debe|tiene que)\b",
    r"\b(?:muestra|escribe|ensena|copia|dame)\b[^.!?]{0,25}\b(?:prompt|tus instrucciones|instrucciones que has)\b",
    r"\bmarcalo como\b|\b(?:salta|omite|evita)(?:te)? (?:la|el) (?:revision|control|comprobacion)\b",
)
MARKS = (
    # what is no language: fields of an answer, marks of chats and of calls to tools
    rf"\b{_KEYS}\b[\"']? ?(?:[:=]|to|is|of|on|mit|auf|de|a)? ?[\"']?(?:100|9\d|1\.0|0\.9\d?|hot|urgent)\b[^.!?]{{0,40}}"
    rf"\b{_KEYS}\b",
    rf"\b(?:answer|respond|reply|antworte|reponds|repondez|responde)\b[^.!?]{{0,30}}(?:\bjson\b|"
    rf"\b{_KEYS}\b[\"']? ?[:=]? ?[\"']?(?:\d|hot|urgent))",
    rf"\bset (?:the |its |my )?{_KEYS} (?:to|=)",
    rf"\{{ ?[\"']{_KEYS}[\"'] ?:",
    r"<\|(?:im_start|im_end|system|endoftext)\|?>?|\[/?inst\]|<</?sys>>"
    r"|</?(?:system|assistant|tool_calls?|function_calls?|tool_(?:result|response|use)s?|function_results?)>",
    r"(?:^|\n)[\W_]{0,6}(?:system|assistant|developer)\W{0,3}:",
    r"[\"'](?:tool_calls?|function_call|tool_use)[\"'] ?:|\b(?:tool_call|function_call)\b",
    r"[\"']role[\"'] ?: ?[\"'](?:system|assistant|developer)",
    r"```\s*(?:json|#|system|\{|\n)|\A```|```\Z",
)
ALL = (*ENGLISH, *GERMAN, *FRENCH, *SPANISH, *MARKS)
