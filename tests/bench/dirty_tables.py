"""Made-up tables that are dirty as published cleaning benchmarks are, each with the cells that are wrong.

Rules were tuned on these; the ones in `dirty_held_out` were only measured.
"""

from __future__ import annotations

import calendar
import random
from collections.abc import Callable, Sequence

from tests.core.operations.suggest.wrong_cells import Rows, Wrong

_SYLLABLES = (
    "ba be bo ca da de di fa ga ha jo ka la le lo ma me mi mo na ne no pa po ra ri ro sa se so ta te to va wi za"
)
Dirty = tuple[Rows, list[Wrong]]


class Dirt:
    """Rows and the cells of them that were made wrong; a cell is made wrong once."""

    def __init__(self, rows: Rows, chance: random.Random) -> None:
        self.rows, self.chance = rows, chance
        self._made: dict[tuple[int, str], str] = {}

    def put(self, at: int, column: str, value: str, kind: str) -> None:
        """Make a cell wrong, if it is not yet and the value is another one."""
        if (at, column) not in self._made and value != self.rows[at][column]:
            self.rows[at][column] = value
            self._made[at, column] = kind

    def rows_of(self, share: float) -> list[int]:
        """A share of the rows by chance."""
        return self.chance.sample(range(len(self.rows)), int(share * len(self.rows)))

    def done(self) -> Dirty:
        """The rows and what is wrong in them."""
        return self.rows, [Wrong(at, column, kind) for (at, column), kind in self._made.items()]


def word(chance: random.Random, least: int = 2, most: int = 4) -> str:
    """A word that is none."""
    return "".join(chance.choices(_SYLLABLES.split(), k=chance.randint(least, most)))


def words(chance: random.Random, count: int, least: int = 2, most: int = 4) -> list[str]:
    """Different words."""
    found: dict[str, None] = {}
    while len(found) < count:
        found[word(chance, least, most)] = None
    return list(found)


def crossed(text: str, chance: random.Random) -> str:
    """A text in which one to three characters are an x."""
    found = list(text)
    for place in chance.sample(range(len(text)), min(len(text), chance.choice((1, 1, 1, 1, 2, 3)))):
        found[place] = "x"
    return "".join(found)


def mistyped(text: str, chance: random.Random) -> str:
    """A text with a letter too many, too few, or two exchanged."""
    at = chance.randrange(len(text))
    return chance.choice(
        [
            text[:at] + text[at] + text[at:],
            text[:at] + text[at + 1 :],
            text[:at] + text[at : at + 2][::-1] + text[at + 2 :],
        ]
    )


def hospitals(seed: int) -> Dirty:
    """50 providers with 20 measures each; 4 in 100 cells of any column have an x in place of a character."""
    chance = random.Random(seed)
    owners = ["government - state", "proprietary", "voluntary non-profit - church", "voluntary non-profit - other"]
    cities = [(word(chance, 2, 3), word(chance), chance.choice(["al", "ak"])) for _ in range(30)]
    conditions = ["heart attack", "heart failure", "pneumonia", "surgical infection prevention"]
    measures = [
        (
            f"{one[:2].strip()}-{chance.choice('abc')}{at}",
            one,
            f"patients given {word(chance)} {word(chance)} {word(chance)}",
        )
        for at in range(20)
        for one in [chance.choice(conditions)]
    ]
    rows: Rows = []
    for at in range(50):
        city, county, state = chance.choice(cities)
        provider = {
            "provider": str(10_001 + at * chance.randint(1, 3) + at),
            "name": f"{word(chance)} {chance.choice(['medical center', 'hospital', 'regional hospital'])}",
            "address": f"{chance.randint(10, 9999)} {word(chance)} {chance.choice(['street', 'drive', 'avenue'])}",
            "city": city,
            "state": state,
            "zip": str(chance.randint(35_000, 36_999)),
            "county": county,
            "phone": str(chance.randint(2_050_000_000, 2_569_999_999)),
            "type": "acute care hospitals",
            "owner": chance.choice(owners),
            "emergency": chance.choice(["yes", "yes", "yes", "no"]),
        }
        rows += [
            provider
            | {
                "condition": condition,
                "measure": code,
                "measure_name": name,
                "score": f"{chance.randint(20, 100)}%",
                "sample": f"{chance.randint(0, 400)} patients",
                "state_average": f"{state}_{code}",
            }
            for code, condition, name in measures
        ]
    dirt = Dirt(rows, chance)
    for at in range(len(rows)):
        for name, text in list(rows[at].items()):
            if chance.random() < 0.04:
                dirt.put(at, name, crossed(text, chance), "typo")
    return dirt.done()


