"""Tables as in `dirty_tables`, of other shapes and with other errors: what is suggested was not tuned on them."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tests.bench.dirty_tables import Dirt, Dirty, word, words
from tests.core.quality.wrong_cells import Rows


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


def movies(seed: int) -> Dirty:
    """3,000 films: hours beside minutes, ratings out of ten, counts with commas, years of a century too many."""
    chance = random.Random(seed)
    genres = ["Action", "Comedy", "Crime", "Drama", "Horror", "Romance", "Thriller", "Western"]
    directors = [f"{one.title()} {word(chance).title()}" for one in words(chance, 600)]
    months = [
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
    rows: Rows = []
    for at in range(3_000):
        year = chance.randint(1950, 2014)
        rows.append(
            {
                "id": f"tt{chance.randrange(10**6):06}{at % 10}",
                "name": " ".join(words(chance, chance.randint(1, 4))).title(),
                "year": str(year),
                "released": f"{chance.randint(1, 28)} {chance.choice(months)} {year} (USA)",
                "director": chance.choice(directors),
                "duration": f"{chance.randint(70, 190)} min",
                "language": chance.choice(["English"] * 8 + ["French", "German", "Spanish"]),
                "country": chance.choice(["USA"] * 6 + ["UK", "France", "Germany", "Spain"]),
                "rating": f"{min(max(chance.gauss(6.4, 1.2), 1), 9.7):.1f}",
                "votes": str(int(chance.lognormvariate(9, 1.5)) + 5),
                "genre": ",".join(sorted(chance.sample(genres, chance.randint(1, 3)))),
            }
        )
    dirt = Dirt(rows, chance)
    for at in dirt.rows_of(0.12):
        minutes = int(rows[at]["duration"].split()[0])
        dirt.put(at, "duration", f"{minutes // 60} hr. {minutes % 60} min.", "unit")
    for at in dirt.rows_of(0.04):
        dirt.put(at, "rating", rows[at]["rating"] + "/10", "unit")
    for at in dirt.rows_of(0.08):
        dirt.put(at, "votes", f"{int(rows[at]['votes']):,}", "format")
    for at in dirt.rows_of(0.06):
        dirt.put(at, "released", rows[at]["released"].removesuffix(" (USA)"), "format")
    for at in dirt.rows_of(0.06):
        dirt.put(at, "genre", rows[at]["genre"].replace(",", ", "), "format")
    for at in dirt.rows_of(0.02):
        dirt.put(at, "language", mistyped(rows[at]["language"], chance), "typo")
    for at in dirt.rows_of(0.01):
        dirt.put(at, "year", str(int(rows[at]["year"]) + 100), "range")
    for at in dirt.rows_of(0.02):
        dirt.put(at, "country", "", "missing")
    return dirt.done()


def inspections(seed: int) -> Dirty:
    """4,000 visits to 500 restaurants: the city mistyped, licences without their name, points that lie elsewhere."""
    chance = random.Random(seed)
    kinds = ["Restaurant", "Grocery Store", "School", "Bakery", "Daycare (2 - 6 Years)", "Long Term Care"]
    places = []
    for _ in range(500):
        where = (41.6 + chance.random() * 0.4, -87.9 + chance.random() * 0.4)
        places.append(
            {
                "licence": str(chance.randint(1_000_000, 2_500_000)),
                "name": f"{word(chance)} {word(chance)}".upper(),
                "kind": chance.choice(kinds),
                "risk": chance.choice(["Risk 1 (High)", "Risk 2 (Medium)", "Risk 3 (Low)"]),
                "address": f"{chance.randint(1, 9999)} {chance.choice('NSEW')} {word(chance).upper()} ST",
                "city": "CHICAGO",
                "state": "IL",
                "zip": str(chance.randint(60_601, 60_661)),
                "latitude": f"{where[0]:.6f}",
                "longitude": f"{where[1]:.6f}",
            }
        )
    results = ["Pass", "Pass", "Pass", "Fail", "Pass w/ Conditions", "Out of Business"]
    rows: Rows = [
        {"inspection": str(44_000 + at * 3)}
        | chance.choice(places)
        | {
            "date": f"{chance.randint(1, 12):02}/{chance.randint(1, 28):02}/{chance.randint(2010, 2016)}",
            "result": chance.choice(results),
        }
        for at in range(4_000)
    ]
    dirt = Dirt(rows, chance)
    for at in dirt.rows_of(0.03):
        dirt.put(
            at,
            "city",
            chance.choice(["CCHICAGO", "CHICAGO.", "Chicago", "CHCHICAGO", "CHICAGOCHICAGO", "chicago"]),
            "typo",
        )
    for at in dirt.rows_of(0.02):
        dirt.put(at, "state", chance.choice(["", "IN", "Il"]), "conflict")
    for name in ("name", "address"):
        for at in dirt.rows_of(0.02):
            dirt.put(at, name, mistyped(rows[at][name], chance), "typo")
    for name in ("zip", "kind", "risk"):
        for at in dirt.rows_of(0.02):
            dirt.put(at, name, chance.choice(rows)[name], "conflict")
    for at in dirt.rows_of(0.02):
        dirt.put(at, "licence", chance.choice(["0", "", mistyped(rows[at]["licence"], chance)]), "typo")
    for at in dirt.rows_of(0.02):
        dirt.put(at, "latitude", rows[at]["longitude"], "swapped")
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


def courses(seed: int) -> Dirty:
    """2,500 marks: course and term together say who taught it and where; names are written in several ways."""
    chance = random.Random(seed)
    teachers = [f"{word(chance).title()}, {chance.choice('ABCDEFGH')}." for _ in range(25)]
    terms = [f"{year}{half}" for year in (2019, 2020, 2021, 2022) for half in ("S", "W")]
    titles = {
        f"{chance.choice(['MAT', 'PHY', 'BIO'])}{100 + at}": f"{word(chance)} {word(chance)}".title()
        for at in range(20)
    }
    held = {
        (course, term): (chance.choice(teachers), f"R{chance.randint(1, 4)}.{chance.randint(10, 40)}")
        for course in titles
        for term in terms
    }
    rows: Rows = []
    for _ in range(2_500):
        course, term = chance.choice(list(titles)), chance.choice(terms)
        teacher, room = held[course, term]
        rows.append(
            {
                "student": f"{chance.randint(100_000, 999_999)}",
                "course": course,
                "title": titles[course],
                "term": term,
                "teacher": teacher,
                "room": room,
                "mark": f"{chance.choice([1.0, 1.3, 1.7, 2.0, 2.3, 2.7, 3.0, 3.3, 3.7, 4.0, 5.0])}",
            }
        )
    dirt = Dirt(rows, chance)
    for name in ("teacher", "room"):
        for at in dirt.rows_of(0.04):
            dirt.put(at, name, chance.choice(rows)[name], "conflict")
    for at in dirt.rows_of(0.03):
        dirt.put(at, "title", mistyped(rows[at]["title"], chance), "typo")
    for at in dirt.rows_of(0.02):
        dirt.put(at, "course", rows[at]["course"].lower(), "format")
    for at in dirt.rows_of(0.02):
        dirt.put(at, "mark", chance.choice(["17", "33", "1,7", "n.b."]), "range")
    for at in dirt.rows_of(0.02):
        dirt.put(at, "student", rows[at]["student"][:-1], "format")
    return dirt.done()


HELD_OUT: Sequence = (taxes, movies, inspections, shops, courses)
