"""An inspection as one self-contained HTML page: facts, findings, lengths, rows token by token. No script, no request."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from lorasmith.data.duplicates import NEAR_SIMILARITY
from lorasmith.data.findings import Finding
from lorasmith.data.inspection import Inspection
from lorasmith.data.sample import Piece, SampleRow, visible

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 760, 200, 8, 26

_STYLE = """
:root{color-scheme:light dark;--bg:#fbfbfd;--card:#fff;--ink:#1c1b22;--soft:#6b6878;--line:#e6e4ee;--accent:#5b4bd6;
--bar:#c9c3f4;--bad:#b42318;--warn:#9a6700;--good:#18794e;--l1:#c9efd8;--l2:#a9e3c1;--li:#0b3d24;--p1:#f1f0f6;--p2:#e7e5ef;
--s1:#e6dffb;--si:#4a35b5}
@media(prefers-color-scheme:dark){:root{--bg:#131218;--card:#1c1b23;--ink:#eceaf4;--soft:#9d99ad;--line:#2e2c39;
--accent:#a79bff;--bar:#4a4380;--bad:#ff8a80;--warn:#f2c14e;--good:#5fd39b;--l1:#17402b;--l2:#1f5538;--li:#c8f5dc;--p1:#24222d;
--p2:#2d2b38;--s1:#382f63;--si:#cfc6ff}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:14px/1.5 ui-sans-serif,system-ui,sans-serif}
main{max-width:920px;margin:0 auto;padding:32px 20px 64px}h1{font-size:28px;line-height:1.2;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:16px;margin:0 0 12px}p{margin:0 0 12px;color:var(--soft)}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:20px;margin-top:16px;overflow-x:auto}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(112px,1fr));gap:16px}
.figures b{display:block;font-size:20px;font-weight:600;font-variant-numeric:tabular-nums}.figures span{
color:var(--soft);font-size:12px}
table{border-collapse:collapse;width:100%}td,th{padding:6px 16px 6px 0;text-align:left;vertical-align:top;
border-top:1px solid var(--line)}
tr:first-child>*{border-top:0}th{font-weight:500;color:var(--soft);white-space:nowrap}td{overflow-wrap:anywhere}
ul{list-style:none;margin:0;padding:0}li{padding:10px 0;border-top:1px solid var(--line);display:grid;
grid-template-columns:84px 1fr}
li:first-child{border-top:0;padding-top:0}li:last-child{padding-bottom:0}li small{display:block;color:var(--soft);font-size:12px}
.fatal>b{color:var(--bad)}.warning>b{color:var(--warn)}.ok{color:var(--good)}
svg{display:block;width:100%;height:auto;font:11px ui-sans-serif,system-ui,sans-serif}svg rect:hover{opacity:.75}
.key{display:flex;flex-wrap:wrap;gap:6px 16px;font-size:12px;color:var(--soft);margin-bottom:4px}
.row{padding:14px 0;border-top:1px solid var(--line)}.row header{font-size:12px;color:var(--soft);margin-bottom:6px}
.row header b{color:var(--ink);font-weight:600}
.tokens{font:13px/1.75 ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere}
.tokens i,.key i{font-style:normal;border-radius:3px;padding:1px 0;background:var(--p1)}.tokens i:nth-child(even){
background:var(--p2)}
.tokens i.l,.key i.l{background:var(--l1);color:var(--li)}.tokens i.l:nth-child(even){background:var(--l2)}
.tokens i.s,.key i.s{background:var(--s1);color:var(--si)}.tokens i.l.s{box-shadow:inset 0 -2px var(--si)}
.tokens i.c,.key i.c{background:none;color:var(--bad);text-decoration:line-through;opacity:.75}.key i{padding:1px 6px}
.tokens u{text-decoration:none;opacity:.45}.more{color:var(--soft);font-style:italic}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(280px,1fr));gap:16px}.tag{font-size:12px;color:var(--soft)}
"""


def page_of(found: Inspection, name: str) -> str:
    """The whole page. `name` is how the dataset is called. Nothing in the data can become a part of the page's code."""
    title = _text(name)
    sections = [_figures(found), _findings(found.findings), _lengths(found), _facts(found), _rows(found)]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<style>{_STYLE}</style></head><body><main><h1>{title}</h1>"
        f"<p>{_text(found.format)} · fields: {_text(', '.join(found.fields))}</p>{''.join(sections)}</main></body></html>\n"
    )


