/**
 * Messages that spread through the ring. Each is sent a number of times that grows with the logarithm of the ring's
 * size; messages sent least often come first. A new message about a subject replaces the queued one about it.
 */

/** memberlist's RetransmitMult. */
const RETRANSMIT_MULT = 4
/** Messages examined per round for one packet; after that the packet is sent although it has room. */
const LOOKS = 64

/**
 * How often one message is sent in a ring of n members. At least twice memberlist's minimum, because in a small ring
 * that minimum often misses a member.
 */
export const transmitLimit = (n: number): number =>
  RETRANSMIT_MULT * Math.max(2, Math.ceil(Math.log10(n + 1)))

type Item = {
  readonly bytes: Uint8Array
  readonly subject: string
  sent: number
  dropped: boolean
  readonly done: (() => void) | undefined
}

export class Queue {
  /** Messages by the number of times they were sent; newest last. */
  #rounds: Item[][] = []
  #bySubject = new Map<string, Item>()
  #length = 0
  /** Replaced messages that are still in a round. */
  #corpses = 0
  readonly #most: number
  /** Messages dropped because the queue was full. */
  dropped = 0

  /** @param most limit of messages; beyond it, those sent most often are dropped first, then the oldest */
  constructor(most = 4096) {
    this.#most = most
  }

  get length(): number {
    return this.#length
  }

  /**
   * @param subject what the message is about; '' replaces nothing
   * @param done called when the message was sent often enough or was replaced
   */
  push(bytes: Uint8Array, subject = '', done?: () => void): void {
    const had = subject === '' ? undefined : this.#bySubject.get(subject)
    if (had) this.#drop(had)
    if (this.#corpses > 256 && this.#corpses > this.#length) this.#sweep()
    while (this.#length >= this.#most) this.#dropOldest()
    const item: Item = { bytes, subject, sent: 0, dropped: false, done }
    ;(this.#rounds[0] ??= []).push(item)
    if (subject !== '') this.#bySubject.set(subject, item)
    this.#length++
  }

  #drop(item: Item): void {
    // it is removed when its round is next read, or by #sweep
    item.dropped = true
    this.#corpses++
    if (item.subject !== '' && this.#bySubject.get(item.subject) === item)
      this.#bySubject.delete(item.subject)
    this.#length--
    item.done?.()
  }

  #sweep(): void {
    this.#rounds = this.#rounds.map(round => round.filter(item => !item.dropped))
    this.#corpses = 0
  }

  #dropOldest(): void {
    for (let i = this.#rounds.length - 1; i >= 0; i--) {
      const item = this.#rounds[i]!.find(one => !one.dropped)
      if (!item) continue
      this.#drop(item)
      this.dropped++
      return
    }
  }

  /**
   * Messages that fit into `room` octets, each with a header of `each` octets, in a ring of n members. They count as
   * sent once more.
   */
  take(room: number, each: number, n: number): Uint8Array[] {
    if (this.#length === 0) return []
    const limit = transmitLimit(n)
    const out: Uint8Array[] = []
    const again: Item[] = []
    let left = room
    for (let i = 0; i < this.#rounds.length && left > each; i++) {
      const round = this.#rounds[i]!
      let looks = LOOKS
      for (let at = round.length - 1; at >= 0 && looks > 0 && left > each; at--, looks--) {
        const item = round[at]!
        if (!item.dropped && item.bytes.length + each > left) continue
        round.splice(at, 1)
        if (item.dropped) {
          this.#corpses--
          continue
        }
        left -= item.bytes.length + each
        out.push(item.bytes)
        if (++item.sent < limit) again.push(item)
        else {
          this.#drop(item)
          this.#corpses--
        }
      }
    }
    // they were taken newest first, and a round keeps the newest last
    for (const item of again.reverse()) (this.#rounds[item.sent] ??= []).push(item)
    while (this.#rounds.length > 0 && (this.#rounds.at(-1)?.length ?? 0) === 0) this.#rounds.pop()
    return out
  }

  /** Whether a message about the subject is still queued. */
  has(subject: string): boolean {
    return this.#bySubject.has(subject)
  }
}
