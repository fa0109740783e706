"""The page's style sheet: one screen on a desk, one column in a hand, light and dark."""

CSS = """
:root{color-scheme:light dark;--page:#f3f5f8;--card:#fff;--ink:#16202c;--muted:#556171;
--line:#d5dbe3;--grid:#e8ecf1;--trial:#7790b8;--best:#1c5bcc;--winner:#bf4f06;--failed:#b4233f;
--layer:#dfe9fb;--pool:#e0f0e8;--join:#fbe8d8;--plain:#edf0f4;--edge:#8391a3}
@media (prefers-color-scheme:dark){:root{--page:#0f1318;--card:#181e26;--ink:#e7ecf2;
--muted:#a3afbe;--line:#313b47;--grid:#262e38;--trial:#8aa6d6;--best:#79a8ff;--winner:#ffa55c;
--failed:#ff8a9d;--layer:#24365a;--pool:#1e3f33;--join:#4d3319;--plain:#29323d;
--edge:#78889b}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:14px/1.45 system-ui,-apple-system,
"Segoe UI",Roboto,"Helvetica Neue","Liberation Sans",Arial,sans-serif;
font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
main,header,footer{max-width:1320px;margin:0 auto;padding:0 20px}
header{padding-top:14px}
.eyebrow{margin:0;color:var(--muted);font-size:12px}
.eyebrow b{color:var(--ink);font-weight:600}
h1{margin:2px 0 10px;font-size:19px;line-height:1.3;font-weight:600;letter-spacing:-.005em;
text-wrap:pretty}
h2{margin:0;font-size:13px;line-height:1.3;font-weight:600}
h3{margin:0;font-size:12px;font-weight:600}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(128px,1fr));gap:10px;
margin:0 0 10px;padding:0}
.tile,.card{background:var(--card);border:1px solid var(--line);border-radius:8px}
.tile{padding:6px 12px 7px;display:flex;flex-direction:column}
.tile dt{order:2;font-size:12.5px;line-height:1.3}
.tile dd{margin:0}
.tile .value{order:1;font-size:21px;line-height:1.25;font-weight:650}
.tile .detail{order:3;color:var(--muted);font-size:11.5px;line-height:1.3}
.won .tile:first-child .value{color:var(--winner)}
.board{display:grid;gap:10px;grid-template-columns:repeat(3,minmax(0,1fr)) minmax(0,1.5fr);
grid-template-areas:"progress tradeoff time network" "choices choices choices network";
grid-template-rows:auto 1fr}
.bare{grid-template:auto/repeat(3,minmax(0,1fr))}
.bare .card{grid-area:auto}
figure{margin:0}
.card{margin:0;padding:8px 12px 8px;min-width:0}
figcaption{min-height:36px;margin-bottom:2px}
figure+figure figcaption{min-height:0}
.progress{grid-area:progress}.tradeoff{grid-area:tradeoff}.time{grid-area:time}
.network{grid-area:network}.choices{grid-area:choices}
svg{display:block;width:100%;height:auto}
svg text{font:10px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Liberation Sans",
Arial,sans-serif;font-variant-numeric:tabular-nums;fill:var(--muted)}
.mid{text-anchor:middle}.end{text-anchor:end}
.axes path{stroke:var(--grid);fill:none}
.axes .base{stroke:var(--line)}
.t-trial{color:var(--trial)}.t-best{color:var(--best)}.t-winner{color:var(--winner)}
.t-failed{color:var(--failed)}.t-median{color:var(--ink)}
.chart circle,.chart rect,.diamond{fill:currentColor}
.diamond{stroke:var(--card);stroke-width:1.2}
.dots{stroke:currentColor;stroke-width:4.4;stroke-linecap:round;fill:none}
.many{stroke-width:2.8;opacity:.7}
.line,.cross,.tick,.rule{stroke:currentColor;fill:none;stroke-width:1.8}
.cross{stroke-width:1.5}.tick{stroke-width:2.4}.rule{stroke-width:1.3;stroke-dasharray:4 3}
.legend{display:flex;flex-wrap:wrap;gap:0 8px;margin:0;padding:0;list-style:none;
color:var(--muted);font-size:11px;line-height:1.4}
.legend li{display:flex;align-items:center;gap:4px}
.legend svg{width:14px;height:10px;flex:none}
.note{margin:0;color:var(--muted);font-size:11px;line-height:1.4}
.strips{display:grid;grid-template-columns:repeat(auto-fill,minmax(170px,1fr));gap:4px 14px}
.strips figure{margin:0;min-width:0;max-width:320px}
.strips figcaption{min-height:0;margin:0;display:flex;justify-content:space-between;gap:8px;
align-items:baseline}
.strips .note{white-space:nowrap}
.drawing{display:flex;justify-content:safe center;align-items:center}
.drawing svg{max-height:530px}
.edges path{stroke:var(--edge);fill:none;stroke-width:1.2}
.box rect{stroke:var(--edge);stroke-width:.8;fill:var(--plain)}
.box text{fill:var(--ink);font-size:11px;text-anchor:middle}
.box .detail{fill:var(--muted);font-size:9.5px}
.k-layer rect{fill:var(--layer)}.k-pool rect{fill:var(--pool)}.k-join rect{fill:var(--join)}
.k-input rect{fill:var(--card)}
.k-layer .detail,.k-pool .detail,.k-join .detail,.k-plain .detail{fill:var(--ink);opacity:.8}
.full{margin-top:10px}.full .drawing{overflow-x:auto}
.full .drawing svg{max-height:none;margin:0 auto}
.details{display:grid;gap:10px;margin-top:10px;grid-template-columns:minmax(0,1.6fr) minmax(0,1fr)}
.details .card{padding:12px 16px 14px}
.details h2{font-size:15px;margin-bottom:6px}
.stack{display:grid;gap:10px;align-content:start}
table{border-collapse:collapse;width:100%;font-size:13px}
th,td{padding:4px 10px 4px 0;text-align:left;vertical-align:top;border-top:1px solid var(--grid)}
thead th{border-top:0;color:var(--muted);font-weight:500;font-size:12px}
.number{text-align:right;white-space:nowrap}
tbody th{font-weight:400}
tbody th{white-space:nowrap}
thead th{overflow-wrap:break-word}thead .number{white-space:normal}
.scroll{overflow-x:auto}
tbody .won td,tbody .won th{font-weight:600;color:var(--winner)}
dl.facts{display:grid;grid-template-columns:auto minmax(0,1fr);gap:3px 14px;margin:0;font-size:13px}
dl.facts dt{color:var(--muted)}
dl.facts dd{margin:0}
code{font:12.5px ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace}
.details ul{margin:0;padding:0;list-style:none;font-size:13px}
.details li{padding:3px 0}
.details li span{color:var(--muted)}
a{color:var(--best)}
footer{padding-top:10px;padding-bottom:16px;color:var(--muted);font-size:12px}
@media (max-width:1080px){.board{grid-template-columns:repeat(2,minmax(0,1fr));
grid-template-areas:"progress tradeoff" "network time" "choices choices";grid-template-rows:none}
.details{grid-template-columns:minmax(0,1fr)}}
@media (max-width:640px){main,header,footer{padding-left:12px;padding-right:12px}
h1{font-size:17px}.card>svg text,.time svg text{font-size:8.5px}
.tiles{grid-template-columns:repeat(2,minmax(0,1fr))}
.tile:nth-child(5){grid-column:1/-1}
.board{grid-template-columns:minmax(0,1fr);
grid-template-areas:"progress" "tradeoff" "network" "choices" "time"}
.strips{grid-template-columns:repeat(auto-fill,minmax(150px,1fr))}
table{font-size:12px}th,td{padding-right:7px}
.minor{display:none}.drawing svg{max-height:none}.full .drawing svg{min-width:680px}
.bare{grid-template-columns:minmax(0,1fr)}.details .card{padding:10px 12px}figcaption{min-height:0}}
@media print{body{background:#fff}.card,.tile{break-inside:avoid}}
"""