def _text(text: str) -> str:
    return escape(visible(text))


def _card(title: str, body: str) -> str:
    return f'<section class="card"><h2>{title}</h2>{body}</section>' if body else ""


def _figures(found: Inspection) -> str:
    figures = [(f"{found.num_rows:,}", "rows"), (f"{found.length_p50:,}", f"{found.unit} in the middle")]
    figures += [(f"{found.length_max:,}", f"{found.unit} at most")]
    if found.num_tokens:
        share = found.num_supervised_tokens / found.num_tokens
        figures += [(f"{found.num_supervised_tokens:,}", f"to learn, {100 * share:.0f} %")]
        figures += [(f"{found.num_truncated:,}", f"rows over {found.max_length:,} tokens")]
    figures += [(f"{found.copies.count + found.near_copies.count:,}", "copies and near copies")]
    shown = "".join(f"<div><b>{value}</b><span>{label}</span></div>" for value, label in figures)
    return f'<section class="card figures">{shown}</section>'


def _findings(findings: list[Finding]) -> str:
    if not findings:
        return _card("Findings", '<span class="ok">✓ Nothing that would spoil a training was found.</span>')
    names = {"fatal": "✕ Fatal", "warning": "! Warning"}
    items = "".join(
        f'<li class="{finding.level}"><b>{names[finding.level]}</b>'
        f"<div>{_text(str(finding))}<small>{_text(finding.fix)}</small></div></li>"
        for finding in findings
    )
    return _card("Findings", f"<ul>{items}</ul>")


def _lengths(found: Inspection) -> str:
    if not found.length_max:
        return ""
    most = max(rows for _, rows in found.histogram) or 1
    width = (_WIDTH - 2 * _LEFT) / len(found.histogram)
    floor = _HEIGHT - _BOTTOM
    bars: list[str] = []
    lower = 0
    for number, (edge, rows) in enumerate(found.histogram):
        height = max(1.5 if rows else 0, (floor - 18) * rows / most)
        x = _LEFT + number * width
        bars.append(
            f'<rect x="{x + 1:.1f}" y="{floor - height:.1f}" width="{width - 2:.1f}" height="{height:.1f}" rx="2" '
            f'fill="var(--bar)">'
            f"<title>{lower + 1:,} to {edge:,} {found.unit}: {rows:,} rows</title></rect>"
            f'<text x="{x + width:.1f}" y="{_HEIGHT - 8}" text-anchor="end" fill="var(--soft)">{edge:,}</text>'
        )
        lower = edge
    chart = (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Rows by length in {found.unit}">'
        f'<line x1="{_LEFT}" x2="{_WIDTH - _LEFT}" y1="{floor}" y2="{floor}" stroke="var(--line)"/>'
        f"{''.join(bars)}{_cut_line(found, width, floor)}</svg>"
    )
    note = f"95 % of the rows have at most {found.length_p95:,} {found.unit}, 99.5 % at most {found.length_p995:,}."
    return _card(f"Length in {found.unit}", chart + f'<p style="margin:8px 0 0">{note}</p>')


def _cut_line(found: Inspection, width: float, floor: int) -> str:
    if not found.max_length or found.max_length > found.histogram[-1][0]:
        return ""
    lower = 0
    place = float(len(found.histogram))
    for number, (edge, _) in enumerate(found.histogram):
        if found.max_length <= edge:
            place = number + (found.max_length - lower) / max(1, edge - lower)
            break
        lower = edge
    x = _LEFT + place * width
    side, shift = ("end", -6) if place > len(found.histogram) / 2 else ("start", 6)
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{floor}" stroke="var(--bad)" stroke-dasharray="4 3"/>'
        f'<text x="{x + shift:.1f}" y="14" text-anchor="{side}" fill="var(--bad)">cut at {found.max_length:,}</text>'
    )


