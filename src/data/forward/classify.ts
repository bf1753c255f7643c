/**
 * Classifies an upstream's response (RFC 2308 §2, RFC 8499), and selects the records that belong to the question. An
 * upstream is only trusted for the chain of names that starts at the question: other owners, foreign authority records
 * and unrelated additional data are never cached.
 *
 * This file is long, because every kind of response is decided on the same walk along that chain.
 */
import { CLASS, RCODE, TYPE } from '../../wire/codes.ts'
import { extendedRcode } from '../../wire/edns.ts'
import { rcode as headerRcode, isTruncated, ancount, HEADER } from '../../wire/header.ts'
import { expandName, MAX_NAME, sameName, skipName, STEPS, type Budget } from '../../wire/name.ts'
import { u16, u32 } from '../../wire/octets.ts'
import { ANSWER, AUTHORITY, isIn, MAX_RECORDS, ttlOf, type Records } from '../../wire/scan.ts'

export type ResponseKind =
  | 'positive' // NOERROR with the requested records
  | 'alias' // NOERROR with CNAMEs that lead to a name without data here; `target` must be asked for
  | 'nxdomain'
  | 'nodata' // NOERROR without a record of that type
  | 'soft' // any other RCODE, or an unusable response: another upstream may do better
  | 'truncated' // must be asked again over TCP

export type Classified = {
  kind: ResponseKind
  /** With the extended bits from the OPT record. */
  rcode: number
  /**
   * The lowest TTL of the answer records that are kept. For a negative answer the lowest of the SOA's TTL, its MINIMUM
   * and the TTLs of the aliases (RFC 2308 §5); undefined if it has no SOA.
   */
  ttl: number | undefined
  /** Numbers of the records that answer the question, ascending, without OPT; undefined if all do. */
  keep: readonly number[] | undefined
  /** Everything except OPT was kept. */
  whole: boolean
  /** For an alias: the name at the end of its chain, without pointers, and the number of CNAMEs. */
  target?: Buffer
  links?: number
  /** For a soft failure that is our judgement and not the upstream's RCODE: the reason as text. */
  because?: string
}

/** Limit of CNAMEs in a row. */
const MAX_CHAIN = 16
const PROOF: ReadonlySet<number> = new Set([TYPE.NSEC, TYPE.NSEC3, TYPE.RRSIG])

const current = Buffer.alloc(MAX_NAME + 1)
const owner = Buffer.alloc(MAX_NAME + 1)
const target = Buffer.alloc(MAX_NAME + 1)
const substituted = Buffer.alloc(2 * MAX_NAME + 2)
/** Marks answer records that are on the chain. */
const onChain = new Uint8Array(MAX_RECORDS)

/** An unusable response: the upstream's RCODE, or our judgement with its reason. */
export const soft = (rcode: number, because?: string): Classified => ({
  kind: 'soft',
  rcode,
  ttl: undefined,
  keep: [],
  whole: false,
  ...(because === undefined ? {} : { because }),
})

/**
 * A response without OPT to a question with DO=1 about a zone that may be signed. Accepting it would make the zone
 * look unsigned.
 */
export const lacksDnssec = (): Classified =>
  soft(RCODE.SERVFAIL, 'answered without EDNS, so it cannot tell signed from unsigned')

/**
 * Whether a record's rdata has the right length for its type, for types that most clients use. A name that extends
 * past its rdata would swallow the next record, and libcs refuse a message with an address of three octets; another
 * upstream may do better.
 */
const isSized = (b: Uint8Array, r: Records, i: number): boolean => {
  const at = r.rdataAt[i]!
  const end = r.rdataEnd[i]!
  switch (r.type[i]) {
    case TYPE.A:
      return end - at === 4
    case TYPE.AAAA:
      return end - at === 16
    case TYPE.CNAME:
    case TYPE.NS:
    case TYPE.PTR:
    case TYPE.DNAME:
      return skipName(b, at, end) === end
    case TYPE.SRV:
      return end - at > 6 && skipName(b, at + 6, end) === end
    default:
      return true
  }
}

/**
 * Classifies the most common form without allocations besides the result: NOERROR, only records of the requested
 * type, each owned by a pointer to the question. Undefined for any other form.
 */
const classifyPlain = (b: Uint8Array, r: Records, rcode: number): Classified | undefined => {
  const answers = ancount(b)
  if (rcode !== RCODE.NOERROR || answers === 0 || answers !== r.count - (r.opt >= 0 ? 1 : 0))
    return undefined
  let ttl = Infinity
  for (let i = 0; i < answers; i++) {
    if (r.type[i] !== r.qtype || r.class[i] !== CLASS.IN || u16(b, r.at[i]!) !== 0xc000 + HEADER)
      return undefined
    if (!isSized(b, r, i)) return soft(RCODE.FORMERR)
    ttl = Math.min(ttl, ttlOf(b, r, i))
  }
  return { kind: 'positive', rcode, ttl, keep: undefined, whole: true }
}

