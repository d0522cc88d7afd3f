"""Parses the text of a FHIRPath expression into its tree: the whole grammar, by precedence climbing.

https://hl7.org/fhirpath/N1/#operator-precedence · https://hl7.org/fhirpath/N1/grammar.html
"""

from __future__ import annotations

import re

from fhirstore.errors import InvalidExpression
from fhirstore.fhir.fhirpath.tree import Call, Item, Literal, Member, Node, Operation, Variable

_MAX_LENGTH = 20_000  # characters; the longest official expression has 6,000
_MAX_NESTING = 64
_MAX_DEPTH = 150  # of the tree, because trees are walked by recursion; each dot and operator adds a level

_TOKEN = re.compile(
    r"""\s++ | //[^\n]*+ | /\*.*?\*/
    | (?P<string>'(?:[^'\\]|\\.)*+')
    | (?P<date>@(?:T?\d[-\d:.TZ+]*+))
    | (?P<number>\d++(?:\.\d++)?)
    | (?P<variable>\$[a-z]++|%(?:[A-Za-z_]\w*+|`(?:[^`\\]|\\.)*+`|'(?:[^'\\]|\\.)*+'))
    | (?P<name>[A-Za-z_]\w*+|`(?:[^`\\]|\\.)*+`)
    | (?P<sign><=|>=|!=|!~|[-.,()\[\]{}|=~<>+*/&])""",
    re.DOTALL | re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}

_PRECEDENCE = {
    operator: level
    for level, operators in enumerate(
        ("implies", "or xor", "and", "in contains", "= ~ != !~", "<= < > >=", "|", "is as", "+ - &", "* / div mod"), 1
    )
    for operator in operators.split()
}
_CALENDAR_UNITS = frozenset(
    f"{unit}{plural}"
    for unit in ("year", "month", "week", "day", "hour", "minute", "second", "millisecond")
    for plural in ("", "s")
)
_SIGNED = 11  # binds tighter than any operator, looser than a dot
_TYPE_OPERATORS = ("is", "as")


def parse(text: str) -> Node:
    """Returns the tree of an expression. Raises InvalidExpression with the position if it is not FHIRPath."""
    if len(text) > _MAX_LENGTH:
        raise _too_long()
    parser = _Parser(text)
    node = parser.expression()
    parser.expect_end()
    if _is_deep(node):
        raise _too_long()
    return node


def unparse(node: Node, *, literals: bool = True) -> str:
    """Returns the text of a tree, for messages. `literals` False: a … replaces each literal, which may be
    patient data.
    """

    def shown(part: Node) -> str:
        match part:
            case Literal() if not literals:
                return "…"
            case Literal("string", text):
                return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
            case Literal(kind, text):
                return {"date": f"@{text}", "empty": "{}"}.get(kind, text)
            case Variable(name):
                return name
            case Member(of, name):
                return name if of is None else f"{shown(of)}.{name}"
            case Item(of, index):
                return f"{shown(of)}[{shown(index)}]"
            case Call(of, name, arguments):
                call = f"{name}({', '.join(map(shown, arguments))})"
                return call if of is None else f"{shown(of)}.{call}"
            case Operation(operator, left, right):
                return f"({shown(left)} {operator} {shown(right)})"

    return shown(node)


