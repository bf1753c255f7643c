/**
 * The interface between membership (swim, serf) and the records. Membership transports bytes; the records give them
 * meaning. The records implement `Rider` and the membership core calls it. All calls are synchronous and pure: time
 * is passed in as `now` (milliseconds, monotonic), and what must be sent is returned.
 */

export type MemberState = 'alive' | 'suspect' | 'dead' | 'left'

export type Member = {
  readonly name: string
  readonly address: string
  readonly port: number
  readonly state: MemberState
  readonly incarnation: number
  readonly tags: Readonly<Record<string, string>>
  /** Whether its tags announce that it understands our records. */
  readonly capable: boolean
}

export type MemberEvent = {
  readonly type: 'join' | 'suspect' | 'alive' | 'dead' | 'leave' | 'update' | 'reap'
  readonly member: Member
}

/** A message of the records for a capable member. */
export type RiderSend =
  | { readonly via: 'packet'; readonly to: string; readonly body: Uint8Array }
  /** A request on its own TCP stream; the response is passed to `onStreamResponse`. */
  | {
      readonly via: 'stream'
      readonly to: string
      readonly body: Uint8Array
      readonly token: number
    }

export interface Rider {
  /**
   * Bytes that are added to each ping and ack between capable members: the root digest, at most 18 bytes. Empty for
   * none.
   */
  digest(now: number): Uint8Array
  /** The digest that came with a capable member's ping or ack. */
  onDigest(from: string, digest: Uint8Array, now: number): void
  /**
   * A records message arrived in a packet: a memberlist user message whose first byte is 0x80 or above. Never
   * throws.
   */
  onPacket(from: string, body: Uint8Array, now: number): void
  /**
   * A records request arrived on a stream. Returns the response, or undefined to close the stream without one. Never
   * throws.
   */
  onStreamRequest(from: string, body: Uint8Array, now: number): Uint8Array | undefined
  /** The response to a stream request, or undefined if the request failed. Never throws. */
  onStreamResponse(from: string, token: number, body: Uint8Array | undefined, now: number): void
  onMember(event: MemberEvent, now: number): void
  /**
   * Called at least once a tick and after each input. Returns what to send now, and the longest wait before the next
   * call.
   */
  poll(now: number): { readonly sends: readonly RiderSend[]; readonly nextMs: number }
}
