"""The style sheet of the comparison report: light and dark, without external fonts or scripts."""

from training.comparison.figures import Comparison

SERIES_COLORS = (
    ("#8b93a1", "#8b93a1"),
    ("#d97b29", "#f0a25c"),
    ("#1c9a83", "#45c7ad"),
    ("#3566d6", "#7aa5ff"),
    ("#8b56d1", "#b794f2"),
    ("#cc4478", "#f286ad"),
    ("#7d8a1e", "#bcc95a"),
    ("#2b8fb8", "#6cc3e6"),
    ("#a5552a", "#d99a78"),
    ("#4b8a3a", "#8fce7c"),
    ("#b23a3a", "#f08f8f"),
    ("#5a5fa8", "#a3a8ec"),
)
"""Colours on light and on dark ground; the first is muted, for popularity, the reference."""

_LAYOUT = """
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main,header{max-width:1250px;margin:0 auto;padding:0 28px}
header{padding-top:44px}
h1{font-size:27px;line-height:1.2;margin:0 0 8px;letter-spacing:-.015em}
h2{font-size:17px;margin:0 0 2px;letter-spacing:-.005em}
p{margin:0 0 14px;color:var(--quiet);max-width:90ch}
.narrow{max-width:680px}.top{margin-top:18px}
section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:20px 22px 14px;margin:18px 0}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:18px}.pair section{margin:0}
@media(max-width:900px){.pair{grid-template-columns:1fr}main,header{padding-left:14px;padding-right:14px}}
svg{display:block;width:100%;height:auto;font:13px system-ui,-apple-system,"Segoe UI",sans-serif}
svg .label{fill:var(--ink)}svg .tick{fill:var(--quiet);font-size:12px}
svg .value{fill:var(--ink);font-variant-numeric:tabular-nums}
svg .grid{stroke:var(--line)}svg .zero{stroke:var(--quiet)}
svg circle,svg .bar{fill:var(--series)}
svg .interval{stroke:var(--series);stroke-width:5;stroke-linecap:round;opacity:.38}
svg .whisker{stroke:var(--ink);stroke-width:1.4;opacity:.65}
svg polyline{fill:none;stroke:var(--series);stroke-width:2;stroke-linejoin:round}
svg .ground{fill:var(--line);opacity:.6}
svg .hover{fill:transparent}svg g:hover .hover{fill:var(--line);opacity:.5}
.scroll{overflow-x:auto;margin:0 -22px;padding:0 22px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;white-space:nowrap}
th,td{text-align:right;padding:7px 0 7px 12px;font-size:14px;border-top:1px solid var(--line);vertical-align:top}
thead th{border-top:0;color:var(--quiet);font-weight:500;font-size:12.5px}
th:first-child,td:first-child{text-align:left;padding-left:0}
td small{display:block;color:var(--quiet);font-size:11px;font-weight:400}
td.best{font-weight:650}
.dot{display:inline-block;width:10px;height:10px;border-radius:50%;background:var(--series);margin-right:8px}
.legend{display:flex;flex-wrap:wrap;gap:4px 20px;margin:0 0 8px;font-size:13px}
.modes{position:relative;margin:14px 0 18px;display:flex;flex-wrap:wrap;gap:8px;align-items:center;color:var(--quiet)}
.modes input{position:absolute;opacity:0;pointer-events:none}
.modes label{border:1px solid var(--line);border-radius:999px;padding:4px 14px;cursor:pointer;background:var(--card)}
.modes input:checked+label{background:var(--ink);color:var(--ground);border-color:var(--ink)}
.modes input:focus-visible+label{outline:2px solid var(--focus);outline-offset:2px}
.masked,.weighed,.allowed{display:none}
body:has(#masked:checked) .masked,body:has(#weighed:checked) .weighed,
body:has(#allowed:checked) .allowed{display:block}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 20px;margin:8px 0}dt{font-weight:600}dd{margin:0}
@media(max-width:600px){section{overflow-x:auto;padding:16px 16px 12px}.scroll{margin:0 -16px;padding:0 16px}
svg{min-width:470px}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:8px;color:var(--quiet)}}
footer{padding:6px 0 48px;color:var(--quiet);font-size:13px}
figcaption,dt,td:first-child{unicode-bidi:plaintext}
@media print{*{print-color-adjust:exact;-webkit-print-color-adjust:exact}body{background:none}main,header{padding:0}
section{break-inside:avoid}h2,h3,summary{break-after:avoid}tr,.behind{break-inside:avoid}
.scroll{overflow:visible;margin:0;padding:0}table{white-space:normal}th,td{padding:4px 0 4px 5px;font-size:10px}
td small{font-size:8px;white-space:nowrap}thead th{font-size:9px;overflow-wrap:anywhere}
.modes label:not(input:checked+label),.map-bar{display:none}details::details-content{content-visibility:visible}}
"""


def series_of(comparison: Comparison, ranker: str) -> int:
    """Index of the ranker's colour, the same in every chart."""
    return comparison.rankers.index(ranker) % len(SERIES_COLORS)


def style_sheet() -> str:
    """CSS of the page."""
    light = ":root{--ground:#f6f7f9;--card:#fff;--ink:#1b2129;--quiet:#636d7b;--line:#e3e6eb;--focus:#3566d6}"
    dark = ":root{--ground:#12151a;--card:#1a1e25;--ink:#e9ecf1;--quiet:#99a3b2;--line:#2c323c;--focus:#7aa5ff}"
    on_light = "".join(f".series-{place}{{--series:{pair[0]}}}" for place, pair in enumerate(SERIES_COLORS))
    on_dark = "".join(f".series-{place}{{--series:{pair[1]}}}" for place, pair in enumerate(SERIES_COLORS))
    in_the_dark = f"@media(prefers-color-scheme:dark){{{dark}{on_dark}}}"
    return f":root{{color-scheme:light dark}}{light}{on_light}{in_the_dark}{_LAYOUT}"
