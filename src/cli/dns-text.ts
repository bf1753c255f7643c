/**
 * Formats a DNS message as text: header and flags, then records in zone-file form. It reads the octets directly, so
 * that malformed messages and unknown types are also shown (RFC 3597 section 5).
 */
import { typeName, rcodeName, TYPE, CLASS, OPCODE } from '../wire/codes.ts'
import { extendedRcode, readEde } from '../wire/edns.ts'
import * as header from '../wire/header.ts'
import { expandName, nameText } from '../wire/name.ts'
import { u16, u32, u8 } from '../wire/octets.ts'
import { ADDITIONAL, ANSWER, AUTHORITY, Records, scan } from '../wire/scan.ts'
import { numberToIp } from '../base/ip.ts'

/** Info codes of Extended DNS Errors (RFC 8914 section 4, IANA registry). */
const EDE_NAMES = [
  'Other',
  'Unsupported DNSKEY Algorithm',
  'Unsupported DS Digest Type',
  'Stale Answer',
  'Forged Answer',
  'DNSSEC Indeterminate',
  'DNSSEC Bogus',
  'Signature Expired',
  'Signature Not Yet Valid',
  'DNSKEY Missing',
  'RRSIGs Missing',
  'No Zone Key Bit Set',
  'NSEC Missing',
  'Cached Error',
  'Not Ready',
  'Blocked',
  'Censored',
  'Filtered',
  'Prohibited',
  'Stale NXDOMAIN Answer',
  'Not Authoritative',
  'Not Supported',
  'No Reachable Authority',
  'Network Error',
  'Invalid Data',
  'Signature Expired before Valid',
  'Too Early',
  'Unsupported NSEC3 Iterations Value',
  'Unable to conform to policy',
  'Synthesized',
]

/** A record as text. */
export type Shown = {
  readonly name: string
  readonly ttl: number
  readonly class: string
  readonly type: string
  readonly data: string
}

/** A message as text. If `malformed` is set, only the header is reliable. */
export type Message = {
  readonly id: number
  readonly opcode: string
  readonly rcode: string
  readonly flags: readonly string[]
  readonly question: string
  readonly answer: readonly Shown[]
  readonly authority: readonly Shown[]
  readonly additional: readonly Shown[]
  readonly edns:
    { readonly version: number; readonly payload: number; readonly dnssec: boolean } | undefined
  readonly error:
    { readonly code: number; readonly name: string; readonly text: string } | undefined
  readonly bytes: number
  readonly malformed: boolean
}

const CLASSES = new Map<number, string>(Object.entries(CLASS).map(([name, n]) => [n, name]))
const className = (n: number): string => CLASSES.get(n) ?? `CLASS${n}`
const OPCODES = new Map<number, string>(Object.entries(OPCODE).map(([name, n]) => [n, name]))

const FLAGS = [
  [2, header.QR, 'qr'],
  [2, header.AA, 'aa'],
  [2, header.TC, 'tc'],
  [2, header.RD, 'rd'],
  [3, header.RA, 'ra'],
  [3, header.Z, 'z'],
  [3, header.AD, 'ad'],
  [3, header.CD, 'cd'],
] as const

/** With the final dot, as in a zone file. */
const dotted = (name: string): string => (name === '.' ? name : `${name}.`)

/** Parses a message. Never throws; fewer than twelve octets are malformed. */
export const readMessage = (wire: Uint8Array): Message => {
  const short = wire.length < header.HEADER
  const head = short ? new Uint8Array(header.HEADER) : wire
  const records = new Records()
  const whole = !short && scan(wire, wire.length, records)
  const opt = whole ? records.opt : -1
  const optAt = opt < 0 ? 0 : records.rdataAt[opt]!
  const error = opt < 0 ? undefined : readEde(wire, optAt, records.rdataEnd[opt]!)
  const section = (which: number): Shown[] =>
    whole
      ? Array.from({ length: records.count }, (_, i) => i)
          .filter(i => records.section[i] === which && i !== opt)
          .map(i => shownRecord(wire, records, i))
      : []
  return {
    id: header.id(head),
    opcode: OPCODES.get(header.opcode(head)) ?? `OPCODE${header.opcode(head)}`,
    rcode: rcodeName(header.rcode(head) + (opt < 0 ? 0 : extendedRcode(wire, optAt) << 4)),
    flags: FLAGS.flatMap(([at, bit, name]) => (u8(head, at) & bit ? [name] : [])),
    question:
      whole && records.questionEnd > header.HEADER
        ? `${dotted(nameText(wire, header.HEADER))} ${className(records.qclass)} ${typeName(records.qtype)}`
        : '',
    answer: section(ANSWER),
    authority: section(AUTHORITY),
    additional: section(ADDITIONAL),
    edns:
      opt < 0
        ? undefined
        : {
            version: u8(wire, optAt - 5),
            payload: u16(wire, optAt - 8),
            dnssec: (u8(wire, optAt - 4) & 0x80) !== 0,
          },
    error: error && { ...error, name: EDE_NAMES[error.code] ?? `EDE${error.code}` },
    bytes: wire.length,
    malformed: !whole,
  }
}