def _facts(found: Inspection) -> str:
    compared = (
        f"among the first {found.num_compared:,} rows" if found.num_compared < found.num_rows else "among all rows"
    )
    facts = {
        "Rows": f"{found.num_rows:,}" + (f", and {found.num_bad_rows:,} that cannot be used" if found.num_bad_rows else ""),
        "Holds": ", ".join(f"{name} in {count:,} rows" for name, count in found.holds.items()),
        "Languages": _mix(found.languages),
        "Asked in": _mix(found.question_languages) if found.question_languages != found.languages else "",
        "Exact copies": _repeated(found.copies.count, found.copies.pairs),
        "Near copies": _repeated(found.near_copies.count, found.near_copies.pairs)
        + f", {compared}, from about {100 * NEAR_SIMILARITY:.0f} % equal pairs of words on",
        "Contradictions": _repeated(found.conflicts.count, found.conflicts.pairs),
        "Held out": f"{found.leaks.num_rows:,} rows; {found.leaks.num_same_question:,} with a question of the other rows, "
        f"{found.leaks.num_near_copies:,} near copies of them" if found.leaks.num_rows else "",
    }  # fmt: skip
    if found.against:
        other = found.against
        facts[f"In {found.against_name}"] = (
            f"of {other.num_rows:,} rows {other.num_copies:,} are here as they are, {other.num_same_question:,} by their "
            f"question, {other.num_near_copies:,} as near copies"
        )
    for line, reason in found.bad_rows[:10]:
        facts[f"Line {line}"] = reason
    rows = "".join(f"<tr><th>{_text(name)}</th><td>{_text(text)}</td></tr>" for name, text in facts.items() if text)
    return _card("Facts", f"<table>{rows}</table>")


def _mix(languages: dict[str, float]) -> str:
    return ", ".join(f"{name} {max(1, round(100 * share))} %" for name, share in languages.items())


def _repeated(count: int, pairs: list[tuple[str, str]]) -> str:
    some = "; ".join(" and ".join(pair) for pair in pairs)
    return f"{count:,}" + (f" (lines {some}{' …' if count > len(pairs) else ''})" if some else "")


def _rows(found: Inspection) -> str:
    key = (
        '<div class="key"><span><i class="l">learnt</i></span><span><i>only read</i></span><span><i class="s">special</i></span>'
        '<span><i class="c">cut away</i></span><span>shades change from token to token; point at one for its id</span></div>'
    )
    rows = "".join(_row(row, found.max_length) for row in found.samples)
    title = f"{len(found.samples)} rows" + (" as the model sees them" if found.unit == "tokens" else "")
    return _card(title, (key if found.unit == "tokens" else "") + rows) if rows else ""


def _row(row: SampleRow, max_length: int) -> str:
    where = f"line {row.place}" if row.place.isdigit() else row.place
    facts = [f"{row.num_tokens:,} tokens, {row.num_learnt:,} learnt"] if row.num_tokens else []
    facts += [f"{row.num_cut:,} cut away at {max_length:,}"] if row.num_cut else []
    facts += [row.about] if row.about else []
    head = f"<header><b>{_text(where)}</b> {_text(' · '.join(['', *facts]))}</header>"
    if row.rejected:
        sides = (("chosen", row), ("rejected", row.rejected))
        body = "".join(f'<div><span class="tag">{name}</span>{_body(side)}</div>' for name, side in sides)
        return f'<div class="row">{head}<div class="pair">{body}</div></div>'
    return f'<div class="row">{head}{_body(row)}</div>'


def _body(row: SampleRow) -> str:
    if row.pieces:
        before, after = row.pieces[: row.hidden_after], row.pieces[row.hidden_after :]
        more = f'<span class="more"> … {row.num_hidden:,} tokens more … </span>' if row.num_hidden else ""
        return f'<div class="tokens">{_pieces(before)}{more}{_pieces(after)}</div>'
    turns = "".join(f"<b>{_text(message['role'])}</b>\n{_text(message['content'])}\n" for message in row.messages)
    return f'<div class="tokens">{turns}{_text(row.text)}</div>'


def _pieces(pieces: Iterable[Piece]) -> str:
    return "".join(map(_piece, pieces))


def _piece(piece: Piece) -> str:
    marks = (("l", piece.learnt and not piece.cut), ("s", piece.special and not piece.cut), ("c", piece.cut))
    names = " ".join(name for name, holds in marks if holds)
    shown = _text(piece.text).replace("\t", "<u>→</u>\t").replace("\n", "<u>↵</u>\n") or "<u>∅</u>"
    return (
        f'<i{f" class={chr(34)}{names}{chr(34)}" if names else ""} title="{", ".join(map(str, piece.ids))}">{shown}</i>'
    )
