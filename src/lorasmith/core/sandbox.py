"""Jinja's sandbox with limits of time and size: a template from a stranger can neither hang a process nor fill its memory.

What is limited: seconds and text for one rendering, each string or list on the way, and numbers. It knows no chats.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jinja2
import jinja2.nodes
import jinja2.sandbox
import jinja2.visitor
from jinja2.runtime import Context
from jinja2.utils import Namespace

SECONDS = 5.0
MAX_SOURCE_CHARS = 2**20  # the largest published chat templates have 30 thousand
FREE_CHARS = 2**20
PER_CHAR = 16
"""What one rendering may write: FREE_CHARS, and this many for each character of its input."""
_INNER = 64  # so many times more may be made on the way: templates glue their text together piece by piece
_MAX_BITS = 4096
_WIDTH = re.compile(r"\d{5,}|\*")
_PADDING = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs"})


class Exceeded(jinja2.TemplateError):
    """The template goes beyond a limit."""


class _Budget(threading.local):
    """What is left for the rendering that this thread does; without one, nothing is counted."""

    deadline = float("inf")
    max_chars = PER_CHAR * FREE_CHARS
    output = inner = float("inf")


class LimitedSandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """Jinja's sandbox, which counts what a rendering writes and makes, and stops it at a deadline."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, **options: Any):
        self.budget = _Budget()
        super().__init__(finalize=self._written, **options)
        self.globals.pop("lipsum")  # text without end
        for name in ("replace", "center", "indent", "join", "format", "wordwrap", "string"):
            self.filters[name] = _checked_filter(name, self.filters[name])

    def compile_limited(self, source: str) -> jinja2.Template:
        """Raises jinja2.TemplateSyntaxError, also for a source that is too long or nested too deeply."""
        if len(source) > MAX_SOURCE_CHARS:
            raise jinja2.TemplateSyntaxError(f"it has more than {MAX_SOURCE_CHARS} characters", 1)
        try:
            return self.from_string(source)
        except (RecursionError, MemoryError, SyntaxError, OverflowError) as error:
            raise jinja2.TemplateSyntaxError("it is nested too deeply", 1) from error

    def render_limited(self, template: jinja2.Template, values: Mapping[str, Any]) -> str:
        """Raises jinja2.TemplateError, of it Exceeded beyond a limit; and whatever the template's own mistakes raise."""
        budget = self.budget
        budget.max_chars = FREE_CHARS + PER_CHAR * _num_chars(values)
        budget.output, budget.inner = float(budget.max_chars), float(_INNER * budget.max_chars)
        budget.deadline = time.monotonic() + SECONDS
        try:
            text = template.render(values)
        finally:
            budget.deadline = budget.output = budget.inner = float("inf")
        if len(text) > budget.max_chars:
            raise Exceeded(f"it writes more than {budget.max_chars} characters")
        return text

    def _parse(self, source: str, name: str | None, filename: str | None) -> jinja2.nodes.Template:
        """Every round of a loop, every `~` and every list goes through `call`, where the limits are watched."""
        tree = super()._parse(source, name, filename)
        for loop in list(tree.find_all(jinja2.nodes.For)):
            num_chars = sum(map(len, _own_texts(loop)))
            turn = _called("turn", [jinja2.nodes.Const(num_chars)], loop)
            loop.body.insert(0, jinja2.nodes.ExprStmt(turn).set_lineno(loop.lineno))
        return _Watched().visit(tree).set_environment(self)

    def turn(self, num_chars: int) -> str:
        """Called at each round of a loop, which may write so many characters of the template's own."""
        self.made(min(num_chars, self.budget.max_chars))
        return ""

    def joined(self, *parts: Any) -> str:
        """What `~` does."""
        texts = [str(self.measured(part)) for part in parts]
        self.made(sum(map(len, texts)))
        return "".join(texts)

    def built(self, value: Any) -> Any:
        """A list, tuple or dictionary that the template writes out: nested ones may double their size at each step."""
        self.made(len(value))
        return self.measured(value)

    def measured(self, value: Any) -> Any:
        """`value`, unless it is too large to be written. Raises Exceeded."""
        if not isinstance(value, str):
            self.made(_num_chars(value, self.budget.max_chars))
        return value

    def made(self, size: int) -> None:
        """Count a string or list of `size` before it is made. Raises Exceeded."""
        self.budget.inner -= size
        if size > self.budget.max_chars or self.budget.inner < 0:
            raise Exceeded("it makes texts that are too large")

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        if time.monotonic() > self.budget.deadline:
            raise Exceeded(f"it takes longer than {SECONDS:g} seconds")
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, str):
            self._check_method(owner, obj.__name__, args)
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and isinstance(left, str):
            _check_widths(left)
        elif operator == "+" and isinstance(left, (str, list, tuple)):
            self.made(len(left) + (len(right) if isinstance(right, (str, list, tuple)) else 0))
        elif operator in ("*", "**"):
            self._check_product(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is not None:
            _check_widths(value.__self__)
        return wrapped

    def _check_product(self, operator: str, left: Any, right: Any) -> None:
        for one, other in ((left, right), (right, left)):
            if isinstance(one, (str, list, tuple)) and isinstance(other, int):
                self.made(len(one) * max(0, other))
        if isinstance(left, int) and isinstance(right, int):
            bits = (
                left.bit_length() * max(1, abs(right)) if operator == "**" else left.bit_length() + right.bit_length()
            )
            if bits > _MAX_BITS:
                raise Exceeded("it computes with numbers that are too large")

    def _check_method(self, text: str, name: str, args: Sequence[Any]) -> None:
        if name in _PADDING:
            self.made(len(text) * (max(1, int(args[0])) if name == "expandtabs" and args else 1))
            self.made(int(args[0]) if args else 0)
        elif name in ("replace", "join"):
            _check_growth(self, name, (text, *args))

    def _written(self, value: Any) -> Any:
        """Jinja hands over each value that is written."""
        self.budget.output -= len(value) if isinstance(value, str) else _num_chars(value, self.budget.max_chars)
        if self.budget.output < 0:
            raise Exceeded(f"it writes more than {self.budget.max_chars} characters")
        return value


def _own_texts(loop: jinja2.nodes.For) -> Iterator[str]:
    """What stands in a loop's body word for word, between the marks and in quotes."""
    for data in loop.find_all((jinja2.nodes.TemplateData, jinja2.nodes.Const)):
        text = data.data if isinstance(data, jinja2.nodes.TemplateData) else data.value
        if isinstance(text, str):
            yield text


def _called(name: str, arguments: list[jinja2.nodes.Expr], at: jinja2.nodes.Node) -> jinja2.nodes.Call:
    """A call of the environment's own method `name`."""
    call = jinja2.nodes.Call(jinja2.nodes.EnvironmentAttribute(name), arguments, [], None, None)
    call.set_lineno(at.lineno)
    return call


class _Watched(jinja2.visitor.NodeTransformer):
    """`a ~ b` becomes a call of `joined`, a list that is written out one of `built`."""

    def visit_Concat(self, node: jinja2.nodes.Concat) -> jinja2.nodes.Node:  # noqa: N802  named by jinja
        self.generic_visit(node)
        return _called("joined", node.nodes, node)

    def visit_List(self, node: jinja2.nodes.List | jinja2.nodes.Dict) -> jinja2.nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _called("built", [node], node) if node.items else node

    visit_Dict = visit_List  # noqa: N815


def _checked_filter(name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, after a look at how large its result would be."""
    passes = getattr(inner, "jinja_pass_arg", None)

    def checked(environment: LimitedSandbox, *args: Any, **kwargs: Any) -> Any:
        rest = args[1:] if passes else args
        if name == "format":
            _check_widths(str(rest[0]))
        else:
            _check_growth(environment, name, [*rest, *kwargs.values()])
        return inner(*args, **kwargs)

    def for_environment(environment: LimitedSandbox, *args: Any, **kwargs: Any) -> Any:
        return checked(environment, *((environment, *args) if passes else args), **kwargs)

    def for_context(context: jinja2.nodes.EvalContext, *args: Any, **kwargs: Any) -> Any:
        return checked(context.environment, *((context, *args)), **kwargs)  # type: ignore[arg-type]

    if passes is not None and passes.name == "eval_context":
        return jinja2.pass_eval_context(for_context)
    return jinja2.pass_environment(for_environment)


def _check_growth(sandbox: LimitedSandbox, name: str, args: Sequence[Any]) -> None:
    """Count what a filter, or a method of a text, would make of these arguments; the first is what it is applied to."""
    text = str(sandbox.measured(args[0]))
    numbers = [abs(arg) for arg in args[1:] if isinstance(arg, int)]
    others = [len(arg) for arg in args[1:] if isinstance(arg, str)]
    if name == "replace" and len(args) > 2:
        sandbox.made(len(text) + text.count(str(args[1])) * len(str(args[2])))
    elif name == "join":
        # A list that a text joins: the list comes first for the filter, the text for the method.
        items, mark = (
            (args[1], args[0]) if isinstance(args[0], str) and not others and len(args) > 1 else (args[0], args[1:])
        )
        if isinstance(items, (list, tuple)):
            sizes = (len(item) if isinstance(item, str) else 8 for item in items)
            sandbox.made(sum(sizes) + len(str(mark)) * len(items))
    elif name == "wordwrap":
        sandbox.made(len(text) * max([*others, 1]))
    elif name in ("indent", "center"):
        lines = 1 + text.count("\n") if name == "indent" else 1
        sandbox.made(len(text) + max([*numbers, *others, 4]) * lines)


def _check_widths(form: str) -> None:
    """Formats may pad their values without end: `%1000000000d`, `{:>1000000000}`, `{:>{width}}`."""
    if _WIDTH.search(form) or re.search(r"\{[^{}]*\{", form):
        raise Exceeded("it pads a value too far")


def _num_chars(value: Any, limit: int | None = None) -> int:
    """Characters of all texts in a value; numbers count 8. Raises Exceeded beyond `limit`, at once."""
    count, stack = 0, [value]
    while stack:
        value = stack.pop()
        is_text = isinstance(value, str)
        count += len(value) if is_text else 8
        if limit is not None and count > limit:
            raise Exceeded("it makes texts that are too large")
        if is_text:
            continue  # most are: what else they might be takes longer to ask than to count them
        if isinstance(value, Mapping):
            stack.extend(value)
            stack.extend(value.values())
        elif isinstance(value, (list, tuple)):
            stack.extend(value)
        elif isinstance(value, Namespace):
            raise Exceeded("it writes a namespace")
    return count
