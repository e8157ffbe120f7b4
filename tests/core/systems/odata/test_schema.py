"""`$metadata`: hostile documents, and what real services' documents look like."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from include.errors import ContractBroken
from include.models import Column
from include.systems.odata import service
from include.systems.odata.declared import ODataRecords, ODataSink
from include.systems.odata.schema import Navigation, NotCsdl, Property, Schema, read_schema
from tests.core.systems.contracts import NIGHT, rows_of
from tests.core.systems.odata.conftest import Here, Loop, Said, Scripted

HEAD = '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>'
TAIL = "</edmx:DataServices></edmx:Edmx>"
SINK = ODataSink(system="erp", object="Scores", fields={"note": "note"}, keys=("Id",))


def schema(inside: str, attributes: str = 'Namespace="N"') -> Schema:
    return read_schema(document(inside, attributes))


def document(inside: str, attributes: str = 'Namespace="N"') -> bytes:
    text = f'{HEAD}<Schema {attributes} xmlns="http://docs.oasis-open.org/odata/ns/edm">{inside}</Schema>{TAIL}'
    return text.encode()


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(12))
    + f"]>{HEAD}<Schema Namespace='&l;'/>{TAIL}"
)
OUTSIDE = f'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>{HEAD}<Schema Namespace="N">&f;</Schema>{TAIL}'
BLOWN_UP = f'<!DOCTYPE x [<!ENTITY a "{"a" * 100_000}">]>{HEAD}<Schema Namespace="{"&a;" * 500}"/>{TAIL}'


@pytest.mark.parametrize("text", [BOMB, OUTSIDE, BLOWN_UP, '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><x/>'])
def test_a_document_with_entities_is_refused_before_they_are_read(text: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(NotCsdl, match="has a document type"):
            read_schema(text.encode())
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("content", [b"", b"{}", b"<html>", b"<a></b>"])
def test_what_is_no_xml_is_named(content: bytes) -> None:
    with pytest.raises(NotCsdl, match="is no XML"):
        read_schema(content)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_no_encoding_hides_a_document_type(encoding: str) -> None:
    with pytest.raises(NotCsdl, match="is no XML in UTF-8"):
        read_schema(BOMB.encode(encoding))


def test_a_page_without_entity_sets_is_no_schema() -> None:
    with pytest.raises(NotCsdl, match="no entity set"):
        read_schema(b"<html><body>Sign in</body></html>")


def test_a_wrong_document_is_a_breach_that_names_the_connection(scripted: Scripted) -> None:
    scripted.document = b"<html><body>Sign in</body></html>"
    with pytest.raises(ContractBroken, match=r"has no entity set.*connection `erp_default`"):
        SINK.open(Here(scripted.url)).check_contract()


COMPLEX = (
    '<ComplexType Name="Place"><Property Name="Town" Type="Edm.String"/></ComplexType>'
    '<EntityType Name="S"><Key><PropertyRef Name="Id"/><PropertyRef Name="Lost"/></Key>'
    '<Property Name="Id" Type="Edm.String"/><Property Name="At" Type="Edm.DateTimeOffset"/>'
    '<Property Name="Place" Type="N.Place"/><Property Name="Tags" Type="Collection(Edm.String)"/></EntityType>'
    '<EntityContainer Name="C"><EntitySet Name="Scores" EntityType="N.S"/></EntityContainer>'
)
READ = ODataRecords(
    system="erp", object="Scores", keys=(Column("Id", "id"),), changed=Column("At", "at", "datetime"), columns=()
)


@pytest.mark.parametrize("name", ["Place", "Tags"])
def test_what_is_no_single_value_is_neither_read_nor_written(scripted: Scripted, name: str) -> None:
    scripted.document = document(COMPLEX.replace('<PropertyRef Name="Lost"/>', ""))
    with pytest.raises(ContractBroken, match=f"'{name}' is .* cannot be read as text"):
        replace(READ, columns=(Column(name, "x"),)).open(Here(scripted.url)).check_contract()
    with pytest.raises(ContractBroken, match=f"'{name}' is .* no single value"):
        replace(SINK, fields={"x": name}).open(Here(scripted.url)).check_contract()


def test_a_part_of_a_complex_value_is_read(scripted: Scripted) -> None:
    scripted.document = document(COMPLEX.replace('<PropertyRef Name="Lost"/>', ""))
    rows = {"value": [{"Id": "1", "At": "2026-11-18T03:00:00Z", "Place": {"Town": "Ulm"}}]}
    scripted.answers = [Said(rows), Said({"value": []})]
    read = replace(READ, columns=(Column("Place/Town", "town"),)).open(Here(scripted.url))
    read.check_contract()
    assert [row["town"] for row in rows_of(read.read(NIGHT))] == ["Ulm"]
    assert "$select=Id,At,Place&$filter" in scripted.paths()[0]


def test_a_key_that_is_nowhere_is_a_breach(scripted: Scripted) -> None:
    scripted.document = document(COMPLEX)
    with pytest.raises(ContractBroken, match="the key Lost is no property"):
        replace(SINK, keys=("Id", "Lost"), fields={"x": "Place"}).open(Here(scripted.url)).check_contract()


def test_a_document_without_end_is_not_read_to_its_end(serving: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = 0

    async def pour(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 400:
            await response.write(b" " * 65_536)
            sent += 1
        return response

    app = web.Application()
    app.router.add_get("/{rest:.*}", pour)
    monkeypatch.setattr(service, "MAX_BYTES", 200_000)
    with pytest.raises(ContractBroken, match="longer than 200,000 bytes"):
        SINK.open(Here(serving.serve(app))).check_contract()
    assert sent < 400


def test_types_inherit_keys_and_properties_under_an_alias() -> None:
    found = schema(
        """
        <EntityType Name="Base" Abstract="true"><Key><PropertyRef Name="Id"/></Key>
          <Property Name="Id" Type="Edm.Guid" Nullable="false"/></EntityType>
        <EntityType Name="Order" BaseType="self.Base"><Property Name="Price" Type="Edm.Decimal" Scale="2"/>
          <Property Name="Rest" Type="Edm.Decimal" Scale="variable"/><Property Name="Weight" Type="self.Kilos"/>
          <NavigationProperty Name="Lines" Type="Collection(self.Order)"/>
          <NavigationProperty Name="Parent" Type="self.Order"/></EntityType>
        <TypeDefinition Name="Kilos" UnderlyingType="Edm.Decimal"/>
        <EntityContainer Name="C"><EntitySet Name="Orders" EntityType="self.Order"/></EntityContainer>""",
        'Namespace="Com.Erp" Alias="self"',
    )
    order = found.type(found.sets["Orders"])
    assert order is not None
    assert order.keys == ("Id",)
    assert order.properties["Price"] == Property("Edm.Decimal", 2)
    assert order.properties["Rest"].scale is None
    assert found.primitive(order.properties["Weight"].type) == "Edm.Decimal"
    assert order.navigations == {"Lines": Navigation("self.Order", True), "Parent": Navigation("self.Order", False)}


@pytest.mark.parametrize("bases", [("A", "B"), ("B", "A")])
def test_types_that_inherit_from_each_other_are_no_endless_loop(bases: tuple[str, str]) -> None:
    types = "".join(
        f'<EntityType Name="{name}" BaseType="N.{base}"/>' for name, base in zip("AB", bases[::-1], strict=True)
    )
    found = schema(f'{types}<EntityContainer Name="C"><EntitySet Name="S" EntityType="N.A"/></EntityContainer>')
    assert found.type("N.A") is not None


# SAP marks such properties in lists of their own under aliases, others say it within the property.
# https://docs.oasis-open.org/odata/odata-csdl-xml/v4.01/odata-csdl-xml-v4.01.html (14.1)
MARKED = '<EntityType Name="T"><Property Name="At" Type="Edm.DateTimeOffset">{}</Property></EntityType>'
LIST = '<Annotations Target="SAP__self.T/At"><Annotation Term="{}" {}/></Annotations>'
SETS = '<EntityContainer Name="C"><EntitySet Name="S" EntityType="N.T"/></EntityContainer>'


@pytest.mark.parametrize(
    ("inside", "read_only"),
    [
        (MARKED.format('<Annotation Term="Org.OData.Core.V1.Computed"/>') + SETS, True),
        (MARKED.format('<Annotation Term="Core.Computed" Bool="false"/>') + SETS, False),
        (MARKED.format("") + SETS + LIST.format("SAP__core.Computed", ""), True),
        (LIST.format("SAP__core.Computed", 'Bool="true"') + MARKED.format("") + SETS, True),
        (MARKED.format("") + SETS + LIST.format("SAP__core.Permissions", 'EnumMember="Core.Permission/Read"'), True),
        (MARKED.format("") + SETS + LIST.format("Core.Permissions", 'EnumMember="Core.Permission/ReadWrite"'), False),
        (MARKED.format('<Annotation Term="SAP__common.Label" String="Changed"/>') + SETS, False),
    ],
)
def test_what_only_the_service_sets_is_read_only(inside: str, read_only: bool) -> None:
    found = schema(inside, 'Namespace="N" Alias="SAP__self"').type("N.T")
    assert found is not None
    assert found.properties["At"].read_only is read_only


def test_a_large_document_is_read_in_little_memory() -> None:
    """Dynamics 365 Finance describes some thousands of entities; a tree of it would take hundreds of megabytes."""
    one = "".join(f'<Property Name="P{n}" Type="Edm.String" MaxLength="60"/>' for n in range(40))
    text = "".join(f'<EntityType Name="T{n}">{one}</EntityType>' for n in range(400))
    tracemalloc.start()
    try:
        found = schema(f'{text}<EntityContainer Name="C"><EntitySet Name="S" EntityType="N.T3"/></EntityContainer>')
        used: Any = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found.types) == 400
    assert used < 12 * len(text)
