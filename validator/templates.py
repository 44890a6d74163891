"""Templates in suites and targets: `{{ job.id }}` and its like, rendered in a sandbox.

Only `{{ ... }}` is special. What a value holds is never rendered again, so a hostile job id stays
text; in an address it is percent-encoded and can choose no path. A text that is one template
alone keeps the type of its value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from validator.errors import ConfigError, ValidatorError

if TYPE_CHECKING:
    from jinja2 import Environment, Template, nodes
    from jinja2.environment import TemplateExpression

    from checks import CheckKind
    from checks._params import Params
    from validator.model import Job
    from validator.suite import CheckSpec
    from validator.yamlfile import At

RUN_NAMES = frozenset({"run.id", "run.nonce", "run.corpus", "trace.id"})
"""What templates may name besides `job.*`."""

LEASE_NAMES = frozenset({"lease.holder", "lease.ttl"})
"""What only the requests of a lease may name besides."""

_IDS = RUN_NAMES | {"job.id"}
_ROOTS = ("job", "run", "trace", "lease")
_LONE = re.compile(r"\s*\{\{((?:(?!\}\}|\{\{).)*)\}\}\s*", re.DOTALL)

Context = Mapping[str, Mapping[str, Any]]
"""By root (`job`, `run`, `trace`, `lease`) what each name stands for."""


class TemplateError(ConfigError):
    """A template is not written as one."""


class UnboundTemplate(ValidatorError):  # noqa: N818 - not an error: something is not known yet
    """A template names something that is not known (yet); `name` is what."""

    def __init__(self, name: str) -> None:
        """Say which name has no value."""
        super().__init__(f"{name} is not known")
        self.name = name


def context(values: Mapping[str, Any]) -> Context:
    """Return the context of names such as `run.id`; a name without a root is one of the job's.

    What is None is left out, and an id that is empty: nothing is to be looked for by no id.
    """
    found: dict[str, dict[str, Any]] = {root: {} for root in _ROOTS}
    for name, value in values.items():
        root, dot, rest = name.partition(".")
        if not dot and root in _ROOTS and isinstance(value, Mapping):
            found[root] |= {key: inner for key, inner in value.items() if inner is not None}
        elif value is not None and (value != "" or name not in _IDS):
            home, key = (root, rest) if dot and root in _ROOTS else ("job", name)
            found[home][key] = value
    return found


def settled(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names of a new run with the templates in its job's values rendered.

    Only for values of the suite: what a target answered is never rendered.
    """
    known = context({name: value for name, value in values.items() if name in RUN_NAMES})
    return {name: render(value, known) for name, value in values.items()}


def of_job(job: Job) -> Context:
    """Return what the templates of checks may name: of the job, its run and its trace.

    `job.fields` holds what the target answered under plain names (`job.error_code`), and what
    the run knows under dotted ones (`run.corpus`, `job.url`).
    """
    trace_id = job.traces[0].trace_id if job.traces else ""
    own = {"job.id": job.id, "run.id": job.run_id, "trace.id": trace_id}
    return context({**job.fields, **own})


