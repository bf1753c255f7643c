/**
 * What a member of the ring is made of, and what comes out of it: the types
 * at the rim of core.ts.
 */
import type { Log } from '../base/log.ts'
import type { Keyring } from './keyring.ts'
import type { Member, MemberEvent, Rider } from './rider.ts'
import type { Tags } from './serf/tags.ts'
import type { Nodes, Roster } from './swim/members.ts'
import type { Endpoint } from './wire/address.ts'

/** What the driver is to do. Streams are known by id; those we open have positive ones. */
export type Effect =
  | { readonly do: 'packet'; readonly to: Endpoint; readonly bytes: Uint8Array }
  /** Open a TCP stream and write these bytes. */
  | { readonly do: 'open'; readonly id: number; readonly to: Endpoint; readonly bytes: Uint8Array }
  /** Write these bytes and end our side. */
  | { readonly do: 'end'; readonly id: number; readonly bytes: Uint8Array }
  | { readonly do: 'close'; readonly id: number }

/** What happens in the ring. */
export type RingEvent =
  | MemberEvent
  | {
      readonly type: 'userEvent'
      readonly name: string
      readonly payload: Uint8Array
      readonly ltime: number
    }
  /** Another node goes by the name of `member`; both are there. */
  | { readonly type: 'conflict'; readonly member: Member; readonly other: Endpoint }

export type CoreOptions = {
  readonly name: string
  /** Where others reach us. */
  readonly address: string
  readonly port: number
  readonly tags: Tags
  readonly keyring: Keyring | undefined
  /** The ring's label (memberlist 0.3 and later); '' for none. */
  readonly label?: string
  readonly rider?: Rider | undefined
  /** From 0 to 1, 1 excluded. */
  readonly random: () => number
  /** Incarnation to begin with: seconds of wall time, and above any used before. */
  readonly incarnation: number
  readonly now: number
  readonly log: Log
  readonly onEvent: (event: RingEvent) => void
  readonly onIncarnation?: (incarnation: number) => void
  /** Where to find others when there are none, or none of these are there. */
  readonly seeds?: readonly Endpoint[]
  /** Members held at most. */
  readonly membersMost?: number
  /** Octets a second that the records may send in packets. */
  readonly recordsPerSecond?: number
  /** A membership to begin with, shared between simulated members. */
  readonly roster?: Roster
  /** Shared between simulated members, so that each node's words are kept once. */
  readonly nodes?: Nodes
}