/**
 * Classifies a response that `scan` accepted and whose question was checked. DNSSEC records are kept only with
 * `dnssecOk`, or if their type was requested (RFC 4035 §3.2.1).
 */
export const classify = (b: Uint8Array, r: Records, dnssecOk: boolean): Classified => {
  const rcode = headerRcode(b) | (r.opt >= 0 ? extendedRcode(b, r.rdataAt[r.opt]!) << 4 : 0)
  if (isTruncated(b)) return { kind: 'truncated', rcode, ttl: undefined, keep: [], whole: false }
  if (rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN) return soft(rcode)
  const plain = classifyPlain(b, r, rcode)
  if (plain) return plain
  const budget: Budget = { steps: STEPS }
  const keep: number[] = []
  let ttl = Infinity
  if (expandName(b, HEADER, r.questionEnd, current) < 0) return soft(RCODE.FORMERR)
  const answers = ancount(b)
  let found = false
  let links = 0
  onChain.fill(0, 0, answers)
  for (; ; links++) {
    let cname = -1
    let dname = -1
    for (let i = 0; i < answers; i++) {
      if (onChain[i] || !isIn(r, i)) continue
      const type = r.type[i]!
      const matches = type === r.qtype || r.qtype === TYPE.ANY
      const wanted =
        matches || type === TYPE.CNAME || type === TYPE.DNAME || (type === TYPE.RRSIG && dnssecOk)
      if (!wanted || expandName(b, r.at[i]!, r.end, owner, budget) < 0) continue
      if (!sameName(owner, 0, current, 0)) {
        if (type === TYPE.DNAME && isBelow(current, owner)) dname = i
        continue
      }
      if (!matches && (type === TYPE.DNAME || (type === TYPE.CNAME && cname >= 0))) continue
      if (!isSized(b, r, i)) return soft(RCODE.FORMERR)
      onChain[i] = 1
      if (matches) found = true
      else if (type === TYPE.CNAME) cname = i
      ttl = Math.min(ttl, ttlOf(b, r, i))
    }
    if (found || cname < 0) break
    if (links >= MAX_CHAIN) return soft(RCODE.SERVFAIL, 'answered with too long a chain of aliases')
    if (expandName(b, r.rdataAt[cname]!, r.end, target, budget) < 0) return soft(RCODE.FORMERR)
    if (dname >= 0) {
      if (!isSubstitution(b, r, dname))
        return soft(RCODE.SERVFAIL, 'answered with an alias that its DNAME does not make')
      onChain[dname] = 1
      ttl = Math.min(ttl, ttlOf(b, r, dname))
      if (dnssecOk) ttl = Math.min(ttl, keepDnameProof(b, r, answers, budget))
    }
    target.copy(current)
  }
  if (budget.steps < 0) return soft(RCODE.FORMERR)
  for (let i = 0; i < answers; i++) if (onChain[i]) keep.push(i)
  if (found && rcode === RCODE.NOERROR) {
    if (dnssecOk) ttl = Math.min(ttl, keepProofs(b, r, answers, keep))
    ttl = Math.min(ttl, keepTargets(b, r, keep, budget))
    return { kind: 'positive', rcode, ttl, keep, whole: isWhole(r, keep) }
  }
  if (links > 0 && loops(b, r, answers, budget))
    return soft(RCODE.SERVFAIL, 'answered with aliases that lead in a circle')
  const chain = keep.length
  let sawNs = false
  let soaTtl: number | undefined
  for (let i = answers; i < r.count; i++) {
    if (r.section[i] !== AUTHORITY || !isIn(r, i)) continue
    const type = r.type[i]!
    if (type === TYPE.NS) sawNs = true
    else if (type === TYPE.SOA && soaTtl === undefined) {
      const end = r.rdataEnd[i]!
      if (end - r.rdataAt[i]! < 22 || expandName(b, r.at[i]!, r.end, owner, budget) < 0) continue
      if (!sameName(owner, 0, current, 0) && !isBelow(current, owner)) continue
      soaTtl = Math.min(ttlOf(b, r, i), u32(b, end - 4))
      keep.push(i)
    } else if (dnssecOk && PROOF.has(type)) {
      ttl = Math.min(ttl, ttlOf(b, r, i))
      keep.push(i)
    }
  }
  if (rcode === RCODE.NOERROR && soaTtl === undefined) {
    if (links > 0) {
      keep.length = chain
      let end = 0
      while (current[end] !== 0) end += current[end]! + 1
      return {
        kind: 'alias',
        rcode,
        ttl,
        keep,
        whole: isWhole(r, keep),
        target: Buffer.from(current.subarray(0, end + 1)),
        links,
      }
    }
    // NS without SOA is a referral: the upstream should have resolved the name but did not (RFC 2308 §2.2).
    if (sawNs) return soft(RCODE.SERVFAIL, 'answered with a referral')
  }
  if (soaTtl !== undefined) soaTtl = Math.min(soaTtl, ttl)
  return {
    kind: rcode === RCODE.NXDOMAIN ? 'nxdomain' : 'nodata',
    rcode,
    ttl: soaTtl,
    keep,
    whole: isWhole(r, keep),
  }
}

