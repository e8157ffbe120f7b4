"""Tables as in `dirty_tables`, of other shapes and with other errors: what is suggested was not tuned on them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from tests.bench.dirty_tables import Dirt, Dirty, mistyped, word, words
from tests.core.operations.suggest.wrong_cells import Rows


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


def samples(seed: int) -> Dirty:
    """3,500 laboratory results of 25 tests: unit and range are the test's, units mixed up, months in words, ids cut."""
    chance = random.Random(seed)
    units, wards = ["mg/dL", "mmol/L", "g/L", "U/L"], [f"{one.title()} Ward" for one in words(chance, 14)]
    tests = {f"{word(chance, 1, 2).upper()}{at}": (chance.choice(units), chance.randint(1, 90)) for at in range(25)}
    doctors = {f"D{chance.randint(1000, 9999)}": f"Dr. {word(chance).title()}" for _ in range(60)}
    rows: Rows = []
    for at in range(3_500):
        test, doctor = chance.choice(list(tests)), chance.choice(list(doctors))
        unit, low = tests[test]
        rows.append(
            {
                "sample": f"S-{2020 + at % 4}-{at:06}",
                "patient": f"{chance.randint(10**8, 10**9 - 1)}",
                "test": test,
                "unit": unit,
                "low": str(low),
                "high": str(low * 3),
                "result": f"{chance.gauss(low * 2, low * 0.4):.1f}",
                "taken": f"2023-{chance.randint(1, 12):02}-{chance.randint(1, 28):02} {chance.randint(10, 19)}:30",
                "doctor": doctor,
                "doctor_name": doctors[doctor],
                "ward": chance.choice(wards),
                "fasting": chance.choice(["yes", "no", "no"]),
            }
        )
    dirt = Dirt(rows, chance)
    for name in ("unit", "low", "doctor_name"):
        for at in dirt.rows_of(0.025):
            dirt.put(at, name, chance.choice(rows)[name], "conflict")
    for at in dirt.rows_of(0.03):
        dirt.put(at, "taken", rows[at]["taken"][:10].replace("-", chance.choice([".", "/"])), "format")
    for at in dirt.rows_of(0.02):
        dirt.put(at, "patient", rows[at]["patient"][:-2], "format")
    for at in dirt.rows_of(0.02):
        dirt.put(at, "result", chance.choice(["<1", "neg", rows[at]["result"] + " " + rows[at]["unit"]]), "format")
    for at in dirt.rows_of(0.02):
        dirt.put(at, "ward", mistyped(rows[at]["ward"], chance), "typo")
    for at in dirt.rows_of(0.02):
        dirt.put(at, "fasting", chance.choice(["Y", "true", "No"]), "format")
    return dirt.done()


def sightings(seed: int) -> Dirty:
    """2,200 birds that people saw: species in Latin and English, grids, heights in feet, names exchanged."""
    chance = random.Random(seed)
    species = [
        (f"{word(chance).title()} {word(chance)}", f"{word(chance).title()} {chance.choice(['tit', 'owl', 'gull'])}")
        for _ in range(70)
    ]
    families = {latin: word(chance, 2, 3).title() + "idae" for latin, _ in species}
    people = [f"{word(chance).title()} {word(chance).title()}" for _ in range(120)]
    rows: Rows = []
    for at in range(2_200):
        latin, english = species[min(int(chance.expovariate(1 / 18)), 69)]
        rows.append(
            {
                "record": f"{at + 500}",
                "latin": latin,
                "english": english,
                "family": families[latin],
                "seen_by": chance.choice(people),
                "grid": f"{chance.choice(['SU', 'TQ', 'NT', 'SD'])}{chance.randint(1000, 9999)}",
                "height": f"{chance.randint(2, 900)} m",
                "count": str(min(int(chance.lognormvariate(1, 1)) + 1, 90)),
                "on": f"{chance.randint(1, 28):02}.{chance.randint(1, 12):02}.{chance.randint(2015, 2022)}",
            }
        )
    dirt = Dirt(rows, chance)
    for name in ("latin", "english"):
        for at in dirt.rows_of(0.025):
            dirt.put(at, name, mistyped(rows[at][name], chance), "typo")
    for at in dirt.rows_of(0.02):
        dirt.put(
            at, "family", chance.choice(["", rows[at]["family"].lower(), chance.choice(rows)["family"]]), "conflict"
        )
    for at in dirt.rows_of(0.04):
        dirt.put(at, "height", f"{int(rows[at]['height'][:-2]) * 3} {chance.choice(['ft', 'feet'])}", "unit")
    for at in dirt.rows_of(0.03):
        dirt.put(at, "grid", f"{rows[at]['grid'][:2]} {rows[at]['grid'][2:4]} {rows[at]['grid'][4:]}", "format")
    for at in dirt.rows_of(0.03):
        day, month, year = rows[at]["on"].split(".")
        dirt.put(at, "on", f"{year}-{month}-{day}", "format")
    for at in dirt.rows_of(0.01):
        dirt.put(at, "count", chance.choice(["several", "-1", "5000"]), "range")
    for at in dirt.rows_of(0.01):
        latin, english = rows[at]["latin"], rows[at]["english"]
        dirt.put(at, "latin", english, "swapped")
        dirt.put(at, "english", latin, "swapped")
    return dirt.done()


HELD_OUT: Sequence[Callable[[int], Dirty]] = (movies, inspections, courses, samples, sightings)
