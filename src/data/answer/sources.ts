/**
 * Numbers for what answers depend on. A forwarding route's number changes when its upstreams may give other answers;
 * a local zone's number changes with its data. An answer whose aliases or SRV targets lead elsewhere depends on
 * several routes and zones, whose numbers are combined.
 */
import type { Entry } from '../cache/entry.ts'
import type { Zones } from '../zones/zones.ts'
import { TYPE } from '../../wire/codes.ts'
import { HEADER } from '../../wire/header.ts'
import { expandName, foldedText, MAX_NAME, STEPS, type Budget } from '../../wire/name.ts'
import { ANSWER, Records, scan } from '../../wire/scan.ts'
import type { Router } from './router.ts'
import { renamedText } from './suffix.ts'

/** Limit of zone aliases that are followed; a longer chain is a loop. */
const MAX_RENAMES = 8

const records = new Records()
const target = Buffer.alloc(MAX_NAME + 1)

export class Sources {
  router: Router
  readonly #zones: Zones

  constructor(router: Router, zones: Zones) {
    this.router = router
    this.#zones = zones
  }

  /** The number of the route or zone for a lower-case name; 0 for one that never changes. */
  ofName(name: string, renames = 0): number {
    const { spec } = this.router.match(name)
    if (spec.kind === 'local') return this.#zones.get(spec.zone)?.number ?? 0
    if (spec.kind === 'forward') return spec.number
    if (spec.kind !== 'rename' || renames >= MAX_RENAMES) return 0
    return this.ofName(renamedText(name, spec.zone, spec.to), renames + 1)
  }

  /** The combined number for the question's name and every alias and SRV target in b[0, length). */
  ofMessage(b: Uint8Array, length: number): number {
    let mixed = this.ofName(foldedText(b, HEADER))
    if (!scan(b, length, records)) return mixed
    const budget: Budget = { steps: STEPS }
    for (let i = 0; i < records.count && records.section[i] === ANSWER; i++) {
      const type = records.type[i]
      if (type !== TYPE.CNAME && type !== TYPE.SRV) continue
      const at = records.rdataAt[i]! + (type === TYPE.SRV ? 6 : 0)
      if (expandName(b, at, records.end, target, budget) < 0) continue
      mixed = (Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d) ^ this.ofName(foldedText(target))) | 0
    }
    return mixed
  }

  /** The current number for a stored answer. */
  ofEntry(entry: Entry): number {
    const { bytes, at } = entry
    return entry.several
      ? this.ofMessage(bytes.subarray(at, at + entry.length), entry.length)
      : this.ofName(foldedText(bytes, at + HEADER))
  }
}
