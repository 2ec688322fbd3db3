"""The JSON Schema of a parameter in a form that a language model can fill: one type, no references, all
described.

ElevenLabs supports a subset of JSON Schema: ``type``, ``description``, ``enum`` of strings, ``items``,
``properties`` and ``required``, and every property needs a description (`LiteralJsonSchemaProperty` and
its siblings in its Python SDK 2.78).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import PydanticUserError, TypeAdapter
from pydantic_core import SchemaError

from audiosocket_gw.errors import ConfigurationError

Schema = dict[str, Any]

_SCALARS = frozenset({"string", "integer", "number", "boolean"})
_DROPPED = frozenset({"$defs", "$ref", "anyOf", "title", "default", "const"})
_ELEVENLABS = ("type", "description", "required")
_FORMATS = {"date": "YYYY-MM-DD", "time": "HH:MM", "date-time": "YYYY-MM-DDTHH:MM"}
"""ElevenLabs has no ``format``, so the description states it."""

_UNSUPPORTED = (
    "has a type that an agent can't send: use str, int, float, bool, Literal or an Enum, date or time, "
    "a pydantic model, a list of one of these, or one of these | None"
)


def parameter_schema(hint: Any, description: str | None) -> Schema:
    """Derive the schema of a parameter annotated with ``hint``; ``description`` overrides the type's own.

    Raises:
        ConfigurationError: not a JSON type, or a part of it has no description. The message is the end of a
        sentence that begins with the parameter's name.
    """
    try:
        schema = TypeAdapter(hint).json_schema()
    except PydanticUserError:
        raise ConfigurationError(_UNSUPPORTED) from None
    except (SchemaError, TypeError) as error:
        raise ConfigurationError(f"has constraints that can't be checked: {error}") from None
    described = {"description": description} if description else {}
    return _described(schema | described, schema.get("$defs", {}))


def elevenlabs_property(schema: Schema) -> Schema:
    """Reduce a schema to the subset that ElevenLabs supports."""
    reduced = {key: schema[key] for key in _ELEVENLABS if key in schema}
    if schema.get("format") in _FORMATS:
        reduced["description"] += f" Format: {_FORMATS[schema['format']]}."
    if schema["type"] == "string" and "enum" in schema:
        reduced["enum"] = schema["enum"]
    if "items" in schema:
        reduced["items"] = elevenlabs_property(schema["items"])
    if "properties" in schema:
        properties = schema["properties"].items()
        reduced["properties"] = {name: elevenlabs_property(value) for name, value in properties}
    return reduced


def _described(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Simplify a schema that must have a description."""
    simple = _simplified(schema, definitions)
    if not simple.get("description"):
        raise ConfigurationError(
            "has no description, and the agent must know what to send: add it to the docstring's Args "
            "section, or write Annotated[..., Field(description=...)]"
        )
    return simple


def _simplified(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Resolve references and ``| None``, down to one type that the agent can send."""
    own = {key: value for key, value in schema.items() if key not in _DROPPED}
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in definitions:
            raise ConfigurationError(f"has a type that contains itself ({name}), which an agent can't send")
        others = {key: value for key, value in definitions.items() if key != name}
        return _simplified(definitions[name] | own, others)
    if "anyOf" in schema:
        choices = [choice for choice in schema["anyOf"] if choice.get("type") != "null"]
        if len(choices) != 1:
            raise ConfigurationError(_UNSUPPORTED)
        return _simplified(choices[0] | own, definitions)
    return own | _contents(schema, definitions)


def _contents(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    kind = schema.get("type")
    if kind in _SCALARS:
        return {"enum": [schema["const"]]} if "const" in schema else {}
    if kind == "array" and schema.get("items"):
        whole = {"description": schema.get("description")}
        return {"items": _described(whole | schema["items"], definitions)}
    if kind == "object" and schema.get("properties"):
        return {"properties": _properties(schema["properties"], definitions)}
    raise ConfigurationError(_UNSUPPORTED)


def _properties(properties: Mapping[str, Schema], definitions: Mapping[str, Schema]) -> Schema:
    described = {}
    for name, schema in properties.items():
        try:
            described[name] = _described(schema, definitions)
        except ConfigurationError as error:
            raise ConfigurationError(f"has a field {name} that {error}") from None
    return described
