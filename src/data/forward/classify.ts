/**
 * What an upstream's response is, decided once (RFC 2308 §2, RFC 8499), and
 * which of its records belong to the question. A forwarder believes an
 * upstream about the chain that starts at the question and about nothing
 * else: other owners, foreign authority and stray additional data are left
 * out before anything is cached.
 */
import { CLASS, RCODE, TYPE } from '../../wire/codes.ts'
import { extendedRcode } from '../../wire/edns.ts'
import { rcode as headerRcode, isTruncated, ancount, HEADER } from '../../wire/header.ts'
import { expandName, MAX_NAME, sameName, skipName, STEPS, type Budget } from '../../wire/name.ts'
import { u16, u32 } from '../../wire/octets.ts'
import { ANSWER, AUTHORITY, isIn, MAX_RECORDS, ttlOf, type Records } from '../../wire/scan.ts'

export type ResponseKind =
  | 'positive' // NOERROR with what was asked for
  | 'nxdomain'
  | 'nodata' // NOERROR and no record of that type
  | 'soft' // SERVFAIL, REFUSED, FORMERR, NOTIMP, or nothing usable: another upstream may do better
  | 'truncated' // to be asked again over TCP

export type Classified = {
  kind: ResponseKind
  /** Extended by the OPT's bits. */
  rcode: number
  /** Least TTL of the kept answer records; for negatives with a SOA min(SOA TTL, MINIMUM, chain); undefined without. */
  ttl: number | undefined
  /** Records that belong to the question, by section ascending, OPT never; undefined for all of them. */
  keep: readonly number[] | undefined
  /** Everything but OPT was kept. */
  whole: boolean
}

/** More CNAMEs in a row than any honest answer has. */
const MAX_CHAIN = 16
const CHAIN_TYPES: ReadonlySet<number> = new Set([TYPE.CNAME, TYPE.DNAME])
const PROOF: ReadonlySet<number> = new Set([TYPE.NSEC, TYPE.NSEC3, TYPE.RRSIG])

const current = Buffer.alloc(MAX_NAME + 1)
const owner = Buffer.alloc(MAX_NAME + 1)
const target = Buffer.alloc(MAX_NAME + 1)
/** Answers that were found to be on the chain. */
const taken = new Uint8Array(MAX_RECORDS)

const soft = (rcode: number): Classified => ({
  kind: 'soft',
  rcode,
  ttl: undefined,
  keep: [],
  whole: false,
})

/**
 * Whether a record's rdata is as long as its type says, for the types that
 * clients of a forwarder live by. A name that runs past its rdata would be
 * believed across the next record, and libcs throw a message with an address
 * of three octets away: another upstream may do better.
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
 * The shape nearly every answer has: NOERROR, nothing but records of the type
 * that was asked, each owned by a pointer to the question. Undefined for any
 * other, which the long way decides; this one allocates only its result.
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

/** Classifies a response that `scan` found well formed and whose question has been checked. */
export const classify = (b: Uint8Array, r: Records): Classified => {
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
  let chained = false
  taken.fill(0, 0, answers)
  for (let links = 0; ; links++) {
    let next = -1
    for (let i = 0; i < answers; i++) {
      if (taken[i] || !isIn(r, i)) continue
      const type = r.type[i]!
      const matches = type === r.qtype || r.qtype === TYPE.ANY
      if (!matches && !CHAIN_TYPES.has(type) && type !== TYPE.RRSIG) continue
      if (type === TYPE.DNAME) {
        if (expandName(b, r.at[i]!, r.end, owner, budget) < 0) continue
        if (isBelow(current, owner)) taken[i] = 1
        else if (matches && sameName(owner, 0, current, 0)) {
          taken[i] = 1
          found = true
        }
        if (taken[i]) ttl = Math.min(ttl, ttlOf(b, r, i))
        continue
      }
      if (expandName(b, r.at[i]!, r.end, owner, budget) < 0 || !sameName(owner, 0, current, 0))
        continue
      if (!isSized(b, r, i)) return soft(RCODE.FORMERR)
      taken[i] = 1
      if (matches) found = true
      else if (type === TYPE.CNAME && next < 0) next = i
      ttl = Math.min(ttl, ttlOf(b, r, i))
    }
    if (found || next < 0) break
    chained = true
    if (links >= MAX_CHAIN || expandName(b, r.rdataAt[next]!, r.end, current, budget) < 0)
      return soft(RCODE.SERVFAIL)
  }
  if (budget.steps < 0) return soft(RCODE.FORMERR)
  for (let i = 0; i < answers; i++) if (taken[i]) keep.push(i)
  if (found && rcode === RCODE.NOERROR) {
    keepProofs(b, r, answers, keep)
    keepTargets(b, r, keep, budget)
    return { kind: 'positive', rcode, ttl, keep, whole: isWhole(r, keep) }
  }
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
    } else if (PROOF.has(type)) keep.push(i)
  }
  // NS without SOA is a referral: an upstream that should have resolved did not (RFC 2308 §2.2).
  if (rcode === RCODE.NOERROR && soaTtl === undefined && sawNs && !chained)
    return soft(RCODE.SERVFAIL)
  if (soaTtl !== undefined) soaTtl = Math.min(soaTtl, ttl)
  return {
    kind: rcode === RCODE.NXDOMAIN ? 'nxdomain' : 'nodata',
    rcode,
    ttl: soaTtl,
    keep,
    whole: isWhole(r, keep),
  }
}

/** Whether `name` lies strictly below `apex`; both plain. */
const isBelow = (name: Uint8Array, apex: Uint8Array): boolean => {
  let at = 0
  while (name[at] !== 0) {
    at += name[at]! + 1
    if (sameName(name, at, apex, 0)) return true
  }
  return false
}

/** With DO, proofs that a positive answer came from a wildcard travel in the authority section. */
const keepProofs = (b: Uint8Array, r: Records, answers: number, keep: number[]): void => {
  if (!keep.some(i => r.type[i] === TYPE.RRSIG)) return
  for (let i = answers; i < r.count; i++) {
    if (
      r.section[i] === AUTHORITY &&
      isIn(r, i) &&
      PROOF.has(r.type[i]!) &&
      !(r.type[i] === TYPE.RRSIG && u16(b, r.rdataAt[i]!) === TYPE.NS)
    )
      keep.push(i)
  }
}

/** Addresses of SRV targets are what an SRV client asks for next. */
const keepTargets = (b: Uint8Array, r: Records, keep: number[], budget: Budget): void => {
  if (r.qtype !== TYPE.SRV) return
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
      expandName(b, r.at[i]!, r.end, owner, budget) > 0 &&
      targets.some(t => sameName(t, 0, owner, 0))
    )
      keep.push(i)
  }
}

const isWhole = (r: Records, keep: readonly number[]): boolean =>
  keep.length === r.count - (r.opt >= 0 ? 1 : 0)