const shownRecord = (b: Uint8Array, r: Records, i: number): Shown => ({
  name: nameAt(b, r.at[i]!, b.length)?.text ?? '?',
  ttl: u32(b, r.ttlAt[i]!),
  class: className(r.class[i]!),
  type: typeName(r.type[i]!),
  data: rdataText(b, r.type[i]!, r.rdataAt[i]!, r.rdataEnd[i]!),
})

/** The name at an offset and the offset behind it; undefined if it is invalid. */
const nameAt = (
  b: Uint8Array,
  at: number,
  end: number,
): { text: string; end: number } | undefined => {
  const plain = new Uint8Array(256)
  if (expandName(b, at, end, plain) < 0) return undefined
  while (at < end && u8(b, at) !== 0 && u8(b, at) < 0xc0) at += u8(b, at) + 1
  return { text: dotted(nameText(plain)), end: u8(b, at) === 0 ? at + 1 : at + 2 }
}

/** Fields of each type's rdata: `n` is a name, a digit is a number of that many octets. */
const LAYOUTS: Readonly<Record<number, string>> = {
  [TYPE.NS]: 'n',
  [TYPE.CNAME]: 'n',
  [TYPE.PTR]: 'n',
  [TYPE.DNAME]: 'n',
  [TYPE.MX]: '2n',
  [TYPE.SRV]: '222n',
  [TYPE.SOA]: 'nn44444',
}

/** Rdata in presentation form; as octets if it is not valid for its type. */
export const rdataText = (b: Uint8Array, type: number, at: number, end: number): string =>
  known(b, type, at, end) ??
  `\\# ${end - at} ${Buffer.from(b.subarray(at, end)).toString('hex')}`.trimEnd()

const known = (b: Uint8Array, type: number, at: number, end: number): string | undefined => {
  if (type === TYPE.A || type === TYPE.AAAA) {
    const width = type === TYPE.A ? 4 : 16
    if (end - at !== width) return undefined
    return numberToIp(
      BigInt(`0x${Buffer.from(b.subarray(at, end)).toString('hex')}`),
      width === 4 ? 4 : 6,
    )
  }
  if (type === TYPE.TXT || type === TYPE.HINFO) return strings(b, at, end)
  const layout = LAYOUTS[type]
  if (!layout) return undefined
  const words: string[] = []
  for (const part of layout) {
    if (part === 'n') {
      const name = nameAt(b, at, end)
      if (!name || name.end > end) return undefined
      words.push(name.text)
      at = name.end
    } else {
      const width = Number(part)
      if (at + width > end) return undefined
      words.push(String(width === 2 ? u16(b, at) : u32(b, at)))
      at += width
    }
  }
  return at === end ? words.join(' ') : undefined
}

/** Character strings in quotes (RFC 1035 section 5.1). */
const strings = (b: Uint8Array, at: number, end: number): string | undefined => {
  const out: string[] = []
  while (at < end) {
    const next = at + 1 + u8(b, at)
    if (next > end) return undefined
    out.push(
      `"${Array.from(b.subarray(at + 1, next), c =>
        c === 0x22 || c === 0x5c
          ? `\\${String.fromCharCode(c)}`
          : c >= 0x20 && c < 0x7f
            ? String.fromCharCode(c)
            : `\\${String(c).padStart(3, '0')}`,
      ).join('')}"`,
    )
    at = next
  }
  return out.join(' ')
}

/** EDE text may come from anyone, so characters that a terminal interprets are removed. */
const safe = (text: string): string => text.replace(/[^\x20-\x7e\u00a1-\u2027\u2030-\ud7ff]/g, '?')

/** The message in the format of dig. */
export const showMessage = (m: Message): string => {
  const lines = [
    `;; ${m.opcode}, ${m.rcode}, id ${m.id}, flags: ${m.flags.join(' ')}`,
    ...(m.edns
      ? [
          `;; EDNS: version ${m.edns.version}, payload ${m.edns.payload}${m.edns.dnssec ? ', do' : ''}`,
        ]
      : []),
    ...(m.error
      ? [
          `;; EDE: ${m.error.code} (${m.error.name})${m.error.text ? `: ${safe(m.error.text)}` : ''}`,
        ]
      : []),
    ...(m.malformed ? [';; malformed: the rest cannot be read'] : []),
    ...(m.question ? [`;; question: ${m.question}`] : []),
  ]
  for (const [title, records] of [
    ['answer', m.answer],
    ['authority', m.authority],
    ['additional', m.additional],
  ] as const) {
    if (records.length) lines.push('', `;; ${title}`, showRecords(records))
  }
  return `${lines.join('\n')}\n`
}

/** One record per line, in aligned columns like a zone file. */
const showRecords = (records: readonly Shown[]): string => {
  const name = Math.max(...records.map(r => r.name.length))
  const ttl = Math.max(...records.map(r => String(r.ttl).length))
  const type = Math.max(...records.map(r => r.type.length))
  return records
    .map(
      r =>
        `${r.name.padEnd(name)} ${String(r.ttl).padStart(ttl)} ${r.class} ${r.type.padEnd(type)} ${r.data}`,
    )
    .join('\n')
}