/**
 * Whether the CNAME target in `target` is the result of DNAME record `i` for the name in `current`: its owner's
 * labels replaced by its target's (RFC 6672 §2.2).
 */
const isSubstitution = (b: Uint8Array, r: Records, i: number): boolean => {
  if (expandName(b, r.at[i]!, r.end, owner) < 0) return false
  let at = 0
  while (!sameName(current, at, owner, 0)) at += current[at]! + 1
  current.copy(substituted, 0, 0, at)
  if (expandName(b, r.rdataAt[i]!, r.rdataEnd[i]!, owner) < 0) return false
  owner.copy(substituted, at)
  return sameName(substituted, 0, target, 0)
}

/** Keeps the signatures of the DNAME on the chain; returns their lowest TTL. */
const keepDnameProof = (b: Uint8Array, r: Records, answers: number, budget: Budget): number => {
  let ttl = Infinity
  for (let i = 0; i < answers; i++) {
    if (r.type[i] !== TYPE.RRSIG || onChain[i] || !isIn(r, i)) continue
    if (r.rdataEnd[i]! - r.rdataAt[i]! < 2 || u16(b, r.rdataAt[i]!) !== TYPE.DNAME) continue
    if (expandName(b, r.at[i]!, r.end, owner, budget) < 0 || !isBelow(current, owner)) continue
    onChain[i] = 1
    ttl = Math.min(ttl, ttlOf(b, r, i))
  }
  return ttl
}

/** Whether the name at the end of the chain occurs earlier in it. */
const loops = (b: Uint8Array, r: Records, answers: number, budget: Budget): boolean => {
  for (let i = 0; i < answers; i++) {
    if (!onChain[i] || r.type[i] !== TYPE.CNAME) continue
    if (expandName(b, r.at[i]!, r.end, owner, budget) < 0 || sameName(owner, 0, current, 0))
      return true
  }
  return false
}

/** Whether `name` is strictly below `apex`; both without pointers. */
const isBelow = (name: Uint8Array, apex: Uint8Array): boolean => {
  let at = 0
  while (name[at] !== 0) {
    at += name[at]! + 1
    if (sameName(name, at, apex, 0)) return true
  }
  return false
}

/**
 * Keeps the records in the authority section that prove that a signed answer came from a wildcard; returns their
 * lowest TTL.
 */
const keepProofs = (b: Uint8Array, r: Records, answers: number, keep: number[]): number => {
  let ttl = Infinity
  if (!keep.some(i => r.type[i] === TYPE.RRSIG)) return ttl
  for (let i = answers; i < r.count; i++) {
    if (
      r.section[i] === AUTHORITY &&
      isIn(r, i) &&
      PROOF.has(r.type[i]!) &&
      !(r.type[i] === TYPE.RRSIG && u16(b, r.rdataAt[i]!) === TYPE.NS)
    ) {
      ttl = Math.min(ttl, ttlOf(b, r, i))
      keep.push(i)
    }
  }
  return ttl
}

/** Keeps the addresses of SRV targets, which an SRV client needs next; returns their lowest TTL. */
const keepTargets = (b: Uint8Array, r: Records, keep: number[], budget: Budget): number => {
  let ttl = Infinity
  if (r.qtype !== TYPE.SRV) return ttl
  const targets: Buffer[] = []
  for (const i of keep) {
    if (r.type[i] !== TYPE.SRV || r.rdataEnd[i]! - r.rdataAt[i]! < 7) continue
    const length = expandName(b, r.rdataAt[i]! + 6, r.end, target, budget)
    if (length > 0 && !targets.some(t => sameName(t, 0, target, 0)))
      targets.push(Buffer.from(target.subarray(0, length)))
    if (targets.length > 100) break
  }
  for (let i = 0; i < r.count; i++) {
    if (r.section[i] === ANSWER || r.section[i] === AUTHORITY || i === r.opt) continue
    const type = r.type[i]!
    if ((type !== TYPE.A && type !== TYPE.AAAA) || r.class[i] !== CLASS.IN) continue
    if (
      isSized(b, r, i) &&
      expandName(b, r.at[i]!, r.end, owner, budget) > 0 &&
      targets.some(t => sameName(t, 0, owner, 0))
    ) {
      ttl = Math.min(ttl, ttlOf(b, r, i))
      keep.push(i)
    }
  }
  return ttl
}

const isWhole = (r: Records, keep: readonly number[]): boolean =>
  keep.length === r.count - (r.opt >= 0 ? 1 : 0)
