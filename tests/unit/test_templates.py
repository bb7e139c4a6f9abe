"""Chat templates are strangers' programs: what they may reach, how long they may run, how much they may write."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lorasmith.core import sandbox
from lorasmith.core.errors import DataProblem
from lorasmith.core.templates import compile_template
from lorasmith.data.tokenizer import CHATML, HERMES, Tokenizer

QWEN3 = (Path(__file__).parent / "templates/qwen3_like.jinja").read_text()
CHAT = [{"role": "user", "content": "Two & two?"}, {"role": "assistant", "content": "Four."}]


def tokenizer_with(template):
    """A tokenizer that only renders."""
    return Tokenizer(None, template, "", "", "", Path("some"))


ENDLESS = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}",
    "output": "{% for a in range(99999) %}{% for b in range(99999) %}{{ messages[0].content }}{% endfor %}{% endfor %}",
    "product": "{{ 'a' * 10 ** 10 }}",
    "power": "{{ 9 ** (9 ** 9) }}",
    "width": "{{ '%1000000000d' % 1 }}",
    "format": "{{ '{:>1000000000}'.format(1) }}",
    "format from a field": "{{ '{:>{w}}'.format(1, w=10 ** 10) }}",
    "format filter": "{{ '%1000000000d' | format(1) }}",
    "center": "{{ 'a' | center(10 ** 10) }}",
    "ljust": "{{ 'a'.ljust(10 ** 10) }}",
    "indent": "{{ 'a' | indent(10 ** 10, true) }}",
    "json": "{{ messages | tojson(indent=10 ** 10) }}",
    "wordwrap": "{{ ('a ' * 100000) | wordwrap(1, true, 'b' * 100000) }}",
    "lipsum": "{{ lipsum(n=10 ** 8) }}",
    "blocks": "{% set x %}" + "a" * 50 + "{% endset %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 40,
    "recursion": "{% macro m(n) %}{{ m(n + 1) }}{{ m(n + 1) }}{% endmacro %}{{ m(1) }}",
    "deep source": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "long source": "a" * (2**20 + 1),
    **{
        f"doubled by {name}": "{% set ns = namespace(x='aaaaaaaaaaaaaaa', l=[1]) %}{% for i in range(60) %}{% set " + step + " %}{% endfor %}{{ ns.l }}"
        for name, step in {
            "~": "ns.x = ns.x ~ ns.x", "+": "ns.x = ns.x + ns.x", "replace": "ns.x = ns.x.replace('a', ns.x)",
            "replace filter": "ns.x = ns.x | replace('a', ns.x)", "join": "ns.x = ns.x.join(['a'] * 50)",
            "join filter": "ns.x = (['a'] * 50) | join(ns.x)", "lists": "ns.l = ns.l + ns.l", "nests": "ns.l = [ns.l, ns.l]",
            "dictionaries": "ns.l = dict(a=ns.l, b=ns.l)", "namespaces": "ns.l = namespace(a=ns.l, b=ns.l)",
        }.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("name", ENDLESS)
def test_a_template_can_neither_hang_nor_fill_the_memory(monkeypatch, name):
    """SEC-2"""
    monkeypatch.setattr(sandbox, "SECONDS", 0.5)
    tokenizer = tokenizer_with(ENDLESS[name])
    started = time.monotonic()
    with pytest.raises(DataProblem, match=r"refuses a conversation|is broken"):
        tokenizer.render(CHAT)
    assert time.monotonic() - started < 3


def test_long_conversations_stay_within_a_templates_limits():
    """SEC-2: the limits grow with what is to be written."""
    chat = [{"role": role, "content": "x" * 2000} for _ in range(1000) for role in ("user", "assistant")]
    for template in (CHATML, HERMES, QWEN3):
        text = tokenizer_with(template).render(chat)
        assert len(text) > 4_000_000
    glued = (
        "{% set ns = namespace(x='') %}{% for m in messages %}{% set ns.x = ns.x ~ m.content %}{% endfor %}{{ ns.x }}"
    )
    tokenizer = tokenizer_with(glued)
    assert len(tokenizer.render(chat[:400])) == 800_000


def test_a_template_cannot_reach_out_of_its_sandbox():
    """SEC-2"""
    evil = "{{ messages.__class__.__mro__[1].__subclasses__() }}"
    tokenizer = tokenizer_with(evil)
    with pytest.raises(DataProblem, match="refuses a conversation"):
        tokenizer.render(CHAT)


def test_what_templates_do_to_texts_stays_what_jinja_does():
    """SEC-2: the limits change no result."""
    cases = {
        "{{ 'a' ~ 1 ~ none ~ ['b'] }}": "a1None['b']", "{{ 'a' + 'b' }}{{ 2 * 3 }}{{ 2 ** 3 }}{{ 'ab' * 2 }}{{ [1] + [2] }}": "ab68abab[1, 2]",
        "{{ ['a', 'b'] | join('-') }}{{ 'x'.join(['a', 'b']) }}{{ ['a', 'b'] | join }}": "a-baxbab",
        "{{ 'abc' | replace('b', 'xx') }}{{ 'abc'.replace('b', '') }}": "axxcac", "{{ 'a' | center(5) }}|{{ 'a'.ljust(3) }}|": "  a  |a  |",
        "{{ '%05.1f' % 2.5 }}{{ '{:>4}'.format('x') }}{{ '%s!' | format('a') }}": "002.5   xa!", "{{ 'a\nb' | indent(2) }}": "a\n  b",
        "{% for a in [1, 2] %}{{ loop.index }}{% if not loop.last %},{% endif %}{% else %}none{% endfor %}": "1,2",
        "{% for a in [] %}x{% else %}none{% endfor %}": "none", "{{ {'a': [1, none, true]} | tojson }}": '{"a": [1, null, true]}',
        "{% set a, b = (1, 2) %}{{ a }}{{ b }}{{ missing }}{{ none }}": "12None", "{{ [{'a': 1}] | map(attribute='a') | list }}": "[1]",
        "{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m('a') ~ m('b') }}": "<a><b>", "{{ 'a b c' | wordwrap(3) }}": "a b\nc",
    }  # fmt: skip
    assert {source: compile_template(source).render() for source in cases} == cases
