/** What the control plane and its parts get from outside: the log, clocks, the data thread and this host. */
import type { Log } from '../base/log.ts'
import type { Snapshot, ZoneMessage } from '../boundary/messages.ts'
import type { Logins } from '../http/iam-login.ts'

/** What the daemon passes to the control plane. */
export type ControlOptions = {
  readonly log: Log
  readonly random: () => number
  /** Sends to the data thread. */
  readonly send: (message: ZoneMessage | { type: 'snapshot'; snapshot: Snapshot }) => void
  /** Resolves when the data thread has processed everything sent so far. */
  readonly caughtUp: () => Promise<void>
  /** Resolves a name through this daemon itself. */
  readonly resolve: (name: string) => Promise<string[]>
  /** The first address of this host that others can reach, '' while there is none. */
  readonly ownAddress: () => string
  /** Networks attached to this host, as CIDR. */
  readonly attached: () => readonly string[]
  /** Sets the counters of an upstream's slot to zero, before another upstream gets the slot. */
  readonly clearUpstream?: (slot: number) => void
}

/** What the control plane passes to each part. */
export type Environment = ControlOptions & {
  /** The address at which other nodes reach this one, configured or detected; '' if unknown. */
  readonly ownIp: () => string
  /** Of DC/OS service accounts at Mesos, shared by all parts. */
  readonly logins: Logins
}
