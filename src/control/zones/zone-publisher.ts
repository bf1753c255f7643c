/**
 * Sends local zones to the data thread with the messages of boundary/messages.ts, in pieces that take that thread
 * about a millisecond each. A small change is sent as a patch, a large one as a new copy. It remembers what was
 * sent, so that a zone that is published whole is sent as differences.
 */
import type { Owner, RRset, ZoneApex, ZoneMessage } from '../../boundary/messages.ts'
import { SharedTextWriter } from '../../boundary/shared-text.ts'
import { ownersToText } from '../../boundary/zone-text.ts'
import type { ZoneChange, ZoneMap } from '../../boundary/zone.ts'
import { DEFAULT_NS, DEFAULT_SOA } from './apexes.ts'
import { diffZones, inPieces, inTexts, OWNERS } from './zone-diff.ts'

export type ZoneDetails = { readonly soa?: ZoneApex; readonly ns?: string }

export type ZonePublisherOptions = {
  readonly send: (message: ZoneMessage) => void
  /** Milliseconds since the epoch. SOA serials are derived from it, so they also grow over a restart. */
  readonly now: () => number
  /** A number that no other change has had; by default it counts from 1. Share it with other publishers of zones. */
  readonly number?: () => number
  /** Awaited between the messages of a large change: resolves when the data thread has processed the last one. */
  readonly breathe?: () => Promise<void>
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

/** Splits a whole zone into texts, each of which is sent in one message. */
const textsOf = function* (zone: ZoneMap): Generator<string> {
  if (zone.lines) yield* inTexts(zone.lines())
  else for (const piece of inPieces(zone)) yield ownersToText(piece)
}

/** A change, and whether the zone is complete with it. */
type Queued = { readonly change: ZoneChange; readonly loaded: boolean }

type Published = {
  /** The data thread's content once `sending` is over: our own map, or a live zone. */
  owners: ZoneMap
  readonly details: Required<ZoneDetails>
  serial: number
  opened: boolean
  /** Whether the zone's data has arrived, so that an unknown name is NXDOMAIN: with `owners`, and as sent. */
  loaded: boolean
  sentLoaded: boolean
  queue: Queued[]
  sending: Promise<void> | undefined
  removed: boolean
}

export class ZonePublisher {
  readonly #options: ZonePublisherOptions
  readonly #breathe: () => Promise<void>
  readonly #zones = new Map<string, Published>()
  readonly #texts = new SharedTextWriter()
  #number = 0
  #closed = false

  constructor(options: ZonePublisherOptions) {
    this.#options = options
    this.#breathe = options.breathe ?? turn
  }

  /** Creates this zone: by default empty and not loaded (SERVFAIL until its data arrives). */
  open(apex: string, details: ZoneDetails = {}, loaded = false): void {
    const zone = this.#zone(apex, details)
    if (zone.opened) return
    zone.queue.unshift({ change: { kind: 'full', zone: new Map() }, loaded })
    this.#start(apex, zone)
  }

  /**
   * Applies a change to a zone. Small changes are sent before this returns. If `loaded` is false, more data is to
   * come: existing names are answered, others get SERVFAIL instead of NXDOMAIN. A loaded zone stays loaded.
   */
  publish(apex: string, change: ZoneChange, loaded = true, details: ZoneDetails = {}): void {
    const zone = this.#zone(apex, details)
    if (change.kind === 'full') {
      // it replaces all queued changes
      const complete = loaded || zone.queue.some(queued => queued.loaded)
      zone.queue = [{ change, loaded: complete }]
    } else zone.queue.push({ change, loaded })
    this.#start(apex, zone)
  }

  remove(apex: string): void {
    const zone = this.#zones.get(apex)
    if (!zone) return
    zone.removed = true
    this.#zones.delete(apex)
    if (zone.opened) this.#options.send({ type: 'zone', op: 'remove', apex })
  }

  /** The zone including queued changes, for the REST API and the gossip. Do not keep it. */
  zone(apex: string): ZoneMap | undefined {
    return this.#zones.get(apex)?.owners
  }

  get apexes(): readonly string[] {
    return [...this.#zones.keys()]
  }

  /** Resolves when everything published so far has been sent. */
  async settled(): Promise<void> {
    for (const { sending } of this.#zones.values()) await sending
  }

  close(): void {
    this.#closed = true
  }

  #zone(apex: string, { soa = DEFAULT_SOA, ns = DEFAULT_NS }: ZoneDetails): Published {
    let zone = this.#zones.get(apex)
    if (zone) return zone
    zone = {
      owners: new Map(),
      details: { soa, ns },
      serial: 0,
      opened: false,
      loaded: false,
      sentLoaded: false,
      queue: [],
      sending: undefined,
      removed: false,
    }
    this.#zones.set(apex, zone)
    return zone
  }

  #nextNumber(): number {
    return this.#options.number?.() ?? ++this.#number
  }

  #nextSerial(zone: Published): number {
    // based on seconds as in Mesos-DNS, but always increased
    zone.serial = Math.max(zone.serial + 1, Math.floor(this.#options.now() / 1_000)) >>> 0
    return zone.serial
  }

  #start(apex: string, zone: Published): void {
    if (zone.sending || this.#closed) return
    const rest = this.#drain(apex, zone)
    if (rest === undefined) return
    zone.sending = rest.finally(() => (zone.sending = undefined))
  }

  /** Sends what is queued; returns a promise if it takes more than one turn. */
  #drain(apex: string, zone: Published): Promise<void> | undefined {
    for (;;) {
      const next = zone.queue.shift()
      if (!next || zone.removed || this.#closed) return undefined
      const { change, loaded } = next
      zone.loaded ||= loaded
      const large = this.#apply(apex, zone, change)
      if (large) return large.then(() => this.#drain(apex, zone))
    }
  }

  #apply(apex: string, zone: Published, change: ZoneChange): Promise<void> | undefined {
    if (change.kind === 'full' && zone.owners instanceof Map && zone.owners.size === 0) {
      // Copied unless it is live, because the caller may change its map.
      zone.owners = change.live ? change.zone : new Map(change.zone)
      if (!zone.opened || zone.loaded !== zone.sentLoaded || change.zone.size > OWNERS)
        return this.#load(apex, zone)
      return change.zone.size === 0 ? undefined : this.#patch(apex, zone, [...change.zone], [])
    }
    const { owners } = zone
    // the data thread does not have the changes of a live zone since the last call
    if (change.kind === 'full' && (change.live || !(owners instanceof Map))) {
      zone.owners = change.live ? change.zone : new Map(change.zone)
      return this.#load(apex, zone)
    }
    const { set, drop } = change.kind === 'full' ? diffZones(owners, change.zone) : change
    if (change.kind === 'full' || change.of !== owners) {
      const own: Map<string, readonly RRset[]> = owners instanceof Map ? owners : new Map(owners)
      for (const [owner, rrsets] of set) own.set(owner, rrsets)
      for (const owner of drop) own.delete(owner)
      zone.owners = own
    }
    // a patch has no `loaded` field, so a change of it needs a load
    const whole = !zone.opened || zone.loaded !== zone.sentLoaded
    if (whole || (set.length + drop.length) * 2 > zone.owners.size + 2 * OWNERS)
      return this.#load(apex, zone)
    if (set.length === 0 && drop.length === 0) return undefined
    return this.#patch(apex, zone, set, drop)
  }

  /** Sends one message at once if it fits, otherwise several. Names are added before others are removed. */
  #patch(
    apex: string,
    zone: Published,
    set: readonly Owner[],
    drop: readonly string[],
  ): Promise<void> | undefined {
    const pieces = [...inPieces(set)]
    const send = (part: readonly Owner[], gone: readonly string[]): void =>
      this.#options.send({
        type: 'zone',
        op: 'patch',
        apex,
        number: this.#nextNumber(),
        serial: this.#nextSerial(zone),
        set: part,
        drop: gone,
      })
    if (pieces.length <= 1 && drop.length <= OWNERS) {
      send(pieces[0] ?? [], drop)
      return undefined
    }
    return (async () => {
      for (const piece of pieces) {
        if (zone.removed || this.#closed) return
        send(piece, [])
        await this.#breathe()
      }
      for (let at = 0; at < drop.length; at += OWNERS) {
        if (zone.removed || this.#closed) return
        send([], drop.slice(at, at + OWNERS))
        await this.#breathe()
      }
    })()
  }

  /** Sends a whole copy: load, more, commit. An empty or small one is sent at once. */
  #load(apex: string, zone: Published): Promise<void> | undefined {
    const { send } = this.#options
    const { soa, ns } = zone.details
    const { loaded } = zone
    const serial = this.#nextSerial(zone)
    send({ type: 'zone', op: 'load', apex, soa, ns, serial, owners: zone.owners.size })
    zone.opened = true
    const commit = (): void => {
      zone.sentLoaded = loaded
      send({ type: 'zone', op: 'commit', apex, number: this.#nextNumber(), loaded })
    }
    const texts = textsOf(zone.owners)
    const first = texts.next()
    const second = texts.next()
    const more = (text: string): void =>
      send({ type: 'zone', op: 'more', apex, text: this.#texts.write(text) })
    if (!first.done) more(first.value)
    if (second.done) {
      commit()
      return undefined
    }
    return (async () => {
      await this.#breathe()
      // this sends the current state; later changes wait in the queue
      for (let next: IteratorResult<string> = second; !next.done; next = texts.next()) {
        if (zone.removed || this.#closed) return
        more(next.value)
        await this.#breathe()
      }
      if (zone.removed || this.#closed) return
      commit()
    })()
  }
}
