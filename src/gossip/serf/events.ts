/**
 * User events seen lately. Each is delivered once and passed on once. They are stored in a ring of slots by Lamport
 * time, as in Serf, so that memory is bounded and a joiner can get them.
 */
import type { LamportTime, UserEvent } from '../wire/serf.ts'

/** Slots, one per Lamport time (Serf's EventBuffer). */
const SLOTS = 512
/** Limit of events with one Lamport time. */
const SLOT_MOST = 64
/** Limit of payload octets kept for joiners. */
const BYTES_MOST = 512 * 1024
/** Longest event that a member may send, name and payload encoded (Serf's default limit). */
export const USER_EVENT_MOST = 512

const same = (a: UserEvent, b: UserEvent): boolean =>
  a.name === b.name &&
  a.payload.length === b.payload.length &&
  Buffer.compare(a.payload, b.payload) === 0

export class EventBuffer {
  #slots = new Map<number, UserEvent[]>()
  #bytes = 0
  /** Earlier events are older than our join. */
  #from: LamportTime = 0

  /** From now on, events before this time are not delivered. */
  ignoreBefore(time: LamportTime): void {
    this.#from = Math.max(this.#from, time)
  }

  /**
   * 'new' for an event that was not seen yet, which is then stored; 'seen', or 'old' if it is too old to know.
   * @param time the event clock, already advanced by the event
   */
  take(event: UserEvent, time: LamportTime): 'new' | 'seen' | 'old' {
    if (event.ltime < this.#from || (time > SLOTS && event.ltime < time - SLOTS)) return 'old'
    const slot = event.ltime % SLOTS
    let had = this.#slots.get(slot)
    if (had && had[0]?.ltime !== event.ltime) {
      if ((had[0]?.ltime ?? 0) > event.ltime) return 'old'
      this.#drop(slot, had)
      had = undefined
    }
    if (had?.some(one => same(one, event))) return 'seen'
    if (had && had.length >= SLOT_MOST) return 'old'
    const kept = { ...event, payload: Uint8Array.from(event.payload) }
    if (had) had.push(kept)
    else this.#slots.set(slot, [kept])
    this.#bytes += sizeOf(kept)
    this.#shrink()
    return 'new'
  }

  #drop(slot: number, events: readonly UserEvent[]): void {
    this.#slots.delete(slot)
    for (const event of events) this.#bytes -= sizeOf(event)
  }

  /** Over the limit, the slots that were filled first are dropped. */
  #shrink(): void {
    for (const [slot, events] of this.#slots) {
      if (this.#bytes <= BYTES_MOST) return
      this.#drop(slot, events)
    }
  }

  /** The stored events, by Lamport time. */
  groups(): IterableIterator<readonly UserEvent[]> {
    return this.#slots.values()
  }
}

const sizeOf = (event: UserEvent): number => event.name.length + event.payload.length + 64