def flights(seed: int) -> Dirty:
    """Four times of each of 70 flights as 34 sources tell them, of which some are late, some blank, some date them."""
    chance = random.Random(seed)
    names = ["departs", "departed", "arrives", "arrived"]

    def told(minutes: int) -> str:
        hour, minute = divmod(minutes % 1440, 60)
        return f"{(hour - 1) % 12 + 1}:{minute:02} {'a.m.' if hour < 12 else 'p.m.'}"

    sources = [(word(chance, 3), chance.choice([0.02, 0.1, 0.3, 0.5]), chance.random()) for _ in range(34)]
    rows, truths = list[dict[str, str]](), list[list[int]]()
    for at in range(70):
        start = chance.randrange(1440)
        truth = [start, start + chance.randint(-5, 60), start + 180, start + chance.randint(170, 260)]
        common = [one + chance.choice((7, 12, -9)) for one in truth]
        for name, *_ in sources:
            if chance.random() < 0.8:
                flight = f"{['AA', 'UA', 'CO'][at % 3]}-{100 + at * 37}-{['ORD', 'PHX', 'MIA'][at % 7 % 3]}-LAX"
                rows.append({"source": name, "flight": flight} | dict(zip(names, map(told, truth), strict=True)))
                truths.append(common)
    dirt, known = Dirt(rows, chance), {name: (wrong, style) for name, wrong, style in sources}
    for at, row in enumerate(rows):
        wrong, style = known[row["source"]]
        for place, name in enumerate(names):
            if place % 2 and chance.random() < (0.5 if style > 0.7 else 0.05):
                dirt.put(at, name, "", "missing")
            elif chance.random() < wrong:
                off = told(truths[at][place] if chance.random() < 0.5 else truths[at][place] + chance.randint(1, 40))
                dirt.put(at, name, off, "conflict")
            elif style < 0.08:
                dirt.put(at, name, f"12/02/2011 {row[name]}", "format")
    return dirt.done()


def beers(seed: int) -> Dirty:
    """2,000 beers of 400 breweries: units beside half of the ounces, per cent signs, states in the city's column."""
    chance = random.Random(seed)
    styles = [f"{word(chance)} {kind}" for kind in ("ipa", "lager", "stout", "ale", "porter") for _ in range(12)]
    cities = [
        (word(chance).title(), chance.choice(["CA", "OR", "CO", "TX", "NY", "MI", "WA", "IN", "PA", "WI"]))
        for _ in range(160)
    ]
    breweries = [
        (f"{word(chance).title()} Brewing {word(chance, 1, 2).title()}", *chance.choice(cities)) for _ in range(400)
    ]
    rows: Rows = []
    for at in range(2_000):
        place = min(int(chance.expovariate(1 / 90)), 399)
        name, city, state = breweries[place]
        rows.append(
            {
                "id": str(1_000 + at),
                "beer": " ".join(words(chance, chance.randint(1, 3))).title(),
                "style": chance.choice(styles),
                "ounces": chance.choice(["12.0", "12.0", "12.0", "16.0", "16.0", "24.0", "19.2", "8.4"]),
                "abv": f"0.{chance.randint(40, 99):03}",
                "ibu": str(chance.randint(5, 120)) if chance.random() < 0.6 else "",
                "brewery_id": str(place),
                "brewery": name,
                "city": city,
                "state": state,
            }
        )
    dirt = Dirt(rows, chance)
    for at in dirt.rows_of(0.45):
        unit = chance.choice([" oz", " oz.", " OZ.", " ounce", " oz. Can"])
        dirt.put(at, "ounces", rows[at]["ounces"] + unit, "unit")
    for at in dirt.rows_of(0.2):
        dirt.put(at, "abv", rows[at]["abv"] + "%", "unit")
    for at in dirt.rows_of(0.04):
        dirt.put(at, "city", f"{rows[at]['city']} {rows[at]['state']}", "conflict")
        dirt.put(at, "state", "", "missing")
    return dirt.done()