def render(value: Any, names: Context) -> Any:
    """Return the value with every template in it rendered (keys of mappings are left alone)."""
    if isinstance(value, str):
        return _text(value, names) if "{{" in value else value
    if isinstance(value, Mapping):
        return {key: render(inner, names) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [render(inner, names) for inner in value]
    return value


def render_text(text: str, names: Context) -> str:
    """Return the text with its templates rendered; the result is text in any case."""
    return str(_text(text, names)) if "{{" in text else text


def render_url(url: str, names: Context) -> str:
    """Return the address with its templates rendered, each value percent-encoded.

    A value cannot be `.` or `..` in the path: HTTP libraries resolve those, encoded or not.
    """
    if "{{" not in url:
        return url
    rendered = _render(url, names, url=True)
    if any(segment in (".", "..") for segment in urlsplit(rendered).path.split("/")):
        raise ConfigError(f"{url}: its values would make a path of dots")
    return rendered


def names(value: Any) -> tuple[str, ...]:
    """Return the names that the templates in a value use, such as `job.id`, in order.

    Raises `TemplateError` for what is not a template.
    """
    found: dict[str, None] = {}
    for _, text in texts(value):
        found |= dict.fromkeys(_names(text))
    return tuple(found)


def texts(value: Any, at: At = ()) -> Iterator[tuple[At, str]]:
    """Yield every text with a template in it, and where it stands."""
    if isinstance(value, str):
        if "{{" in value:
            yield at, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from texts(inner, (*at, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from texts(inner, (*at, index))


def bind(spec: CheckSpec, job: Job, kind: CheckKind) -> Params:
    """Return the check's parameters for this job.

    Raises `UnboundTemplate` when a template names something that is not known, and `ConfigError`
    when the rendered parameters are not what the check takes.
    """
    from pydantic import ValidationError  # noqa: PLC0415 - the command line starts without it

    rendered = render(spec.params, of_job(job))
    try:
        return kind.params.model_validate(rendered)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in detail["loc"])
        raise ConfigError(
            f"{spec.where}: {spec.name}: {place}: {detail['msg']} (after templates were rendered)"
        ) from error


def unknown(used: Iterable[str], job_names: frozenset[str] | None) -> list[str]:
    """Return the names among `used` that mean nothing; `job_names` None: any `job.*` is known."""
    inside = ("job.",) if job_names is None else tuple(f"{name}." for name in job_names)
    known = RUN_NAMES | (job_names or frozenset())
    return [name for name in used if name not in known and not name.startswith(inside)]


def _text(text: str, known: Context) -> Any:
    """Render a text; one template alone keeps its value's type."""
    lone = _LONE.fullmatch(text)
    if lone is None:
        return _render(text, known, url=False)
    from jinja2 import Undefined, UndefinedError  # noqa: PLC0415 - slow to import

    try:
        value = _expression(lone[1])(known)
    except UndefinedError as error:
        raise UnboundTemplate(_missing(text, known)) from error
    except Exception as error:
        raise TemplateError(f"{text}: {error}") from error
    if isinstance(value, Undefined):
        raise UnboundTemplate(_missing(text, known))
    return value


def _render(text: str, known: Context, *, url: bool) -> str:
    """Render a text to text."""
    from jinja2 import UndefinedError  # noqa: PLC0415 - slow to import

    try:
        return _compiled(text, url=url).render(known)
    except UndefinedError as error:
        raise UnboundTemplate(_missing(text, known)) from error
    except Exception as error:
        raise TemplateError(f"{text}: {error}") from error


@lru_cache(maxsize=1024)
def _compiled(text: str, *, url: bool) -> Template:
    """Return a compiled template; the same ones are rendered at every judgement."""
    return _environment(url=url).from_string(text)


@lru_cache(maxsize=1024)
def _expression(text: str) -> TemplateExpression:
    """Return what computes a template that stands alone."""
    return _environment(url=False).compile_expression(text, undefined_to_none=False)


def _missing(text: str, known: Context) -> str:
    """Return the first name in `text` that has no value."""
    for name in _names(text):
        root, _, rest = name.partition(".")
        if rest not in known.get(root, {}):
            return name
    return text


@cache
def _environment(*, url: bool) -> Environment:
    """Return the sandbox; with `url`, values are percent-encoded."""
    from jinja2 import StrictUndefined, Undefined  # noqa: PLC0415 - slow to import
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415 - slow to import

    def encode(value: Any) -> Any:
        """Percent-encode a value, but leave the unknown to raise."""
        return value if isinstance(value, Undefined) else quote(str(value), safe="")

    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        finalize=encode if url else None,
        autoescape=False,  # the result is JSON, a header or an address, not HTML
        keep_trailing_newline=True,
        block_start_string="\0{%",
        block_end_string="%}\0",
        comment_start_string="\0{#",
        comment_end_string="#}\0",
    )
    environment.globals.clear()
    environment.filters["regex"] = lambda value: re.escape(str(value))
    return environment


def _names(text: str) -> tuple[str, ...]:
    """Return the dotted names that a text's templates use."""
    from jinja2 import TemplateSyntaxError, nodes  # noqa: PLC0415 - slow to import

    try:
        tree = _environment(url=False).parse(text)
        _compiled(text, url=False)  # knows the filters
    except TemplateSyntaxError as error:
        raise TemplateError(f"{text}: {error.message}") from error
    accesses: list[nodes.Getattr | nodes.Getitem] = [
        *tree.find_all(nodes.Getattr),
        *tree.find_all(nodes.Getitem),
    ]
    inner = {id(access.node) for access in accesses if _dotted(access)}
    used: list[nodes.Node] = [*accesses, *tree.find_all(nodes.Name)]
    found = [_dotted(node) for node in used if id(node) not in inner and _dotted(node)]
    return tuple(dict.fromkeys(found))


def _dotted(node: nodes.Node) -> str:
    """Return `job.id` for that expression, empty if it is another kind of expression."""
    from jinja2 import nodes  # noqa: PLC0415 - slow to import

    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Getattr):
        owner = _dotted(node.node)
        return f"{owner}.{node.attr}" if owner else ""
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        owner = _dotted(node.node)
        return f"{owner}.{node.arg.value}" if owner else ""
    return ""
