# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How reports look, on screen (light and dark), on a phone and on paper."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #57606a; --paper: #ffffff;
  --line: #d0d7de; --fill: #f3f5f7; --blue: #0b62b8; --band: #0b62b833; --good: #1a7f4b;
  --warn: #b35900; --bad: #b42318; }
@media screen and (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --dim: #9da7b3;
  --paper: #0f1419; --line: #30363d; --fill: #1a2027; --blue: #63b0ff; --band: #63b0ff33;
  --good: #4cc38a; --warn: #f0a04b; --bad: #ff7b72; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 .3rem; }
h3 { font-size: 1rem; margin: 1rem 0 .3rem; }
.summary { font-size: 1.05rem; margin: 0 0 1rem; }
.note, figcaption, caption, dt { color: var(--dim); font-size: .85rem; }
.note { margin: 0 0 .6rem; max-width: 48rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: .6rem;
  margin: 0; }
.facts > div { background: var(--fill); border-radius: .4rem; padding: .5rem .7rem; }
dd { margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
figure { margin: 0; }
img { display: block; width: 100%; height: auto; border-radius: .25rem; }
figcaption { padding-top: .15rem; overflow-wrap: anywhere; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .7rem; }
.film { display: grid; grid-template-columns: repeat(auto-fill, minmax(6.5rem, 1fr)); gap: .5rem; }
.film img { height: 6.5rem; object-fit: contain; background: var(--fill); }
.bar { height: .35rem; background: var(--line); border-radius: .2rem; margin-top: .2rem; }
.bar > div { height: 100%; background: var(--blue); border-radius: .2rem;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
svg { display: block; width: 100%; height: auto; margin-bottom: .6rem; print-color-adjust: exact;
  -webkit-print-color-adjust: exact; }
svg text { fill: var(--dim); font-size: 11px; }
svg .title { fill: var(--ink); font-size: 12px; paint-order: stroke;
  stroke: var(--paper); stroke-width: 3px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child { text-align: left; font-weight: 500; }
@media print { main { max-width: none; padding: 0; } body { font-size: 11pt; }
  section, figure, svg, tr { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .sheet { grid-template-columns: repeat(3, 1fr); }
  .film { grid-template-columns: repeat(8, 1fr); } }
"""
