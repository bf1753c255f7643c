/** What an operator of a cluster must be able to count: each in the metrics, on the status page and on the board. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { statusPage } from '../../src/ops/page/page.ts'
import { AGENT_METRICS } from '../fixture/metrics.ts'
import { status } from '../fixture/status.ts'

const board = readFileSync(new URL('../../deploy/grafana/spartan.json', import.meta.url), 'utf8')
const base = status()

/** A status in which this count is 4,711, which the page writes with a thin space, or 47 min of silence. */
const N = 4_711
const SHOWN = '4\u202f711'
const SILENT = { silentSeconds: 47 * 60 + 1 }
const master = (over: object) =>
  status({ mesos: { ...base.mesos!, masters: [{ ...base.mesos!.masters[0]!, ...over }] } })
const agent = (over: object) =>
  status({ vips: { ...base.vips!, agent: { ...base.vips!.agent!, ...over } } })
const gossip = (over: object) => status({ gossip: { ...base.gossip!, ...over } })

for (const [count, metric, shown, text = SHOWN] of [
  ['events of a Mesos master', 'mesos_events_total', master({ events: N })],
  ['polls of a Mesos master', 'mesos_polls_total', master({ polls: N })],
  ['failures of a Mesos master', 'mesos_failures_total', master({ failures: N })],
  ['lag of a Mesos master', 'mesos_silence_seconds', master(SILENT), '47 min ago'],
  ['polls of the Mesos agent', 'agent_polls_total', agent({ polls: N })],
  ['failures of the Mesos agent', 'agent_failures_total', agent({ failures: N })],
  ['lag of the Mesos agent', 'agent_silence_seconds', agent(SILENT), '47 min ago'],
  ['VIPs', 'vips', status({ vips: { ...base.vips!, total: N } }), `${SHOWN} VIPs`],
  [
    'backends',
    'vip_backends',
    status({ vips: { ...base.vips!, backends: N } }),
    `${SHOWN} backends`,
  ],
  ['name conflicts', 'gossip_name_conflicts_total', gossip({ nameConflicts: N })],
  ['pieces missing', 'gossip_zone_pieces_missing', gossip({ piecesMissing: N })],
  ['probes that only TCP answered', 'gossip_probes_by_tcp_total', gossip({ probesByTcp: N })],
  [
    'failover holds',
    'mesos_failover_holds_total',
    status({ mesos: { ...base.mesos!, failoverHolds: N } }),
  ],
] as const)
  t.test(count, async t => {
    t.ok(
      AGENT_METRICS.some(({ name }) => name === metric),
      `/metrics has spartan_${metric}`,
    )
    t.notOk(statusPage(base).includes(text))
    t.ok(statusPage(shown).includes(text), `the page shows ${text}`)
    t.match(board, new RegExp(`spartan_${metric}\\{`), 'the board')
  })
