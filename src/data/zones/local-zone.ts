/**
 * A zone that is answered from memory. Names are stored as text. A question is compared in its escaped, lower-case
 * text, in which different names always differ. Answers follow RFC 1034 §4.3.2: the owner's records, its CNAME,
 * NODATA for an owner or an empty non-terminal (RFC 8020), otherwise NXDOMAIN. NODATA and NXDOMAIN contain the SOA.
 */
import type { Owner, RRset, Seconds, ZoneApex } from '../../boundary/messages.ts'
import type { SharedText } from '../../boundary/shared-text.ts'
import { RCODE, TYPE, typeNumber } from '../../wire/codes.ts'
import type { OwnedRrset, Sections } from '../answer/message.ts'
import { PackedOwners } from './packed-owners.ts'

export type LocalAnswer = Sections & {
  readonly rcode: number
  /**
   * The CNAME target to continue with if it is outside this zone or lacks the type; undefined if the answer is
   * complete.
   */
  readonly chase: string | undefined
  readonly ttl: Seconds
}

/** TTL of the NS record of every local zone, as in DC/OS. */
const NS_TTL = 3600

export class LocalZone {
  readonly apex: string
  /** Changes with each change of the zone; cached answers depend on it. */
  number = 0
  /** False until all its data has arrived. Meanwhile only the names it holds are answered, others are SERVFAIL. */
  loaded = false
  /** When its data last changed, on the data thread's clock. */
  changedAt = 0
  serial = 1
  readonly soa: ZoneApex
  readonly ns: string
  /** Owners from the last load. */
  readonly #packed: PackedOwners
  /** Owners added or changed since then; these are not in `#packed`. */
  readonly #owners = new Map<string, readonly RRset[]>()
  /** How many owners in `#owners` are below a name; a name with such owners exists. */
  readonly #below = new Map<string, number>()
  /** Whether `#owners` has or had a wildcard. */
  #wild = false
  readonly #suffix: string

  /** `owners` is the expected number of owners. The memory of `old`, which is no longer used, may be reused. */
  constructor(
    apex: string,
    soa: ZoneApex,
    ns: string,
    serial: number,
    owners = 0,
    old?: LocalZone,
  ) {
    this.apex = apex
    this.#packed = new PackedOwners(apex, owners, old && old.#packed)
    this.#suffix = `.${apex}`
    this.soa = soa
    this.ns = ns
    this.serial = serial
  }

  get names(): number {
    return this.#owners.size + this.#packed.size
  }

  /** Loads owners from text, `step` per step. Only before any set or drop. */
  load(owners: SharedText, step: number): Generator<void> {
    return this.#packed.add(owners, step)
  }

  /** The zone is no longer asked: drops everything except the memory that another zone may reuse. */
  retire(): void {
    this.#owners.clear()
    this.#below.clear()
  }