class _Parser:
    """The tokens of an expression and the current position; each rule of the grammar is a method."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._at = 0
        self._nesting = 0

    def expression(self, least: int = 1) -> Node:
        self._nesting += 1
        if self._nesting > _MAX_NESTING:
            raise _too_long()
        node = self._signed()
        while (level := _PRECEDENCE.get(operator := self._operator(), 0)) >= least:
            self._at += 1
            right = self._type() if operator in _TYPE_OPERATORS else self.expression(level + 1)
            node = Operation(operator, node, right)
        self._nesting -= 1
        return node

    def expect_end(self) -> None:
        if self._kind() != "end":
            raise self._unexpected()

    def _signed(self) -> Node:
        if self._kind() == "sign" and self._word() in "+-":
            operator = self._next()
            return Operation(operator, Literal("empty", ""), self.expression(_SIGNED))
        return self._invocations(self._term())

    def _invocations(self, node: Node) -> Node:
        while True:
            if self._take("."):
                node = self._invocation(node)
            elif self._take("["):
                node = Item(node, self.expression())
                self._expect("]")
            else:
                return node

    def _term(self) -> Node:
        kind, word = self._kind(), self._word()
        if kind == "name" and word in ("true", "false"):
            return Literal("boolean", self._next())
        if kind == "name":
            return self._invocation(None)
        if kind == "variable":
            word = self._next()
            return Variable(word[0] + _unquoted(word[1:]))
        if kind == "string":
            return Literal("string", _unquoted(self._next()))
        if kind == "date":
            return Literal("date", self._next()[1:])
        if kind == "number":
            number = self._next()
            if self._kind() == "string" or self._word() in _CALENDAR_UNITS:
                return Literal("quantity", f"{number} {self._next()}")
            return Literal("number", number)
        if self._take("("):
            node = self.expression()
            self._expect(")")
            return node
        if self._take("{"):
            self._expect("}")
            return Literal("empty", "")
        raise self._unexpected()

    def _invocation(self, of: Node | None) -> Node:
        name = self._name()
        if not self._take("("):
            return Member(of, name)
        arguments: list[Node] = []
        if not self._take(")"):
            arguments.append(self.expression())
            while self._take(","):
                arguments.append(self.expression())
            self._expect(")")
        return Call(of, name, tuple(arguments))

    def _type(self) -> Node:
        node = Member(None, self._name())
        while self._take("."):
            node = Member(node, self._name())
        return node

    def _name(self) -> str:
        if self._kind() != "name":
            raise self._unexpected()
        return _unquoted(self._next())

    def _operator(self) -> str:
        return self._word() if self._kind() in ("sign", "name") else ""

    def _kind(self) -> str:
        return self._tokens[self._at][0]

    def _word(self) -> str:
        return self._tokens[self._at][1]

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _take(self, sign: str) -> bool:
        if self._tokens[self._at][:2] == ("sign", sign):
            self._at += 1
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise self._unexpected()

    def _unexpected(self) -> InvalidExpression:
        return _not_fhirpath(self._text, self._tokens[self._at][2])


def _tokens(text: str) -> list[tuple[str, str, int]]:
    """Returns kind, text and offset of each token; an `end` token closes the list."""
    tokens: list[tuple[str, str, int]] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _not_fhirpath(text, at)
        if match.lastgroup is not None:
            tokens.append((match.lastgroup, match[0], at))
        at = match.end()
    tokens.append(("end", "", len(text)))
    return tokens


def _is_deep(node: Node) -> bool:
    layer: list[Node] = [node]
    for _ in range(_MAX_DEPTH):
        layer = [child for each in layer for child in _children(each)]
        if not layer:
            return False
    return True


def _children(node: Node) -> tuple[Node, ...]:
    match node:
        case Member(of, _):
            return () if of is None else (of,)
        case Item(of, index):
            return of, index
        case Call(of, _, arguments):
            return arguments if of is None else (of, *arguments)
        case Operation(_, left, right):
            return left, right
    return ()


def _too_long() -> InvalidExpression:
    return InvalidExpression(
        f"A FHIRPath expression may have {_MAX_LENGTH:,} characters and {_MAX_DEPTH} nested steps at most",
        code="too-long",
    )


def _not_fhirpath(text: str, at: int) -> InvalidExpression:
    return InvalidExpression(f"Not FHIRPath at character {at + 1} of {len(text)}")


def _unquoted(word: str) -> str:
    """Returns the text that a string, a delimited identifier or an identifier stands for."""
    if word[:1] not in ("'", "`"):
        return word
    return _ESCAPE.sub(
        lambda match: chr(int(match[1][1:], 16)) if len(match[1]) > 1 else _ESCAPED.get(match[1], match[1]), word[1:-1]
    )
