/** What the control plane knows, as the status page and the health rules want it. */
import type { Snapshot } from '../../boundary/messages.ts'
import type { Reason } from '../../boundary/health.ts'
import type { GossipStatus, RouteStatus } from '../../ops/status.ts'
import { upstreamName } from '../../data/upstream/upstream.ts'
import type { Gossip } from '../../gossip/service.ts'
import type { MesosSource } from '../../mesos/api/source.ts'
import type { VipService } from '../vips/service.ts'

/** More bad labels than this are in the log. */
const MOST_LABELS = 10

/** Routes in order of decision. */
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

/** Trouble that only the sources know of. */
export const sourceTroubles = (
  vips: VipService['status'] | undefined,
  mesos: MesosSource['status'] | undefined,
): Reason[] => {
  const troubles: Reason[] = []
  for (const { taskId, label, why } of vips?.agent?.badLabels.slice(0, MOST_LABELS) ?? [])
    troubles.push({ name: `task ${taskId}`, detail: `VIP label ${label}: ${why}` })
  if (vips?.agent && vips.agent.trouble !== '')
    troubles.push({ name: 'Mesos agent', detail: vips.agent.trouble })
  for (const file of vips?.files ?? [])
    if (file.problem !== '') troubles.push({ name: file.path, detail: file.problem })
  if (mesos && mesos.trouble !== '') troubles.push({ name: 'Mesos master', detail: mesos.trouble })
  return troubles
}

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