def articles(seed: int) -> Dirty:
    """1,000 articles of 150 journals: dates in two orders, page ranges that became months, languages in words."""
    chance = random.Random(seed)
    languages = ["eng", "eng", "eng", "eng", "eng", "eng", "ger", "fre", "spa"]
    journals = [
        (
            title.title(),
            title.title()[:4] + ". " + word(chance)[:3].title(),
            f"{chance.randint(1000, 9999)}-{chance.randint(1000, 9999)}",
        )
        for title in (f"{word(chance)} of {word(chance)} {word(chance)}" for _ in range(150))
    ]
    rows: Rows = []
    for at in range(1_000):
        title, short, issn = journals[min(int(chance.expovariate(1 / 35)), 149)]
        first = chance.randint(1, 1800)
        rows.append(
            {
                "id": str(20_000 + at),
                "title": f"{word(chance).title()} {' '.join(words(chance, chance.randint(4, 9)))}.",
                "language": chance.choice(languages),
                "journal": title,
                "short": short,
                "issn": issn,
                "volume": str(chance.randint(1, 120)),
                "issue": str(chance.randint(1, 12)),
                "created": f"{chance.randint(1, 12)}/{chance.randint(1, 28)}/{chance.randint(70, 99)}",
                "pages": f"{first}-{first + chance.randint(3, 15)}",
                "authors": '{"'
                + '","'.join(f"{word(chance).title()} {chance.choice('ABCDEFG')}." for _ in range(3))
                + '"}',
            }
        )
    dirt = Dirt(rows, chance)
    months = list(calendar.month_abbr)[1:]
    for at in dirt.rows_of(0.1):
        month, day, year = rows[at]["created"].split("/")
        dirt.put(at, "created", f"19{year}-{int(month):02}-{int(day):02}", "format")
    for at in dirt.rows_of(0.08):
        dirt.put(at, "pages", f"{chance.choice(months)}-{chance.randint(10, 60)}", "format")
    for at in dirt.rows_of(0.05):
        dirt.put(at, "language", {"eng": "English", "ger": "German"}.get(rows[at]["language"], ""), "format")
    for name in ("issn", "short"):
        for at in dirt.rows_of(0.08):
            dirt.put(at, name, "", "missing")
        for at in dirt.rows_of(0.03):
            dirt.put(at, name, chance.choice(rows)[name], "conflict")
    for at in dirt.rows_of(0.03):
        dirt.put(at, "journal", crossed(rows[at]["journal"], chance), "typo")
    return dirt.done()


def tariffs(seed: int) -> Dirty:
    """3,000 parcels; carrier and zone together say days and tariff, neither alone does."""
    chance = random.Random(seed)
    carriers, zones = words(chance, 8), [f"Z{at}" for at in range(12)]
    known = {
        (one, zone): (f"{chance.randint(1, 9)} days", f"T{chance.randint(100, 999)}")
        for one in carriers
        for zone in zones
    }
    rows: Rows = []
    for at in range(3_000):
        carrier, zone = chance.choice(carriers), chance.choice(zones)
        days, tariff = known[carrier, zone]
        rows.append(
            {
                "parcel": f"P{chance.randrange(10**7):07}{at % 10}",
                "carrier": carrier,
                "zone": zone,
                "days": days,
                "tariff": tariff,
                "weight": f"{chance.lognormvariate(0.5, 0.8):.2f} kg",
                "sent": f"2024-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}",
            }
        )
    dirt = Dirt(rows, chance)
    for name in ("days", "tariff"):
        for at in dirt.rows_of(0.03):
            dirt.put(at, name, chance.choice(rows)[name], "conflict")
    for at in dirt.rows_of(0.03):
        grams = f"{float(rows[at]['weight'].split()[0]) * 1000:.0f} g"
        dirt.put(
            at, "weight", chance.choice([grams, rows[at]["weight"].replace(".", ","), rows[at]["weight"][:-3]]), "unit"
        )
    for at in dirt.rows_of(0.02):
        dirt.put(at, "carrier", crossed(rows[at]["carrier"], chance), "typo")
    for at in dirt.rows_of(0.02):
        year, month, day = rows[at]["sent"].split("-")
        dirt.put(at, "sent", f"{day}/{month}/{year}", "format")
    return dirt.done()


