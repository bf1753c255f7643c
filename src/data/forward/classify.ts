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
  | 'alias' // NOERROR with CNAMEs that lead to a name about which it says nothing; `target` is to be asked
  | 'nxdomain'
  | 'nodata' // NOERROR and no record of that type
  | 'soft' // any other RCODE, or nothing usable: another upstream may do better
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
  /** Of an alias: the name its chain ends at, in wire form without pointers, and how many CNAMEs lead there. */
  target?: Buffer
  links?: number
  /** Of a soft failure that is not the upstream's RCODE but our judgement: why, for a person. */
  because?: string
}

/** More CNAMEs in a row than any honest answer has. */
const MAX_CHAIN = 16
const PROOF: ReadonlySet<number> = new Set([TYPE.NSEC, TYPE.NSEC3, TYPE.RRSIG])

const current = Buffer.alloc(MAX_NAME + 1)
const owner = Buffer.alloc(MAX_NAME + 1)
const target = Buffer.alloc(MAX_NAME + 1)
const substituted = Buffer.alloc(2 * MAX_NAME + 2)
/** Answers that were found to be on the chain. */
const onChain = new Uint8Array(MAX_RECORDS)

/** A response that helps nobody: what the upstream said, or our judgement with its reason. */
export const soft = (rcode: number, because?: string): Classified => ({
  kind: 'soft',
  rcode,
  ttl: undefined,
  keep: [],
  whole: false,
  ...(because === undefined ? {} : { because }),
})

/** What an answer without OPT is to a question with DO=1 about a zone that may be signed: it would pass for unsigned. */
export const lacksDnssec = (): Classified =>
  soft(RCODE.SERVFAIL, 'answered without EDNS, so it cannot tell signed from unsigned')

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

/**
 * Classifies a response that `scan` found well formed and whose question has
 * been checked. DNSSEC records are kept only with `dnssecOk`, unless their
 * type is what was asked for (RFC 4035 §3.2.1).
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
    // NS without SOA is a referral: an upstream that should have resolved did not (RFC 2308 §2.2).
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
 * Whether the CNAME target in `target` is what DNAME record `i` makes of the
 * name in `current`: its own owner's labels replaced by its target's (RFC 6672 §2.2).
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

/** Keeps the signatures of the DNAME that is on the chain; their least TTL. */
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

/** Whether the name at which the chain ends is one that it has already left. */
const loops = (b: Uint8Array, r: Records, answers: number, budget: Budget): boolean => {
  for (let i = 0; i < answers; i++) {
    if (!onChain[i] || r.type[i] !== TYPE.CNAME) continue
    if (expandName(b, r.at[i]!, r.end, owner, budget) < 0 || sameName(owner, 0, current, 0))
      return true
  }
  return false
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

/** Keeps the proofs in the authority section that a signed answer came from a wildcard; their least TTL. */
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

/** Keeps the addresses of SRV targets, which an SRV client asks for next; their least TTL. */
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
