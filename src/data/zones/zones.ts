/** The local zones as the main thread's messages build them up: loaded beside the old copy, then put in its place at once. */
import type { RRset, ZoneMessage } from '../../boundary/messages.ts'
import { LocalZone } from './local-zone.ts'

/** Owners in one step: some microseconds, and some tens before V8 has optimised the code. */
const STEP = 8

export class Zones {
  readonly #serving = new Map<string, LocalZone>()
  readonly #loading = new Map<string, LocalZone>()
  /** What was served before, by apex: memory for the next load (packed-owners.ts says why it is never let go of). */
  readonly #spare = new Map<string, LocalZone>()

  get(apex: string): LocalZone | undefined {
    return this.#serving.get(apex)
  }

  all(): Iterable<LocalZone> {
    return this.#serving.values()
  }

  /**
   * Applies one message in steps, between which queries may be answered; true
   * in the end if what is served changed.
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
        return true
      }
      case 'remove':
        this.#spare.delete(apex)
        return this.#serving.delete(apex)
    }
  }

  /** Records of a name in whichever local zone holds it. */
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
