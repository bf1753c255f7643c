/**
 * The status page: one function from Status to HTML. From top to bottom it shows whether the daemon answers, where it
 * gets its data, and what has failed lately. It is complete without scripts. With scripts there are plots, filters and
 * updates (browser/live.ts), which replace every part marked `data-live`.
 *
 * This file is long, because it is the page from top to bottom, one function for each part.
 */
import { hostPort } from '../../base/ip.ts'
import { showEndpoint } from '../../config/address.ts'
import { adviceOn } from './advice.ts'
import { Html, html } from './html.ts'
import {
  ago,
  bar,
  bytes,
  clock,
  count,
  figure,
  figureOf,
  filter,
  mono,
  percentOf,
  plural,
  ROWS,
  span,
  spark,
  table,
  tag,
  th,
  thNum,
  whole,
  type Tone,
} from './parts.ts'
import { STYLE } from './style.ts'
import type { SourceCounts, Status, VipView } from '../status.ts'

/** Content-Security-Policy of the page: only the daemon's own files may be loaded, and inline scripts do not run. */
export const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self' 'unsafe-inline'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"

/** Seconds between reloads without scripts. */
const REFRESH = 10

/** The headline: the overall state and the reasons. */
const verdict = ({ health, listening }: Status): Html => {
  const { live, ready, degraded, trouble } = health
  const answering = listening.filter(at => at.udp && at.tcp && at.answers).length
  const all = listening.length
  const where =
    all === 1
      ? 'its address'
      : answering === all
        ? `all ${all} addresses`
        : `${answering} of ${all} addresses`
  const [tone, title]: [Tone, string] = !live
    ? ['bad', 'Not answering: the data thread hangs']
    : !ready
      ? [answering > 0 ? 'warn' : 'bad', answering > 0 ? `Answering on ${where}` : 'Not answering']
      : degraded
        ? ['warn', `Answering on ${where}, with ${plural(trouble.length, 'thing')} to look at`]
        : ['good', `Answering on ${where}`]
  const first = trouble[0]
  return html`<section class="verdict ${tone}" id="verdict" data-live>
    <h1>${title}</h1>
    ${
      first === undefined
        ? html`<p>Every address answers a real query, and nothing is wrong.</p>`
        : html`<p>${adviceOn(first)}</p>
            <ul>
              ${trouble.map(({ name, detail }) => html`<li>${mono(name)} ${detail}</li>`)}
            </ul>`
    }
  </section>`
}

const rcodeTone = (rcode: string): Tone =>
  rcode === 'NOERROR'
    ? 'good'
    : rcode === 'NXDOMAIN'
      ? 'flat'
      : rcode === 'SERVFAIL'
        ? 'bad'
        : 'warn'

const answering = ({
  listening,
  lastMinute,
  qps,
  cache,
  inFlight,
  tcpConnections,
  top,
}: Status): Html => {
  const { hitRatio, rcodes, p50, p99, stale } = lastMinute
  const responses = Object.values(rcodes).reduce((a, b) => a + b, 0)
  const percent = hitRatio === undefined ? '–' : (100 * hitRatio).toFixed(hitRatio < 0.9995 ? 1 : 0)
  const rate = lastMinute.qps < 10 ? lastMinute.qps.toFixed(1) : count(lastMinute.qps)
  return html`<h2>Is it answering?</h2>
    ${plots()}
    <div class="grid" id="answering" data-live>
      ${figure('Queries', [rate, '/ s'], html`over the last ${span(lastMinute.seconds)}`)}
      ${figure('From the cache', [percent, hitRatio === undefined ? '' : '%'], [plural(cache.entries, 'entry', 'entries'), stale > 0 && `, ${count(stale)} stale`])}
      ${figure('Half answered within', figureOf(p50), ['99 % within ', figureOf(p99).join(' ')])}
      ${figure('In flight', [count(inFlight), ''], plural(tcpConnections, 'TCP connection'))}
      <div class="card w8 column" id="spark">
        <h3>Queries per second, last ten minutes</h3>
        ${
          qps.length < 2
            ? html`<div class="soft">Not enough samples yet.</div>`
            : html`${spark(qps)}
                <div class="soft">peak ${count(Math.max(...qps))} / s</div>`
        }
      </div>
      <div class="card w4" id="responses">
        <h3>Responses, last minute</h3>
        ${table(
          [th('RCODE'), thNum('share'), thNum('count')],
          Object.entries(rcodes)
            .sort(([, a], [, b]) => b - a)
            .map(
              ([rcode, n]) =>
                html`<tr>
                  <td>${tag(rcodeTone(rcode), rcode)}</td>
                  <td class="num">${percentOf(n / responses)}</td>
                  <td class="num">${count(n)}</td>
                </tr>`,
            ),
          'No responses in the last minute.',
        )}
      </div>
      <div class="card w7">
        <h3>Addresses</h3>
        ${table(
          [th('address'), th('UDP'), th('TCP'), th('a query to itself')],
          listening.map(
            at =>
              html`<tr>
                <td>
                  ${whole(showEndpoint(at))}${at.inherited && html` <span class="soft">from systemd</span>`}
                </td>
                <td>${at.udp ? tag('good', 'bound') : tag('bad', 'no')}</td>
                <td>${at.tcp ? tag('good', 'bound') : tag('bad', 'no')}</td>
                <td>
                  ${at.answers ? tag('good', 'answered') : tag('bad', 'no answer')}${at.error !== '' && html` <span class="soft">${at.error}</span>`}
                </td>
              </tr>`,
          ),
          'None configured.',
        )}
      </div>
      <div class="card w5" id="asked">
        <h3>Asked most, a sample</h3>
        ${table(
          [th('name'), th('type'), thNum('times')],
          top.slice(0, 6).map(
            ({ name, type, count: n }) =>
              html`<tr>
                <td>${mono(name === '' ? '.' : name)}</td>
                <td>${type}</td>
                <td class="num">${count(n)}</td>
              </tr>`,
          ),
          'Nothing yet.',
        )}
      </div>
    </div>`
}

