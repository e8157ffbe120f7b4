"""Entity sets as data, and `$metadata` made of them (https://docs.oasis-open.org/odata/odata-csdl-xml/v4.01/)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import quoteattr

NAMESPACE = "Nightledger.Sandbox"


@dataclass(frozen=True, slots=True)
class Prop:
    """A property; `longest` in characters, `scale` in digits after the point. What is `computed` no client sets."""

    type: str
    required: bool = False
    longest: int | None = None
    scale: int | None = None
    computed: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """A way to entities of another set whose properties have the values of our own ones: own name -> their name."""

    to: str
    by: Mapping[str, str]
    many: bool = False


@dataclass(frozen=True, slots=True)
class EntitySet:
    """A set of entities; `changed` is set at each change. With `needs_etag` no change goes without `If-Match`."""

    name: str
    type: str
    keys: tuple[str, ...]
    props: Mapping[str, Prop]
    links: Mapping[str, Link] = field(default_factory=dict)
    changed: str = ""
    writable: bool = False
    needs_etag: bool = False


Model = Mapping[str, EntitySet]


def metadata(model: Model) -> str:
    """The CSDL document."""
    types = "".join(_entity_type(each, model) for each in model.values())
    sets = "".join(_entity_set(each) for each in model.values())
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx">\n'
        '<edmx:Reference Uri="https://oasis-tcs.github.io/odata-vocabularies/vocabularies/Org.OData.Core.V1.xml">'
        '<edmx:Include Namespace="Org.OData.Core.V1" Alias="Core"/></edmx:Reference>\n'
        f'<edmx:DataServices><Schema Namespace="{NAMESPACE}" xmlns="http://docs.oasis-open.org/odata/ns/edm">\n'
        f'{types}<EntityContainer Name="Container">\n{sets}</EntityContainer>\n'
        "</Schema></edmx:DataServices></edmx:Edmx>\n"
    )


def _entity_type(each: EntitySet, model: Model) -> str:
    keys = "".join(f"<PropertyRef Name={quoteattr(name)}/>" for name in each.keys)
    props = "".join(_property(name, prop) for name, prop in each.props.items())
    links = "".join(
        f"<NavigationProperty Name={quoteattr(name)} Type={quoteattr(_linked(link, model))}/>\n"
        for name, link in each.links.items()
    )
    return f"<EntityType Name={quoteattr(each.type)}><Key>{keys}</Key>\n{props}{links}</EntityType>\n"


def _property(name: str, prop: Prop) -> str:
    facets = {"Name": name, "Type": prop.type}
    facets |= {"Nullable": "false"} if prop.required else {}
    facets |= {"MaxLength": str(prop.longest)} if prop.longest else {}
    facets |= {"Scale": str(prop.scale)} if prop.scale is not None else {}
    written = " ".join(f"{facet}={quoteattr(value)}" for facet, value in facets.items())
    computed = '<Annotation Term="Core.Computed"/>' if prop.computed else ""
    return f"<Property {written}>{computed}</Property>\n"


def _entity_set(each: EntitySet) -> str:
    bound = "".join(
        f"<NavigationPropertyBinding Path={quoteattr(name)} Target={quoteattr(link.to)}/>"
        for name, link in each.links.items()
    )
    concurrency = '<Annotation Term="Core.OptimisticConcurrency"><Collection/></Annotation>' if each.needs_etag else ""
    kind = quoteattr(f"{NAMESPACE}.{each.type}")
    return f"<EntitySet Name={quoteattr(each.name)} EntityType={kind}>{bound}{concurrency}</EntitySet>\n"


def _linked(link: Link, model: Model) -> str:
    name = f"{NAMESPACE}.{model[link.to].type}"
    return f"Collection({name})" if link.many else name
