/**
 * Applies the main thread's messages to the local zones. A new copy is loaded beside the old one, which it then
 * replaces at once.
 */
import type { RRset, ZoneMessage } from '../../boundary/messages.ts'
import { LocalZone } from './local-zone.ts'

/** Owners per step: some microseconds, or tens of microseconds before V8 has optimised the code. */
const STEP = 8

export class Zones {
  readonly #serving = new Map<string, LocalZone>()
  readonly #loading = new Map<string, LocalZone>()
  /** Previous zones by apex. Their memory is reused by the next load; packed-owners.ts says why it is kept. */
  readonly #spare = new Map<string, LocalZone>()

  readonly #now: () => number

  /** @param now the data thread's clock in milliseconds */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  get(apex: string): LocalZone | undefined {
    return this.#serving.get(apex)
  }

  all(): Iterable<LocalZone> {
    return this.#serving.values()
  }

  /**
   * Applies one message in steps, so that queries can be answered in between. Returns true if the served data
   * changed.
   */
  *apply(message: ZoneMessage): Generator<void, boolean> {
    const { apex } = message
    switch (message.op) {
      case 'load': {
        const { soa, ns, serial, owners } = message
        const old = this.#spare.get(apex) ?? this.#loading.get(apex)
        this.#spare.delete(apex)
        this.#loading.set(apex, new LocalZone(apex, soa, ns, serial, owners, old))
        return false
      }
      case 'more': {
        const zone = this.#loading.get(apex)
        if (zone) yield* zone.load(message.text, STEP)
        return false
      }
      case 'commit': {
        const zone = this.#loading.get(apex)
        if (!zone) return false
        this.#loading.delete(apex)
        const before = this.#serving.get(apex)
        before?.retire()
        if (before) this.#spare.set(apex, before)
        zone.number = message.number
        zone.loaded = message.loaded
        zone.changedAt = this.#now()
        this.#serving.set(apex, zone)
        return true
      }
      case 'patch': {
        const zone = this.#serving.get(apex)
        if (!zone) return false
        let n = 0
        for (const name of message.drop) {
          zone.drop(name)
          if (++n % STEP === 0) yield
        }
        for (const owner of message.set) {
          zone.set(owner)
          if (++n % STEP === 0) yield
        }
        zone.number = message.number
        zone.serial = message.serial
        zone.changedAt = this.#now()
        return true
      }
      case 'remove':
        this.#spare.delete(apex)
        return this.#serving.delete(apex)
    }
  }

  /** Records of a name in any local zone. */
  lookup(name: string): readonly RRset[] | undefined {
    for (let suffix = name; ;) {
      const zone = this.#serving.get(suffix)
      if (zone) return zone.find(name)
      const dot = suffix.indexOf('.')
      if (dot < 0) return undefined
      suffix = suffix.slice(dot + 1)
    }
  }
}
