/** What the parts of the control plane are handed from outside: the log, time's helpers, the other thread and this host. */
import type { Log } from '../base/log.ts'
import type { Snapshot, ZoneMessage } from '../boundary/messages.ts'

/** What the daemon hands to the control plane. */
export type ControlOptions = {
  readonly log: Log
  readonly random: () => number
  /** Sends to the data thread. */
  readonly send: (message: ZoneMessage | { type: 'snapshot'; snapshot: Snapshot }) => void
  /** Resolves when the data thread has done what it was sent. */
  readonly caughtUp: () => Promise<void>
  /** Addresses of a name, asked of this daemon itself. */
  readonly resolve: (name: string) => Promise<string[]>
  /** The first address of this host that others can reach, '' while there is none. */
  readonly ownAddress: () => string
  /** Networks attached to this host, as CIDR. */
  readonly attached: () => readonly string[]
  /** Sets the counters of an upstream's slot to zero, before another upstream gets the slot. */
  readonly clearUpstream?: (slot: number) => void
}

/** What the control plane hands to each of its parts. */
export type Environment = ControlOptions & {
  /** The address that other nodes reach this one at, as far as it is known: configured or found; '' if neither. */
  readonly ownIp: () => string
}
