/** Data of the control plane for the status page and the health rules. */
import type { Snapshot } from '../../boundary/messages.ts'
import type { GossipStatus, RouteStatus } from '../../ops/status.ts'
import { upstreamName } from '../../data/upstream/upstream.ts'
import type { Gossip } from '../../gossip/service.ts'

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

export const gossipView = (gossip: Gossip): GossipStatus => {
  const { members, encrypted, health } = gossip.status()
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
  }
}
