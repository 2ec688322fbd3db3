"""The signature of a tool function, and the check of the agent's arguments against it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, getdoc, signature
from typing import Any, NotRequired, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from typing_extensions import TypedDict  # pydantic rejects typing's before Python 3.12

from audiosocket_gw.errors import ConfigurationError, ToolError, ToolFault
from audiosocket_gw.tools.docstring import parse_docstring
from audiosocket_gw.tools.schema import Schema, parameter_schema

_CHECKS = ConfigDict(
    coerce_numbers_to_str=True,  # language models send 600 for "600"
    extra="forbid",  # an unknown argument is a wish that the tool wouldn't fulfil
    allow_inf_nan=False,  # Python's JSON reader accepts NaN and Infinity
)

_PROBLEMS_SHOWN = 5
_VALUE_SHOWN = 40

_PLAIN = {"missing": "is missing", "extra_forbidden": "there is no such parameter"}
"""pydantic's error types whose own messages a language model would not understand."""


@dataclass(frozen=True, slots=True)
class Signature:
    """The description and the parameters of a tool; ``schema`` is the JSON Schema of all its arguments."""

    description: str
    schema: Schema
    context_parameters: tuple[str, ...]
    _arguments: TypeAdapter[dict[str, Any]]

    def bind(self, parameters: Mapping[str, Any], context: object) -> dict[str, Any]:
        """Check and coerce the agent's arguments; return the function's keyword arguments.

        A null counts as not sent: models send it for an optional parameter without a value.

        Raises:
            ToolError: an argument is missing, unknown or of the wrong type; the message names all problems.
        """
        required = self.schema["required"]
        sent = {name: value for name, value in parameters.items() if value is not None or name in required}
        try:
            arguments = self._arguments.validate_python(sent)
        except ValidationError as error:
            raise ToolError(self._explain(error), ToolFault.ARGUMENTS) from None
        return arguments | dict.fromkeys(self.context_parameters, context)

    def _explain(self, error: ValidationError) -> str:
        details = error.errors(include_url=False, include_context=False)[:_PROBLEMS_SHOWN]
        known = ", ".join(self.schema["properties"]) or "none"
        return (
            f"The arguments are wrong. {'; '.join(map(_problem, details))}. The parameters are: {known}. "
            "Correct the arguments and call again; ask the caller for what you don't know."
        )


def read_signature(function: Callable[..., object], context_type: type) -> Signature:
    """Read a function's docstring and annotations, without parameters of ``context_type``.

    Raises:
        ConfigurationError: a docstring, an annotation or a description is missing or unusable. The message is
        a sentence without its subject.
    """
    doc = parse_docstring(getdoc(function) or "")
    if not doc.description:
        raise ConfigurationError("has no docstring: the agent decides by it when to call the tool; add one")
    hints = _hints(function)
    optional, context, properties = set(), [], {}
    for name, parameter in signature(function).parameters.items():
        _check_parameter(parameter, hints)
        if _is_subclass(hints[name], context_type):
            context.append(name)
            continue
        properties[name] = _schema_of(name, hints[name], doc.parameters.get(name))
        if parameter.default is not Parameter.empty:
            optional.add(name)
    required = [name for name in properties if name not in optional]
    return Signature(
        doc.description,
        {"type": "object", "properties": properties, "required": required},
        tuple(context),
        _adapter({name: hints[name] for name in properties}, optional),
    )


def _hints(function: Callable[..., object]) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        raise ConfigurationError(
            f"has an annotation that can't be resolved ({error}): import what it names, and not only "
            "under TYPE_CHECKING"
        ) from None


def _check_parameter(parameter: Parameter, hints: Mapping[str, Any]) -> None:
    if parameter.kind not in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY):
        untyped = parameter.replace(annotation=Parameter.empty)
        raise ConfigurationError(
            f"has the parameter {untyped}: an agent sends arguments by name; list the parameters one by one"
        )
    if parameter.name not in hints:
        raise ConfigurationError(
            f"has the parameter {parameter.name} without a type: write {parameter.name}: str, or what it is"
        )


def _schema_of(name: str, hint: Any, description: str | None) -> Schema:
    try:
        return parameter_schema(hint, description)
    except ConfigurationError as error:
        raise ConfigurationError(f"has the parameter {name}, which {error}") from None


def _adapter(hints: Mapping[str, Any], optional: set[str]) -> TypeAdapter[dict[str, Any]]:
    """A TypedDict instead of a model, since a tool's parameter may have any name; a model's fields may
    not.
    """
    fields = {name: NotRequired[hint] if name in optional else hint for name, hint in hints.items()}
    typed_dict: Any = TypedDict  # type checkers can't follow a type that is created at run time
    arguments = typed_dict("Arguments", fields)
    arguments.__pydantic_config__ = _CHECKS
    return TypeAdapter(arguments)


def _is_subclass(hint: Any, base: type) -> bool:
    return isinstance(hint, type) and issubclass(hint, base)


def _problem(detail: ErrorDetails) -> str:
    where = ".".join(map(str, detail["loc"]))[:_VALUE_SHOWN]
    if detail["type"] in _PLAIN:
        return f"{where}: {_PLAIN[detail['type']]}"
    value = detail["input"]
    seen = f", not {value!r:.{_VALUE_SHOWN}}" if isinstance(value, str | int | float) else ""
    return f"{where}: {detail['msg']}{seen}"
