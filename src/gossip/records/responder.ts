/**
 * Answers peers that repair themselves, within a budget: octets of packets and a number of streams per second. So a
 * thousand nodes that start at once cannot overload one node.
 */
import { type Answer, answerBuckets, answerWant, largeMessage, type Road } from './answers.ts'
import { MAX_QUESTION, seal, unseal } from './envelope.ts'
import { BUCKETS, type Message, readMessage, WANT } from './message.ts'
import type { Owner } from './owner.ts'
import type { Presence } from './presence.ts'
import type { Replica } from './replica.ts'
import type { Counts, Limits } from './types.ts'

/**
 * Octets of packets per second, and streams per second, for answers. A joiner of a ring with 200,000 entries needs
 * 200 streams.
 */
const PACKET_RATE = 65_536
const STREAM_RATE = 300
/** Octets per second on streams: eight joiners that fetch the zones of a large cluster. */
const STREAM_OCTETS = 32 * 1024 * 1024

type Options = {
  replica: Replica
  presence: Presence
  limits: Limits
  counts: Counts
  synced: () => boolean
}

export class Responder {
  readonly #o: Options
  #octets = PACKET_RATE
  #streams = STREAM_RATE
  #streamOctets = STREAM_OCTETS
  #filledAt = 0

  constructor(options: Options) {
    this.#o = options
  }

  /** The packets that answer a message; none if it is not a question, or if the budget is spent. */
  packets(message: Message, now: number): Buffer[] {
    if (message.type !== BUCKETS && message.type !== WANT) return []
    this.#fill(now)
    if (this.#octets <= 0) {
      this.#o.counts.refused.busy++
      return []
    }
    const answer = this.#answer(message, 'packet', now)
    const bodies = answer === 'large' ? [largeMessage(message.type)] : answer
    for (const body of bodies) this.#octets -= body.length
    return bodies
  }

  /** The envelope that answers an envelope; undefined if it is malformed, or if the budget is spent. */
  stream(envelope: Uint8Array, now: number): Uint8Array | undefined {
    const { counts, limits } = this.#o
    const octets = unseal(envelope, MAX_QUESTION)?.[0]
    const message = octets ? readMessage(octets, limits.valueBytes) : 'malformed'
    if (typeof message === 'string') {
      counts.refused[message]++
      return undefined
    }
    this.#fill(now)
    if (this.#streams < 1 || this.#streamOctets <= 0) {
      counts.refused.busy++
      return undefined
    }
    this.#streams--
    const answer = this.#answer(message, 'stream', now)
    if (answer === 'large' || answer.length === 0) return undefined
    const sealed = seal(answer)
    this.#streamOctets -= sealed.length
    return sealed
  }

  #fill(now: number): void {
    const seconds = Math.max(0, now - this.#filledAt) / 1_000
    this.#filledAt = now
    this.#octets = Math.min(PACKET_RATE, this.#octets + seconds * PACKET_RATE)
    this.#streams = Math.min(STREAM_RATE, this.#streams + seconds * STREAM_RATE)
    this.#streamOctets = Math.min(STREAM_OCTETS, this.#streamOctets + seconds * STREAM_OCTETS)
  }

  #answer(message: Message, road: Road, now: number): Answer {
    const { replica, presence } = this.#o
    if (message.type === BUCKETS)
      return answerBuckets({
        synced: this.#o.synced(),
        replica,
        gone: owner => presence.gone(owner, now),
        hashes: message.hashes,
        road,
      })
    if (message.type !== WANT) return []
    for (const item of message.gone) {
      const owner = replica.byHash(item.hash)
      if (owner) presence.learnGone(owner, item.goneMs, item.left, now)
    }
    const wanted: [Owner, number][] = []
    for (const { hash, epoch, version } of message.list) {
      const owner = replica.byHash(hash)
      if (owner && (owner.epoch > epoch || (owner.epoch === epoch && owner.version > version)))
        wanted.push([owner, owner.epoch === epoch ? version : 0])
    }
    return answerWant(replica, wanted, road)
  }
}
