/**
 * The daemon's status for a terminal, in the order of the status page: does it answer, from where does it get its
 * data, what has failed lately.
 */
import { hostPort } from '../base/ip.ts'
import type { Endpoint } from '../boundary/messages.ts'
import type { Reason } from '../boundary/health.ts'
import type { Status } from '../ops/status.ts'
import { cell, counted, pairs, showBytes, showDuration, table } from './table.ts'

const at = ({ address, port }: Endpoint): string => hostPort(address, port)

const verdict = ({ live, ready, degraded }: Status['health']): string =>
  !live ? 'not live' : !ready ? 'not ready' : degraded ? 'answering, with trouble' : 'answering'

/** How long before the status was taken something happened. */
const ago = (status: Status, time: number): string =>
  time ? `${showDuration(Math.max(0, status.at - time))} ago` : 'never'

const mastersText = (status: Status): string => {
  const { masters } = status
  if (!masters) return 'not used'
  const list = masters.list.map(at).join(' ') || 'none known'
  const kept = masters.kept ? ', from an earlier run' : ''
  const trouble = masters.error ? `, last look failed: ${masters.error}` : ''
  return `${list} (${masters.source}${masters.from ? ` ${masters.from}` : ''}, ${ago(status, masters.at)}${kept}${trouble})`
}

const gossipText = ({ gossip }: Status): string => {
  if (!gossip) return 'not used'
  const { alive, suspect, dead } = gossip.members
  const words = [
    `${alive} alive`,
    `${suspect} suspect`,
    `${dead} dead`,
    counted(gossip.entries, 'entry', 'entries'),
  ]
  if (!gossip.synced) words.push('not synced yet')
  if (!gossip.encrypted) words.push('NOT ENCRYPTED')
  if (gossip.detail) words.push(gossip.detail)
  return words.join(', ')
}

/** The status as text, each line ended. */
export const showStatus = (status: Status): string => {
  const { lastMinute: minute, cache, health } = status
  const trouble = new Map<string, Reason>(
    [...health.dead, ...health.notReady, ...health.trouble].map(one => [
      `${one.name} ${one.detail}`,
      one,
    ]),
  )
  const parts = [
    pairs([
      ['node', status.node],
      ['state', verdict(health)],
      ['version', status.version],
      ['up', showDuration(status.uptimeSeconds * 1000)],
      [
        'configuration',
        `${status.config.file}, loaded ${ago(status, status.config.loadedAt)}${status.config.error ? `; reload refused: ${status.config.error}` : ''}${status.config.needsRestart.length > 0 ? `; waiting for a restart: ${status.config.needsRestart.join(' ')}` : ''}`,
      ],
      ['i/o', status.io],
      [
        'queries',
        `${cell(minute.qps)}/s, ${minute.hitRatio === undefined ? 'no' : `${(minute.hitRatio * 100).toFixed(1)} %`} hits, p50 ${inMs(minute.p50)}, p99 ${inMs(minute.p99)}`,
      ],
      [
        'responses',
        Object.entries(minute.rcodes)
          .map(([rcode, n]) => `${rcode} ${n}`)
          .join(', '),
      ],
      [
        'cache',
        `${counted(cache.entries, 'entry', 'entries')}, ${showBytes(cache.bytes)} of ${showBytes(cache.maxBytes)}`,
      ],
      [
        'in flight',
        `${counted(status.inFlight, 'question', 'questions')}, ${counted(status.tcpConnections, 'TCP connection', 'TCP connections')}`,
      ],
      ['masters', mastersText(status)],
      ['gossip', gossipText(status)],
    ]),
    table(
      [...trouble.values()],
      [
        ['TROUBLE', row => row['name']],
        ['', row => row['detail']],
      ],
    ),
    table(status.listening, [
      ['LISTENING', row => at(row as unknown as Endpoint)],
      ['UDP', row => row['udp']],
      ['TCP', row => row['tcp']],
      ['ANSWERS', row => row['answers']],
      ['SYSTEMD', row => row['inherited']],
      ['ERROR', row => row['error']],
    ]),
    table(status.upstreams, [
      ['UPSTREAM', row => row['name']],
      ['STATE', row => row['state']],
      ['LATENCY', row => (row['srttMs'] ? `${cell(row['srttMs'])} ms` : undefined)],
      [
        'LAST FAILURE',
        row =>
          row['lastFailure']
            ? `${cell(row['lastFailure'])}, ${ago(status, Number(row['lastFailureAt']))}`
            : undefined,
      ],
    ]),
    table(status.zones, [
      ['ZONE', row => row['apex']],
      ['NAMES', row => row['names']],
      ['LOADED', row => row['loaded']],
      ['FROM', row => row['source']],
      ['CHANGED', row => (row['at'] ? ago(status, Number(row['at'])) : undefined)],
    ]),
    table(status.events.slice(0, 10), [
      ['WHEN', row => ago(status, Number(row['at']))],
      ['LEVEL', row => row['level']],
      [
        'EVENT',
        row =>
          `${cell(row['text'])}${Number(row['count']) > 1 ? ` (${cell(row['count'])} times)` : ''}`,
      ],
    ]),
  ]
  return parts.filter(part => part !== '').join('\n')
}

const inMs = (seconds: number | undefined): string =>
  seconds === undefined ? '-' : `${cell(seconds * 1000)} ms`