  set([name, rrsets]: Owner): void {
    if (name !== this.apex && !name.endsWith(this.#suffix)) return
    this.#packed.drop(name)
    if (!this.#owners.has(name)) this.#count(name, 1)
    this.#owners.set(name, rrsets)
    this.#wild ||= name.startsWith('*.')
  }

  drop(name: string): void {
    if (this.#owners.delete(name)) this.#count(name, -1)
    else this.#packed.drop(name)
  }

  #own(name: string): readonly RRset[] | undefined {
    return this.#owners.get(name) ?? this.#packed.get(name)
  }

  #has(name: string): boolean {
    return this.#owners.has(name) || this.#packed.has(name)
  }

  /** Whether the answer to a name is known: all of the data has arrived, or the records of just this name have. */
  knows(name: string): boolean {
    return this.loaded || (this.#own(name) ?? []).length > 0
  }

  #leadsOn(name: string): boolean {
    return this.#below.has(name) || this.#packed.leadsOn(name)
  }

  #count(name: string, step: 1 | -1): void {
    for (
      let at = name.indexOf('.');
      at >= 0 && name.length - at > this.apex.length;
      at = name.indexOf('.', at + 1)
    ) {
      const parent = name.slice(at + 1)
      const n = (this.#below.get(parent) ?? 0) + step
      if (n > 0) this.#below.set(parent, n)
      else this.#below.delete(parent)
    }
  }

  /** The records of an owner, or of the wildcard that covers it (RFC 4592). */
  find(name: string): readonly RRset[] | undefined {
    const owned = this.#own(name)
    if (owned || !(this.#wild || this.#packed.wild) || this.#leadsOn(name)) return owned
    for (
      let at = name.indexOf('.');
      at >= 0 && name.length - at > this.apex.length;
      at = name.indexOf('.', at + 1)
    ) {
      const parent = name.slice(at + 1)
      const wild = this.#own(`*.${parent}`)
      if (wild) return wild
      if (this.#has(parent) || this.#leadsOn(parent)) return undefined
    }
    return undefined
  }

  /** The answer to a lower-case name at or below the apex. `lookup` finds SRV targets in any local zone. */
  answer(
    name: string,
    qtype: number,
    lookup: (name: string) => readonly RRset[] | undefined,
  ): LocalAnswer {
    const answer: OwnedRrset[] = []
    const own = this.find(name)
    const apexSets = name === this.apex ? this.#apexSets() : []
    if (!own && apexSets.length === 0 && !this.#leadsOn(name))
      return this.#no(RCODE.NXDOMAIN, answer)
    const sets = [...(own ?? []), ...apexSets]
    const matching = qtype === TYPE.ANY ? sets : sets.filter(s => typeNumber(s.type) === qtype)
    if (matching.length > 0) {
      for (const rrset of matching) answer.push({ name, rrset })
      return {
        rcode: RCODE.NOERROR,
        answer,
        authority: [],
        additional: targets(answer, lookup),
        chase: undefined,
        ttl: leastTtl(answer),
      }
    }
    const cname = sets.find(s => s.type === 'CNAME')
    const to = cname?.data[0]
    if (!cname || to === undefined) return this.#no(RCODE.NOERROR, answer)
    answer.push({ name, rrset: cname })
    return {
      rcode: RCODE.NOERROR,
      answer,
      authority: [],
      additional: [],
      chase: to.toLowerCase(),
      ttl: cname.ttl,
    }
  }

  #no(rcode: number, answer: OwnedRrset[]): LocalAnswer {
    const ttl = Math.min(this.soa.ttl, this.soa.minimum)
    return {
      rcode,
      answer,
      authority: [{ name: this.apex, rrset: { ...this.#soaSet(), ttl } }],
      additional: [],
      chase: undefined,
      ttl,
    }
  }

  #apexSets(): RRset[] {
    return [this.#soaSet(), { type: 'NS', ttl: NS_TTL, data: [this.ns] }]
  }

  #soaSet(): RRset {
    const { mname, rname, ttl, refresh, retry, expire, minimum } = this.soa
    return {
      type: 'SOA',
      ttl,
      data: [`${mname} ${rname} ${this.serial} ${refresh} ${retry} ${expire} ${minimum}`],
    }
  }
}

const leastTtl = (sets: readonly OwnedRrset[]): Seconds => Math.min(...sets.map(s => s.rrset.ttl))

/** Addresses of SRV targets that are in local zones. */
const targets = (
  answer: readonly OwnedRrset[],
  lookup: (name: string) => readonly RRset[] | undefined,
): OwnedRrset[] => {
  const out: OwnedRrset[] = []
  const seen = new Set<string>()
  for (const { rrset } of answer) {
    if (rrset.type !== 'SRV') continue
    for (const datum of rrset.data) {
      const name = (datum.split(' ')[3] ?? '').toLowerCase()
      if (name === '' || seen.has(name)) continue
      seen.add(name)
      for (const found of lookup(name) ?? [])
        if (found.type === 'A' || found.type === 'AAAA') out.push({ name, rrset: found })
    }
  }
  return out
}
