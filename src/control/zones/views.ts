/** Data of the control plane for the status page and the health rules. */
import type { Snapshot } from '../../boundary/messages.ts'
import type { GossipStatus, MesosStatus, RouteStatus, SourceCounts } from '../../ops/status.ts'
import { upstreamName } from '../../data/upstream/upstream.ts'
import type { Gossip } from '../../gossip/service.ts'
import { hostOf, type MesosReadings } from '../mesos/mesos-metrics.ts'
import type { SharedZoneStatus } from '../sharing/shared-zone.ts'
import type { AgentVipsStatus } from '../vips/agent-source.ts'

/** Routes in order of priority. */
export const routeViews = ({ own, forward, rest }: Snapshot): RouteStatus[] =>
  [...own, ...forward, ...(rest ? [rest] : [])].map(spec => ({
    zone: spec.zone === '' ? '.' : spec.zone,
    kind: spec.kind,
    to:
      spec.kind === 'forward'
        ? spec.upstreams.map(upstreamName)
        : spec.kind === 'rename'
          ? [spec.to]
          : [],
  }))

export const gossipView = (gossip: Gossip, zones: readonly SharedZoneStatus[]): GossipStatus => {
  const { members, encrypted, health, counters } = gossip.status()
  const { entries, synced, holding } = gossip.records.stats()
  const detail = holding
    ? 'many owners vanished at once; all are shown as before'
    : health > 0
      ? `this node distrusts itself (${health} of 7)`
      : ''
  return {
    members: { alive: members.alive, suspect: members.suspect, dead: members.dead },
    entries,
    synced,
    encrypted,
    detail,
    piecesMissing: zones.reduce((sum, { missing }) => sum + missing, 0),
    nameConflicts: counters.conflicts,
    probesByTcp: counters.probesByTcp,
  }
}

const sum = (failures: Readonly<Record<string, number>>): number =>
  Object.values(failures).reduce((a, b) => a + b, 0)

export const mesosView = ({ masters, holds, missingAgents, now }: MesosReadings): MesosStatus => ({
  masters: Array.from(masters, ([base, { events, polls, failures, heardAt }]) => ({
    ...{ source: hostOf(base), events, polls, failures: sum(failures) },
    silentSeconds: heardAt === undefined ? undefined : (now - heardAt) / 1000,
  })),
  failoverHolds: holds,
  agentsAwaited: missingAgents,
})

export const agentView = ({
  agent,
  loads,
  failures,
  silenceMs,
}: AgentVipsStatus): SourceCounts => ({
  ...{ source: hostOf(agent), events: 0, polls: loads, failures: sum(failures) },
  silentSeconds: silenceMs === undefined ? undefined : silenceMs / 1000,
})
