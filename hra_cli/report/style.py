"""The style sheet of a report."""

from __future__ import annotations

# The colours of methods differ in lightness as well as in hue, and nothing is told by colour alone.
STYLE_SHEET = """\
:root {
  color-scheme: light dark;
  --text: #1b1f24; --faint: #6a737d; --background: #ffffff; --raised: #f3f5f7; --line: #d0d7de;
  --frozen: #7d8590; --hra: #0059a8; --ablation: #4a9fd8; --baseline: #c24e00;
  --wrong: #fbe3d3;
}
@media (prefers-color-scheme: dark) {
  :root {
    --text: #e8eaed; --faint: #9aa4af; --background: #14171b; --raised: #1f242a; --line: #3a424b;
    --frozen: #8b949e; --hra: #3f9bff; --ablation: #a9d4fb; --baseline: #ff9a4a;
    --wrong: #55290c;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--background); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", "DejaVu Sans", sans-serif;
}
header, main { max-width: 62rem; margin: 0 auto; padding: 0 1rem; }
main { padding-bottom: 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 2rem 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.35rem; margin: 3rem 0 0.75rem; padding-top: 0.75rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 0.5rem; }
a { color: var(--hra); }
nav { display: flex; flex-wrap: wrap; gap: 0.25rem 1.1rem; margin-top: 1rem; }
dl {
  display: grid; gap: 0.6rem 1.5rem; margin: 0;
  grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr));
}
dt { color: var(--faint); font-size: 0.85rem; }
dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: 0.5rem 0 1rem; }
figcaption { color: var(--faint); font-size: 0.875rem; max-width: 48rem; }
.wide { overflow-x: auto; margin-bottom: 0.5rem; }
svg { display: block; width: 100%; min-width: 40rem; height: auto; }
svg * { stroke-linejoin: round; stroke-linecap: butt; }
svg text { font-family: inherit !important; paint-order: stroke; stroke: var(--background); stroke-width: 2px; }
table { border-collapse: collapse; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.75rem 0.25rem 0; text-align: left; border-bottom: 1px solid var(--line); }
tbody { white-space: nowrap; }
thead th { color: var(--faint); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 500; }
th:first-child { position: sticky; left: 0; background: var(--background); min-width: 6rem; }
.number { text-align: right; }
pre { background: var(--raised); padding: 0.75rem 1rem; border-radius: 6px; overflow-x: auto; font-size: 0.85rem; }
.beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(16rem, 100%), 1fr)); gap: 0 2rem; }
.worst { padding-left: 2rem; }
.worst li { margin-bottom: 1rem; }
.id { margin: 0; font-size: 0.875rem; overflow-wrap: anywhere; }
.id span { color: var(--faint); }
.aligned { display: flex; flex-wrap: wrap; gap: 0.35rem 0.2rem; margin: 0.25rem 0 0; }
.word {
  display: inline-flex; flex-direction: column; align-items: center; padding: 0.1rem 0.35rem; border-radius: 4px;
  font-size: 0.9rem; line-height: 1.35;
}
.word b { font-size: 0.7rem; min-height: 1em; }
.S, .D, .I { background: var(--wrong); outline: 1px solid var(--baseline); }
.S span, .D span, .I span { font-weight: 600; }
.D span:first-child { text-decoration: line-through; }
.I span:nth-child(2) { text-decoration: underline; }
@media print { .wide { overflow: visible; } svg { min-width: 0; } }
"""
