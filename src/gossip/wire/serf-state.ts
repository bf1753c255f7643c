/**
 * Serf's part of a push/pull: its clocks, a Lamport time for each member, the members that left, and recent user
 * events. Its size grows with the ring, so it is written and read in slices.
 */
import { Reader } from './msgpack.ts'
import { Writer } from './writer.ts'
import { EVENT_MOST, type LamportTime, type UserEvent } from './serf.ts'
import { NAME_MOST, SERF } from './types.ts'

/** Limits of members, left members and event groups read from one push/pull. */
const MEMBERS_MOST = 65_536
const GROUPS_MOST = 4096
const EVENTS_MOST = 256
const LTIME = Number.MAX_SAFE_INTEGER

/**
 * Writes the state: the short fields first, then `member` for each member, in alphabetical order as in messages.ts.
 */
export class SerfStateWriter {
  #w: Writer

  /** @param groups events, each group with one Lamport time @param members how many members will follow */
  constructor(
    clocks: {
      readonly member: LamportTime
      readonly event: LamportTime
      readonly query: LamportTime
    },
    groups: Iterable<readonly UserEvent[]>,
    left: readonly string[],
    members: number,
  ) {
    const kept = [...groups]
    const w = new Writer(256 + members * 24).u8(SERF.pushPull).map(6)
    w.text('EventLTime').int(clocks.event).text('Events').array(kept.length)
    for (const events of kept) {
      w.map(2).text('Events').array(events.length)
      for (const event of events)
        w.map(2).text('Name').text(event.name).text('Payload').raw(event.payload)
      w.text('LTime').int(events[0]?.ltime ?? 0)
    }
    w.text('LTime').int(clocks.member).text('LeftMembers').array(left.length)
    for (const name of left) w.text(name)
    this.#w = w.text('QueryLTime').int(clocks.query).text('StatusLTimes').map(members)
  }

  member(name: string, ltime: LamportTime): void {
    this.#w.text(name).int(ltime)
  }

  /** The complete state, once every member is written. */
  done(): Buffer {
    return this.#w.done()
  }
}

/** Reads a state: the short fields at once, the members' times with `members`. */
export class SerfState {
  ltime: LamportTime = 0
  eventTime: LamportTime = 0
  queryTime: LamportTime = 0
  readonly left: string[] = []
  readonly events: UserEvent[] = []
  /** Whether the whole state was valid. */
  readonly ok: boolean
  #members: Reader
  #count = 0

  /** @param bytes the user state of a push/pull, its type octet included */
  constructor(bytes: Uint8Array) {
    const r = new Reader(bytes, 1)
    this.#members = new Reader(bytes, bytes.length)
    for (let n = r.map(); n > 0 && r.ok; n--) {
      switch (r.key()) {
        case 'LTime':
          this.ltime = r.uint(LTIME)
          break
        case 'EventLTime':
          this.eventTime = r.uint(LTIME)
          break
        case 'QueryLTime':
          this.queryTime = r.uint(LTIME)
          break
        case 'StatusLTimes':
          this.#count = r.map(MEMBERS_MOST)
          this.#members = new Reader(bytes, r.at)
          for (let i = this.#count * 2; i > 0 && r.ok; i--) r.skip()
          break
        case 'LeftMembers':
          for (let i = r.array(MEMBERS_MOST); i > 0 && r.ok; i--) this.left.push(r.text(NAME_MOST))
          break
        case 'Events':
          this.#readEvents(r)
          break
        default:
          r.skip()
      }
    }
    this.ok = bytes[0] === SERF.pushPull && r.ok
  }

  #readEvents(r: Reader): void {
    for (let i = r.array(GROUPS_MOST); i > 0 && r.ok; i--) {
      let ltime = 0
      const from = this.events.length
      for (let n = r.map(); n > 0 && r.ok; n--) {
        const key = r.key()
        if (key === 'LTime') ltime = r.uint(LTIME)
        else if (key === 'Events') this.#readGroup(r)
        else r.skip()
      }
      for (let at = from; at < this.events.length; at++)
        this.events[at] = { ...this.events[at]!, ltime }
    }
  }

  #readGroup(r: Reader): void {
    for (let n = r.array(EVENTS_MOST); n > 0 && r.ok; n--) {
      let name = ''
      let payload: Uint8Array = new Uint8Array(0)
      for (let pairs = r.map(); pairs > 0 && r.ok; pairs--) {
        const key = r.key()
        if (key === 'Name') name = r.text(EVENT_MOST)
        else if (key === 'Payload') payload = r.raw(EVENT_MOST)
        else r.skip()
      }
      this.events.push({ ltime: 0, name, payload, coalesce: false })
    }
  }

  /** The next up to `most` members with their times; empty at the end. */
  members(most: number): [name: string, ltime: LamportTime][] {
    const out: [string, LamportTime][] = []
    const r = this.#members
    while (this.#count > 0 && out.length < most && r.ok) {
      this.#count--
      const name = r.text(NAME_MOST)
      const ltime = r.uint(LTIME)
      if (r.ok) out.push([name, ltime])
    }
    return r.ok ? out : []
  }
}