/** Filled in by the script; hidden without scripts. */
const plots = (): Html =>
  html`<div class="grid plots">
    ${PLOTS.map(
      ([name, title, width]) =>
        html`<div class="card ${width}">
          <h3>${title}</h3>
          <div class="plot" data-plot="${name}"></div>
        </div>`,
    )}
  </div>`

const PLOTS = [
  ['outcomes', 'Queries a second, by outcome', 'w7'],
  ['latency', 'Time to an answer', 'w5'],
  ['hits', 'Answered from the cache', 'w4'],
  ['wins', 'Races won, by upstream', 'w4'],
  ['errors', 'Errors a second, by RCODE', 'w4'],
] as const

const STATE_TONE = { up: 'good', unknown: 'flat', sick: 'warn', dead: 'bad' } as const

const mastersCard = ({ masters, at }: Status): Html => {
  if (!masters)
    return html`<div class="card">
      <h3>Masters</h3>
      <div class="soft">None configured: no cluster zone.</div>
    </div>`
  const { source, from, list, error, kept } = masters
  return html`<div class="card">
    <h3>Masters</h3>
    <dl>
      <dt>source</dt>
      <dd>${source}${from !== '' && html` ${mono(from)}`}</dd>
      <dt>list</dt>
      <dd>
        ${list.length === 0 ? tag('bad', 'empty') : list.map((m, i) => [i > 0 && html`<br />`, whole(showEndpoint(m))])}
      </dd>
      <dt>read</dt>
      <dd>
        ${source === 'static' ? 'with the configuration' : ago(masters.at, at)}${kept && html` ${tag('warn', 'kept from an earlier run')}`}
      </dd>
      ${
        error !== '' &&
        html`<dt>last look</dt>
          <dd>${tag('bad', 'failed')} ${error}</dd>`
      }
    </dl>
  </div>`
}

const learned = (status: Status): Html =>
  html`<h2>From whom did it learn?</h2>
    <div class="grid" id="learned" data-live>
      <div class="stack w5">${mastersCard(status)}${knowledgeCard(status)}</div>
      <div class="stack w7">${upstreamsCard(status)}${zonesCard(status)}${mesosCard(status)}</div>
    </div>`

const upstreamsCard = ({ upstreams, at }: Status): Html => {
  const slowest = Math.max(1, ...upstreams.map(u => u.srttMs))
  return html`<div class="card">
    <h3>Upstreams</h3>
    ${table(
      [
        th('upstream'),
        th('state'),
        th('time to a reply'),
        thNum('won'),
        thNum('contradicted'),
        th('last failure'),
      ],
      upstreams.map(
        u =>
          html`<tr>
            <td>${u.name.length > 30 ? mono(u.name) : whole(u.name)}</td>
            <td>
              ${tag(STATE_TONE[u.state], u.state)}${u.lastReplyAt === 0 && html`<div class="soft">has never answered</div>`}
            </td>
            <td>
              ${u.srttMs > 0 ? html`${figureOf(u.srttMs / 1000).join(' ')}${bar(u.srttMs / slowest)}` : '–'}
            </td>
            <td class="num">${count(u.wins)}</td>
            <td class="num">${count(u.disagreements)}</td>
            <td>
              ${
                u.lastFailure === ''
                  ? html`<span class="soft">none</span>`
                  : html`${u.lastFailure}
                      <div class="soft">${ago(u.lastFailureAt, at)}</div>`
              }${u.state === 'dead' && html`<div class="soft">next probe in ${span(u.nextProbeInMs / 1000)}</div>`}
            </td>
          </tr>`,
      ),
      'None: only local names are answered.',
    )}
  </div>`
}

