/**
 * Collects zone changes for the gossip, which sends a whole piece of a zone for every changed name. The first change
 * is passed on at once, further ones together once per interval, each name in its latest state.
 */
import type { RRset } from '../../boundary/messages.ts'
import { Pace } from '../../base/pace.ts'
import type { WholeZone, ZoneChange } from '../../boundary/zone.ts'

export type ZoneGatheringOptions = {
  readonly publish: (apex: string, change: ZoneChange) => void
  /** Milliseconds, monotonic. */
  readonly now: () => number
  /** Default 1 s, as in dcos-net. */
  readonly everyMs?: number
}

const EVERY_MS = 1_000

type Waiting = {
  readonly pace: Pace
  full: WholeZone | undefined
  /** The latest records of each changed name; undefined if it was removed. */
  readonly names: Map<string, readonly RRset[] | undefined>
  timer: NodeJS.Timeout | undefined
}

export class ZoneGathering {
  readonly #options: ZoneGatheringOptions
  readonly #zones = new Map<string, Waiting>()

  constructor(options: ZoneGatheringOptions) {
    this.#options = options
  }

  /** Adds a change. */
  take(apex: string, change: ZoneChange): void {
    const zone = this.#zone(apex)
    if (change.kind === 'full') {
      zone.full = change
      zone.names.clear()
    } else {
      for (const [name, rrsets] of change.set) zone.names.set(name, rrsets)
      for (const name of change.drop) zone.names.set(name, undefined)
    }
    if (zone.timer) return
    const wait = zone.pace.wait(this.#options.now())
    if (wait === 0) this.#tell(apex, zone)
    else zone.timer = setTimeout(() => this.#tell(apex, zone), wait)
  }

  close(): void {
    for (const { timer } of this.#zones.values()) clearTimeout(timer)
    this.#zones.clear()
  }

  #zone(apex: string): Waiting {
    let zone = this.#zones.get(apex)
    if (!zone) {
      const pace = new Pace(this.#options.everyMs ?? EVERY_MS)
      this.#zones.set(apex, (zone = { pace, full: undefined, names: new Map(), timer: undefined }))
    }
    return zone
  }

  #tell(apex: string, zone: Waiting): void {
    const { publish, now } = this.#options
    zone.timer = undefined
    zone.pace.done(now())
    const { full } = zone
    const names = [...zone.names]
    zone.full = undefined
    zone.names.clear()
    if (full) publish(apex, full)
    if (names.length === 0) return
    const set = names.flatMap(([name, rrsets]) => (rrsets ? [[name, rrsets] as const] : []))
    const drop = names.flatMap(([name, rrsets]) => (rrsets ? [] : [name]))
    publish(apex, { kind: 'patch', set, drop })
  }
}
