/** The zones in the gossip in numbers, for Prometheus. */
import { single, type Family } from '../../ops/families.ts'
import type { SharedZoneStatus } from './shared-zone.ts'
import type { Shared } from './shared.ts'

type From = () => Shared | undefined

const perZone = (
  name: string,
  help: string,
  read: (zone: SharedZoneStatus) => number,
): Family<From> => ({
  name,
  type: 'gauge',
  labels: ['zone'],
  help,
  read: (from, put) => {
    for (const zone of from()?.zones() ?? []) put(read(zone), zone.apex)
  },
})

export const SHARED_ZONE_FAMILIES: readonly Family<From>[] = [
  perZone(
    'gossip_zone_bytes',
    'Octets of the zone as its publisher has it in the records, or would need',
    zone => zone.octets,
  ),
  single(
    'gauge',
    'gossip_zone_budget_bytes',
    'Octets that all zones of one publisher may take together',
    shared => shared.zoneBytes,
  ),
  perZone(
    'gossip_zone_over_budget',
    'Whether this node publishes the zone and it does not fit, so that the others keep the last one that did',
    zone => (zone.over ? 1 : 0),
  ),
  perZone(
    'gossip_zone_pieces_missing',
    'Pieces of the published zone that have not come; until all are here, the last whole zone answers',
    zone => zone.missing,
  ),
]