const zonesCard = ({ zones, at }: Status): Html =>
  html`<div class="card">
    <h3>Local zones ${filter('zones')}</h3>
    ${table(
      [th('zone'), thNum('names'), th('fed by'), th('changed')],
      zones.map(
        z =>
          html`<tr>
            <td>${mono(z.apex)}</td>
            <td class="num">${z.loaded ? count(z.names) : tag('warn', 'not arrived')}</td>
            <td>${z.source || html`<span class="soft">–</span>`}</td>
            <td>${z.at === 0 ? html`<span class="soft">–</span>` : ago(z.at, at)}</td>
          </tr>`,
      ),
      'None.',
      'zones',
    )}
  </div>`

const sourceRow = (
  kind: string,
  { source, events, polls, failures, silentSeconds }: SourceCounts,
): Html =>
  html`<tr>
    <td>${whole(source)} ${kind}</td>
    <td class="num">${count(events)}</td>
    <td class="num">${count(polls)}</td>
    <td class="num">${count(failures)}</td>
    <td>${silentSeconds === undefined ? 'never' : html`${span(silentSeconds)} ago`}</td>
  </tr>`

const mesosCard = ({ mesos, vips }: Status): Html | false => {
  const rows = [
    ...(mesos?.masters ?? []).map(one => sourceRow('master', one)),
    ...(vips?.agent ? [sourceRow('agent', vips.agent)] : []),
  ]
  if (!mesos && rows.length === 0) return false
  return html`<div class="card">
    <h3>Mesos</h3>
    ${table(
      [th('source'), thNum('events'), thNum('polls'), thNum('failures'), th('last heard')],
      rows,
      'Nothing was asked yet.',
    )}
    ${
      mesos &&
      html`<p>
        ${plural(mesos.failoverHolds, 'failover hold')}, ${plural(mesos.agentsAwaited, 'agent')}
        awaited now
      </p>`
    }
  </div>`
}

const knowledgeCard = ({ snapshot, config, cache, gossip, at }: Status): Html =>
  html`<div class="card">
    <h3>What it holds</h3>
    <dl>
      <dt>snapshot</dt>
      <dd>number ${count(snapshot.number)}, made ${ago(snapshot.at, at)}</dd>
      <dt>configuration</dt>
      <dd>
        ${mono(config.file || 'built in')}<br />read
        ${ago(config.loadedAt, at)}${config.error !== '' && html`<br />${tag('bad', 'last reload refused')} ${config.error}`}
      </dd>
      <dt>cache</dt>
      <dd>
        ${plural(cache.entries, 'entry', 'entries')}, ${bytes(cache.bytes)} of
        ${bytes(cache.maxBytes)}${bar(cache.maxBytes > 0 ? cache.bytes / cache.maxBytes : 0)}
      </dd>
      <dt>gossip</dt>
      <dd>${gossip ? gossipLines(gossip) : html`<span class="soft">off</span>`}</dd>
    </dl>
  </div>`

const ROUTE_WORDS = {
  local: 'answered here',
  rename: 'renamed to',
  forward: 'forwarded to',
  special: 'answered here: does not exist',
  refuse: 'refused',
} as const

const gossipLines = ({
  members,
  entries,
  synced,
  encrypted,
  detail,
  piecesMissing,
  nameConflicts,
  probesByTcp,
}: NonNullable<Status['gossip']>): Html =>
  html`${plural(members.alive, 'member')} alive, ${count(members.suspect)} suspect,
    ${count(members.dead)} dead<br />${plural(entries, 'record')},
    ${
      synced ? 'synced' : tag('warn', 'not synced yet')
    }${!encrypted && html` ${tag('warn', 'not encrypted')}`}${detail !== '' && html`<br /><span class="soft">${detail}</span>`}
    <br />${plural(piecesMissing, 'piece')} of zones missing,
    ${plural(nameConflicts, 'name conflict')}, ${plural(probesByTcp, 'probe')} that only TCP
    answered`

const backendLine = ({ ip, port, weight, state, node }: VipView['backends'][number]): Html =>
  html`${whole(hostPort(ip, port))}
  ${tag(state === 'up' ? 'good' : state === 'drained' ? 'flat' : 'warn', state)}${weight > 1 && html` weight ${count(weight)}`}${node !== '' && html` <span class="soft">on ${node}</span>`}`

