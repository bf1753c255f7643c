/**
 * The seam inside the gossip: membership (swim, serf) carries bytes, the
 * records layer gives them meaning. The records implement `Rider`, the
 * membership core calls it. All of it is synchronous and pure: time comes in
 * as `now` (milliseconds, monotonic), and what is to be sent comes back.
 */

export type MemberState = 'alive' | 'suspect' | 'dead' | 'left'

export type Member = {
  readonly name: string
  readonly address: string
  readonly port: number
  readonly state: MemberState
  readonly incarnation: number
  readonly tags: Readonly<Record<string, string>>
  /** Whether its tags announce that it speaks our records. */
  readonly capable: boolean
}

export type MemberEvent = {
  readonly type: 'join' | 'suspect' | 'alive' | 'dead' | 'leave' | 'update' | 'reap'
  readonly member: Member
}

/** Something the records want sent to a capable member. */
export type RiderSend =
  | { readonly via: 'packet'; readonly to: string; readonly body: Uint8Array }
  /** A request on a TCP stream of its own; the response body comes back to `onStreamResponse`. */
  | {
      readonly via: 'stream'
      readonly to: string
      readonly body: Uint8Array
      readonly token: number
    }

export interface Rider {
  /** Bytes to add to each ping and ack between capable peers (the root digest, 18 bytes at most); empty for none. */
  digest(now: number): Uint8Array
  /** A capable peer's digest, seen on its ping or ack. */
  onDigest(from: string, digest: Uint8Array, now: number): void
  /** A records message (a memberlist user message whose first byte is 0x80 or above) came in a packet. Never throws. */
  onPacket(from: string, body: Uint8Array, now: number): void
  /** A records request came on a stream; the response body, or undefined to close without one. Never throws. */
  onStreamRequest(from: string, body: Uint8Array, now: number): Uint8Array | undefined
  /** The response to a stream request, or undefined when it failed. Never throws. */
  onStreamResponse(from: string, token: number, body: Uint8Array | undefined, now: number): void
  onMember(event: MemberEvent, now: number): void
  /** Called at least once a tick and after each input: what to send now, and when to be called again at the latest. */
  poll(now: number): { readonly sends: readonly RiderSend[]; readonly nextMs: number }
}