def taxes(seed: int) -> Dirty:
    """6,000 people in 300 zips: stars after cities, zips without their first digit, states and codes in conflict."""
    chance = random.Random(seed)
    states = ["AL", "CA", "CO", "FL", "GA", "HI", "IL", "MA", "MN", "NV", "OH", "TX", "UT", "VT"]
    areas = {state: [str(chance.randint(201, 989)) for _ in range(4)] for state in states}
    zips = {str(chance.randint(10_000, 99_999)): (word(chance).upper(), chance.choice(states)) for _ in range(300)}
    rates = {state: [f"{chance.choice([0, 2, 4, 5.5, 6, 8.6])}" for _ in range(3)] for state in states}
    firsts, lasts = words(chance, 400), words(chance, 2_000, 3, 5)
    rows: Rows = []
    for _ in range(6_000):
        zipped = chance.choice(list(zips))
        city, state = zips[zipped]
        salary, married = chance.randrange(5, 100) * 1000, chance.choice("SM")
        child = chance.choice("YN")
        rows.append(
            {
                "first_name": chance.choice(firsts).title(),
                "last_name": chance.choice(lasts).title(),
                "gender": chance.choice("FM"),
                "area": chance.choice(areas[state]),
                "phone": f"{chance.randint(100, 999)}-{chance.randint(1000, 9999)}",
                "city": city,
                "state": state,
                "zip": zipped,
                "marital": married,
                "has_child": child,
                "salary": str(salary),
                "rate": rates[state][min(salary // 35_000, 2)],
                "child_exempt": "1000" if child == "Y" else "0",
            }
        )
    dirt = Dirt(rows, chance)
    for at in dirt.rows_of(0.03):
        dirt.put(at, "city", chance.choice([rows[at]["city"] + "-*", mistyped(rows[at]["city"], chance)]), "typo")
    for at in dirt.rows_of(0.03):
        dirt.put(at, "zip", rows[at]["zip"][1:], "format")
    for at in dirt.rows_of(0.02):
        dirt.put(at, "state", chance.choice(states), "conflict")
    for at in dirt.rows_of(0.02):
        dirt.put(at, "child_exempt", "0" if rows[at]["child_exempt"] != "0" else "1000", "conflict")
    for at in dirt.rows_of(0.02):
        dirt.put(at, "phone", rows[at]["phone"].replace("-", chance.choice(["", " ", "/"])), "format")
    for at in dirt.rows_of(0.02):
        dirt.put(at, "gender", chance.choice(["male", "female", "f"]), "format")
    return dirt.done()


def shops(seed: int) -> Dirty:
    """90 products as 25 shops offer them: brand, size and number are the product's, the price is each shop's own."""
    chance = random.Random(seed)
    brands, colours = words(chance, 20), ["black", "white", "silver", "red", "blue"]
    products = [
        {
            "product": f"{chance.choice(brands).title()} {word(chance).upper()}-{chance.randint(10, 999)}",
            "ean": str(chance.randint(4 * 10**12, 5 * 10**12)),
            "brand": chance.choice(brands).title(),
            "colour": chance.choice(colours),
            "size": f"{chance.randint(5, 65)} cm",
        }
        for _ in range(90)
    ]
    rows: Rows = []
    for product in products:
        price = chance.lognormvariate(4, 0.8)
        rows += [
            {"shop": shop}
            | product
            | {"price": f"{price * chance.uniform(0.8, 1.3):.2f}", "stock": str(chance.randint(0, 50))}
            for shop in (f"www.{one}.com" for one in words(random.Random(seed + 1), 25))
            if chance.random() < 0.7
        ]
    dirt = Dirt(rows, chance)
    careless = set(chance.sample(sorted({row["shop"] for row in rows}), 8))
    for at, row in enumerate(rows):
        for name in ("ean", "brand", "colour", "size"):
            if chance.random() < (0.4 if row["shop"] in careless else 0.03):
                wrong = chance.choice(rows)[name] if chance.random() < 0.6 else ""
                dirt.put(at, name, wrong, "conflict" if wrong else "missing")
    for at in dirt.rows_of(0.05):
        size = rows[at]["size"]
        if size.endswith("cm"):
            dirt.put(at, "size", f"{int(size.split()[0]) * 10} mm", "unit")
    return dirt.done()


TUNED: Sequence[Callable[[int], Dirty]] = (hospitals, flights, beers, articles, tariffs, taxes, shops)
