"""How reports look: one sheet, both themes, nothing fetched. Colours by the tokens of the product's pages."""

STYLE = """
:root{color-scheme:light dark;--bg:#fbfbfd;--card:#fff;--ink:#1c1b22;--soft:#6b6878;--line:#e6e4ee;--accent:#5b4bd6;
--second:#c2570c;--good:#18794e;--warn:#8a5a00;--bad:#b42318;--same:#e3f5ea;--other:#fdeadd;--sunk:#f5f4f9}
@media(prefers-color-scheme:dark){:root{--bg:#131218;--card:#1c1b23;--ink:#eceaf4;--soft:#9d99ad;--line:#2e2c39;
--accent:#a79bff;--second:#f0a36b;--good:#5fd39b;--warn:#f2c14e;--bad:#ff8a80;--same:#1b3a2a;--other:#46301f;--sunk:#16151c}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:14px/1.5 ui-sans-serif,system-ui,sans-serif;
-webkit-text-size-adjust:100%}
main{max-width:880px;margin:0 auto;padding:40px 20px 64px}
h1{font-size:28px;line-height:1.2;margin:0 0 8px;overflow-wrap:anywhere;letter-spacing:-.01em}
h1 small{font:inherit;color:var(--soft)}
h2{font-size:16px;margin:0 0 14px}h3{font-size:12px;font-weight:500;color:var(--soft);margin:0 0 6px}
p{margin:0 0 8px}.verdict{font-size:16px;max-width:68ch}.soft,.tag,.key{color:var(--soft)}.tag,.key,.small{font-size:12px}
.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:20px 24px;margin-top:16px}
.wide{overflow-x:auto}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(148px,1fr));gap:20px 24px}
.figures b{display:block;font-size:20px;line-height:1.3;font-weight:600;font-variant-numeric:tabular-nums;white-space:nowrap}
.figures span{color:var(--soft);font-size:12px;display:block}
table{border-collapse:collapse;width:100%}
td,th{padding:7px 16px 7px 0;text-align:left;vertical-align:baseline;border-top:1px solid var(--line)}
td:last-child,th:last-child{padding-right:0}tr:first-child>*{border-top:0}
thead+tbody tr:first-child>*{border-top:1px solid var(--line)}
th{font-weight:500;color:var(--soft);white-space:nowrap}thead th{font-size:12px}
td{overflow-wrap:anywhere}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td.w{white-space:nowrap}td.v{font-variant-numeric:tabular-nums}
tr.best>*{background:color-mix(in oklab,var(--accent) 9%,transparent)}tr.turn>td{color:var(--warn)}
pre,code{font:12px/1.55 ui-monospace,SFMono-Regular,Menlo,monospace}
pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere}
pre.command{background:var(--sunk);border:1px solid var(--line);border-radius:8px;padding:10px 12px;margin-bottom:12px;
user-select:all}
article{padding:18px 0;border-top:1px solid var(--line)}article:first-of-type{border-top:0;padding-top:4px}
article:last-of-type{padding-bottom:0}.prompt{color:var(--soft);margin-bottom:10px}
.sides{display:grid;grid-template-columns:repeat(auto-fit,minmax(225px,1fr));gap:12px}
.side{background:var(--sunk);border:1px solid var(--line);border-radius:8px;padding:8px 12px 10px}
.side .tag{display:block;margin-bottom:4px}
ins,mark,del{color:inherit;text-decoration:none;background:none;border-radius:3px}ins{background:var(--same)}
mark{background:var(--other);text-decoration:underline 2px var(--second);text-underline-offset:3px}
del{color:var(--bad);font-weight:700;cursor:help}
svg{display:block;width:100%;height:auto;font:11px ui-sans-serif,system-ui,sans-serif;overflow:visible}
svg text{fill:var(--soft);font-variant-numeric:tabular-nums}svg .strong{fill:var(--ink);font-weight:600}
svg polyline{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}svg .faint{opacity:.3;stroke-width:1}
svg .grid{stroke:var(--line)}svg .mark{fill:var(--card);stroke:var(--accent);stroke-width:2.5}
svg .flag{stroke:var(--warn);stroke-dasharray:3 3}svg .flagged{fill:var(--warn)}
.large svg{min-width:560px}.small-charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(270px,1fr));gap:20px 28px;
margin-top:22px}
.key{display:flex;flex-wrap:wrap;gap:4px 18px;margin-bottom:8px}.key i{display:inline-block;width:16px;height:3px;
border-radius:2px;margin:0 7px 3px 0;vertical-align:middle}.key i.dot{width:8px;height:8px;border-radius:50%;margin-bottom:1px}
@media(max-width:560px){main{padding:24px 12px 48px}.card{padding:16px}h1{font-size:22px}}
@media print{.card{break-inside:avoid}body{background:#fff}}
"""


def document(title: str, body: str) -> str:
    """A whole page without script or request; both are HTML already."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
        f"<style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )
