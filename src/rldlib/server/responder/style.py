"""How the page for people looks: readable on a phone, in the light and in the dark."""

from __future__ import annotations

from typing import Final

STYLE: Final = """\
:root { color-scheme: light dark; --text: #1a1a1a; --ground: #ffffff; --line: #767676; --link: #0b57a4; --soft: #f2f4f7; }
@media (prefers-color-scheme: dark) {
  :root { --text: #ececec; --ground: #16181b; --line: #8f959e; --link: #8ec2ff; --soft: #22262b; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 0 1rem 2rem; font: 1rem/1.5 system-ui, sans-serif; color: var(--text); background: var(--ground); }
a { color: var(--link); }
a:focus-visible, input:focus-visible, textarea:focus-visible, select:focus-visible, button:focus-visible, .wide:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.skip { position: absolute; left: -999rem; }
.skip:focus { left: 1rem; top: .5rem; background: var(--ground); padding: .5rem; }
header p { font-weight: 600; }
h1 { font-size: 1.6rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin-top: 2rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .25rem; }
code, pre { font-family: ui-monospace, monospace; overflow-wrap: anywhere; }
pre { background: var(--soft); padding: .75rem; white-space: pre-wrap; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
th, td { text-align: left; vertical-align: top; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line); }
thead th { white-space: nowrap; }
dl div { display: grid; grid-template-columns: minmax(8rem, 16rem) 1fr; gap: 1rem; padding: .3rem 0; border-bottom: 1px solid var(--line); }
dt { font-weight: 600; }
dd { margin: 0; }
label { display: block; font-weight: 600; margin-top: .75rem; }
input, textarea, select, button { font: inherit; color: inherit; background: var(--ground); border: 1px solid var(--line); border-radius: .25rem; padding: .5rem; }
input:not([type=checkbox]), textarea, select { width: 100%; max-width: 30rem; }
button { margin-top: 1rem; background: var(--link); color: var(--ground); border-color: var(--link); min-height: 2.75rem; padding: .5rem 1.25rem; font-weight: 600; }
.hint { display: block; font-weight: 400; }
[role=alert] { border-left: .3rem solid #c62828; padding: .5rem .75rem; background: var(--soft); }
"""
