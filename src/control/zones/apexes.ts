/** The apexes of zones that sources outside this node fill. */
import type { ZoneApex } from '../../boundary/messages.ts'
import { DCOS_APEX } from '../../mesos/api/source.ts'
import { L4LB_APEX } from '../../vip/record.ts'
import { MESOS_COPY_APEX } from '../mesos/mesos-copy.ts'

/** Zones that one node publishes for all others over gossip. */
export const SHARED_APEXES: readonly string[] = [DCOS_APEX, MESOS_COPY_APEX]

/** All zones filled from outside: VIPs, tasks, and the copy of the Mesos zone. */
export const FED_APEXES: readonly string[] = [L4LB_APEX, ...SHARED_APEXES]

/** What the apex of a local zone says; the values the originals had. */
export const DEFAULT_SOA: ZoneApex = {
  mname: 'ns.spartan',
  rname: 'support.mesosphere.com',
  ttl: 5,
  refresh: 60,
  retry: 180,
  expire: 86_400,
  minimum: 1,
}

/** The server every local zone names. */
export const DEFAULT_NS = 'ns.spartan'