const balanced = ({ vips }: Status): Html | false => {
  if (!vips || vips.total === 0) return false
  const { answer, reason, balancer, total, backends, list } = vips
  return html`<h2>Where do VIPs lead?</h2>
    <div class="card" id="vips" data-live>
      <h3>${plural(total, 'VIP')}, ${plural(backends, 'backend')} ${filter('vip-list')}</h3>
      <p>
        Names resolve to ${answer === 'vip' ? 'their VIP addresses' : 'their backends'}:
        ${reason}.${balancer && html` The kernel has ${plural(balancer.vips, 'VIP')} with ${plural(balancer.backends, 'backend')}, of which ${count(balancer.rejecting)} without a backend are refused.`}
        ${balancer && balancer.trouble !== '' && html`${tag('bad', 'the balancer')} ${balancer.trouble}`}
      </p>
      ${balancer && balancer.notes.map(note => html`<p>${tag('warn', 'note')} ${note}</p>`)}
      ${table(
        [th('VIP'), th('address'), th('in the kernel'), thNum('connections'), th('backends')],
        list.map(
          vip =>
            html`<tr>
              <td>${mono(vip.vip)} ${vip.protocol}</td>
              <td>${vip.addresses.map((at, i) => [i > 0 && html`<br />`, whole(at)])}</td>
              <td>${vip.programmed ? tag('good', 'yes') : html`<span class="soft">no</span>`}</td>
              <td class="num">${vip.connections === undefined ? '–' : count(vip.connections)}</td>
              <td>
                ${vip.backends.length === 0 && tag('warn', 'none')}${vip.backends.map((one, i) => [i > 0 && html`<br />`, backendLine(one)])}
              </td>
            </tr>`,
        ),
        'None.',
        'vip-list',
      )}
    </div>`
}

const LEVEL_TONE = { info: 'flat', warn: 'warn', error: 'bad' } as const

const wrong = ({ events, at, uptimeSeconds }: Status): Html => {
  const bad = events.filter(({ level }) => level !== 'info')
  return html`<h2>What has gone wrong lately?</h2>
    <div class="card" id="wrong" data-live>
      ${
        bad.length === 0
          ? html`<div class="soft">
              Nothing since the start at ${clock(at - uptimeSeconds * 1000)} UTC,
              ${span(uptimeSeconds)} ago.
            </div>`
          : html`<ul class="log">
              ${bad.slice(0, ROWS).map(
                e =>
                  html`<li>
                    <span class="soft">${clock(e.at)} UTC<br />${ago(e.at, at)}</span
                    >${tag(LEVEL_TONE[e.level], e.level)}<span
                      >${e.text}${e.count > 1 && html` <span class="soft">${count(e.count)} times</span>`}</span
                    >
                  </li>`,
              )}
            </ul>`
      }
    </div>`
}

const decided = ({ routes }: Status): Html =>
  html`<h2>How is a name decided?</h2>
    <div class="card" id="decided" data-live>
      ${table(
        [th('at or below'), th('what happens'), th('where')],
        routes.map(
          r =>
            html`<tr>
              <td>${mono(r.zone === '' ? '.' : r.zone)}</td>
              <td>${ROUTE_WORDS[r.kind]}</td>
              <td>${r.to.map((to, i) => [i > 0 && ', ', mono(to)])}</td>
            </tr>`,
        ),
        'No routes yet.',
      )}
    </div>`

/** The page. */
export const statusPage = (status: Status): string => {
  const { node, version, uptimeSeconds, at, io, health } = status
  const word = !health.live || !health.ready ? 'not ready' : health.degraded ? 'degraded' : 'ok'
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <noscript><meta http-equiv="refresh" content="${REFRESH}" /></noscript>
        <link rel="stylesheet" href="/page/uplot.css" />
        <script src="/page/uplot.js" defer></script>
        <script src="/page/live.js" type="module"></script>
        <title>${word} · ${node} · spartan</title>
        <style>
          ${new Html(STYLE)}
        </style>
      </head>
      <body>
        <header id="header" data-live>
          <b>spartan on ${node}</b
          ><span
            >version ${version} · up ${span(uptimeSeconds)}${io !== '' && ` · ${io} i/o`} ·
            ${clock(at)} UTC</span
          >
        </header>
        <main>
          ${verdict(status)}${answering(status)}${learned(status)}${balanced(status)}${wrong(status)}${decided(status)}
        </main>
        <footer>
          <noscript><span>Reloads every ${REFRESH} s.</span></noscript>
          <span class="age">The daemon does not answer: what is shown is old.</span
          ><a href="/v1/status">status as JSON</a><a href="/metrics">metrics</a
          ><a href="/readyz">readiness</a>
        </footer>
      </body>
    </html> `.text
}
