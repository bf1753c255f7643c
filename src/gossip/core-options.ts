/** Types for the input and output of core.ts. */
import type { Log } from '../base/log.ts'
import type { Keyring } from './keyring.ts'
import type { Member, MemberEvent, Rider } from './rider.ts'
import type { Tags } from './serf/tags.ts'
import type { Nodes, Roster } from './swim/members.ts'
import type { Endpoint } from './wire/address.ts'

/** What the driver must do. A stream is identified by a number, which is positive if we opened the stream. */
export type Effect =
  | { readonly do: 'packet'; readonly to: Endpoint; readonly bytes: Uint8Array }
  /** Open a TCP stream and write these bytes. */
  | { readonly do: 'open'; readonly id: number; readonly to: Endpoint; readonly bytes: Uint8Array }
  /** Write these bytes, then end our side of the stream. */
  | { readonly do: 'end'; readonly id: number; readonly bytes: Uint8Array }
  | { readonly do: 'close'; readonly id: number }

/** Events in the ring that other parts listen to. */
export type RingEvent =
  | MemberEvent
  | {
      readonly type: 'userEvent'
      readonly name: string
      readonly payload: Uint8Array
      readonly ltime: number
    }
  /** Another node at `other` uses the name of `member`; both are alive. */
  | { readonly type: 'conflict'; readonly member: Member; readonly other: Endpoint }
  /** The ring keeps the node at `other`, which has our name: we step aside until it is gone. */
  | { readonly type: 'outvoted'; readonly other: Endpoint }
  /** That node is gone, and we take part again. */
  | { readonly type: 'returned' }

export type CoreOptions = {
  readonly name: string
  /** The address at which other members reach us. */
  readonly address: string
  readonly port: number
  readonly tags: Tags
  readonly keyring: Keyring | undefined
  /** The ring's label (memberlist 0.3 and later); '' for none. */
  readonly label?: string
  readonly rider?: Rider | undefined
  /** 0 ≤ random() < 1. */
  readonly random: () => number
  /** The first incarnation: seconds of wall time, or more if a higher one was used before. */
  readonly incarnation: number
  readonly now: number
  readonly log: Log
  readonly onEvent: (event: RingEvent) => void
  readonly onIncarnation?: (incarnation: number) => void
  /** Addresses to join through when no other member is known, or none of these is a member. */
  readonly seeds?: readonly Endpoint[]
  /** Limit of members held. */
  readonly membersMost?: number
  /** Octets per second that the records may send in packets. */
  readonly recordsPerSecond?: number
  /** Initial members, shared between simulated nodes to save memory. */
  readonly roster?: Roster
  /** The nodes' descriptions, shared between simulated nodes to save memory. */
  readonly nodes?: Nodes
}
