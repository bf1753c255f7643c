/** Why the gossip of this node is not as it should be, for health and status. */
import type { Reason } from '../../boundary/health.ts'
import type { Gossip } from '../../gossip/service.ts'
import type { Shared } from './shared.ts'

export const gossipReasons = (
  gossip: Gossip | undefined,
  keyringTrouble: string,
  zones: ReturnType<Shared['zones']>,
): readonly Reason[] => {
  const reasons: Reason[] = []
  const lonely = gossip?.trouble ?? ''
  if (lonely !== '') reasons.push({ name: 'gossip', detail: lonely })
  for (const detail of gossip?.twins ?? []) reasons.push({ name: 'gossip', detail })
  if (keyringTrouble !== '') reasons.push({ name: 'keyring', detail: keyringTrouble })
  for (const { apex, over, octets, missing, from, whole } of zones) {
    if (over) reasons.push({ name: apex, detail: `${octets} octets have no room in the gossip` })
    if (missing > 0 && !whole)
      reasons.push({ name: apex, detail: `${missing} pieces of the zone of ${from} are missing` })
  }
  return reasons
}
