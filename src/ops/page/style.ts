/** The style sheet of the status page. Colour only repeats what words say. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --paper: #f6f7f5; --card: #fff; --ink: #17201c; --soft: #5c6963; --line: #e1e5e0;
  --good: #1a7f4e; --good-wash: #e3f4ea; --warn: #9a6200; --warn-wash: #fdf1d6;
  --bad: #b3261e; --bad-wash: #fce6e3; --accent: #2563a8; --accent-wash: #dbe8f6;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #111614; --card: #1a211e; --ink: #e6ebe8; --soft: #94a39b; --line: #2b3531;
    --good: #5fce94; --good-wash: #163427; --warn: #eab54d; --warn-wash: #3a2d10;
    --bad: #f58a80; --bad-wash: #431c19; --accent: #7db3ee; --accent-wash: #1b3350;
  }
}
* { box-sizing: border-box }
body {
  margin: 0 auto; padding: 28px 24px 40px; max-width: 1120px; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
header { display: flex; justify-content: space-between; align-items: baseline; gap: 8px 24px; flex-wrap: wrap; margin-bottom: 16px }
header b { font-size: 17px; letter-spacing: -.01em }
header span, footer, .soft { color: var(--soft); font-size: 13px }
.verdict { border-radius: 12px; padding: 22px 26px; border: 1px solid; }
.verdict h1 { margin: 0; font-size: 27px; line-height: 1.2; letter-spacing: -.02em; font-weight: 650; color: inherit }
.verdict p, .verdict ul { margin: 8px 0 0; color: var(--ink) }
.verdict ul { padding-left: 18px } .verdict li { margin: 3px 0; overflow-wrap: anywhere }
.good { color: var(--good); background: var(--good-wash); border-color: color-mix(in srgb, var(--good) 30%, transparent) }
.warn { color: var(--warn); background: var(--warn-wash); border-color: color-mix(in srgb, var(--warn) 35%, transparent) }
.bad { color: var(--bad); background: var(--bad-wash); border-color: color-mix(in srgb, var(--bad) 35%, transparent) }
.flat { color: var(--soft); background: color-mix(in srgb, var(--soft) 12%, transparent) }
h2 { margin: 34px 0 12px; font-size: 18px; letter-spacing: -.01em; font-weight: 620 }
h3 { margin: 0 0 10px; font-size: 13px; font-weight: 600; color: var(--soft) }
.grid { display: grid; gap: 14px; grid-template-columns: repeat(12, minmax(0, 1fr)) }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px 18px; grid-column: span 12; min-width: 0 }
.figure { font-size: 30px; line-height: 1.15; letter-spacing: -.025em; font-weight: 620; font-variant-numeric: tabular-nums }
.figure small { font-size: 15px; font-weight: 500; color: var(--soft); letter-spacing: 0 }
.mono { font: 13.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums }
th { text-align: left; font-size: 12.5px; font-weight: 500; color: var(--soft); padding: 0 12px 6px 0; white-space: nowrap }
td { padding: 7px 12px 7px 0; border-top: 1px solid var(--line); vertical-align: top }
th:last-child, td:last-child { padding-right: 0 }
.num { text-align: right; white-space: nowrap }
.tag { display: inline-block; padding: 0 8px; border-radius: 99px; font-size: 12.5px; line-height: 20px; font-weight: 550; white-space: nowrap }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 5px 16px; margin: 0 }
dt { color: var(--soft) } dd { margin: 0; overflow-wrap: anywhere; min-width: 0 }
svg { display: block; width: 100% }
.column { display: flex; flex-direction: column } .stack { display: flex; flex-direction: column; gap: 14px; grid-column: span 12; min-width: 0 }
.wide { overflow-x: auto } .whole { white-space: nowrap }
.area { fill: var(--accent-wash) } .stroke { fill: none; stroke: var(--accent); stroke-width: 1.5; vector-effect: non-scaling-stroke }
.spark { flex: 1 0 84px; height: 84px; margin-bottom: 6px } .bar { height: 6px; border-radius: 3px; margin-top: 6px } .bar .rail { fill: var(--line) } .bar .fill { fill: var(--accent) }
.log { list-style: none; margin: 0; padding: 0 }
.log li { display: grid; grid-template-columns: 84px 58px 1fr; gap: 12px; padding: 7px 0; border-top: 1px solid var(--line); align-items: baseline }
.log li:first-child { border-top: 0; padding-top: 0 } .log span { overflow-wrap: anywhere; min-width: 0 }
.log .tag { justify-self: start }
@media (min-width: 800px) { .w3 { grid-column: span 3 } .w4 { grid-column: span 4 } .w5 { grid-column: span 5 } .w6 { grid-column: span 6 } .w7 { grid-column: span 7 } .w8 { grid-column: span 8 } }
@media (max-width: 799px) { .w3 { grid-column: span 6 } body { padding: 18px 12px 32px } .card { padding: 14px } table { font-size: 13px } .mono { font-size: 12px } th { white-space: normal; font-size: 11.5px; overflow-wrap: anywhere } th, td { padding-right: 6px } .whole { white-space: normal; overflow-wrap: anywhere } .num { white-space: normal } .tag { padding: 0 5px; font-size: 11.5px } .log li { grid-template-columns: 62px 46px 1fr; gap: 8px } }
.plots { display: none; margin-bottom: 14px } .live .plots { display: grid } .live #spark { display: none }
@media (min-width: 800px) { .live #responses { grid-column: span 5 } .live #asked { grid-column: span 12 } }
.plot { min-height: 150px; position: relative } .plot.empty::after { content: "nothing in the last ten minutes"; position: absolute; top: 60px; left: 0; right: 0; text-align: center; color: var(--soft); font-size: 13px }
.u-legend { font: 12.5px/1.4 system-ui, sans-serif; color: var(--ink); text-align: left } .u-legend th { color: var(--soft); padding: 0 4px 0 0 } .u-legend td { border: 0; padding: 0 } .u-hz .u-cursor-x, .u-hz .u-cursor-y { border-color: var(--soft) }
input[type=search] { display: none; font: inherit; color: var(--ink); background: var(--paper); border: 1px solid var(--line); border-radius: 6px; padding: 2px 8px; width: 150px; margin-left: 8px }
.live input[type=search] { display: inline-block }
.age { display: none } .lost .age { display: inline; color: var(--bad) }
a { color: var(--accent) } footer { margin-top: 32px; display: flex; gap: 6px 20px; flex-wrap: wrap }
`
