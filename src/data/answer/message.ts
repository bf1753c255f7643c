/**
 * Encodes answers from our own records, and decodes messages for the CLI. The only file that imports dns-packet.
 * dns-packet does not preserve labels with dots or octets above 127, so it never gets a name with escapes;
 * wire/compose.ts compresses its output.
 */
import {
  decode as decodePacket,
  encode as encodePacket,
  type Answer,
  type DecodedPacket,
} from 'dns-packet'
import type { RRset } from '../../boundary/messages.ts'
import { AA, HEADER } from '../../wire/header.ts'
import { nameWire } from '../../wire/name.ts'
import { put16 } from '../../wire/octets.ts'

/** One RRset and its owner. */
export type OwnedRrset = { readonly name: string; readonly rrset: RRset }

export type Sections = {
  readonly answer: readonly OwnedRrset[]
  readonly authority: readonly OwnedRrset[]
  readonly additional: readonly OwnedRrset[]
}

/** An authoritative response without compression: the question's octets ([name, type, class]), then the records. */
export const encodeLocal = (question: Uint8Array, rcode: number, sections: Sections): Buffer => {
  const answers = sections.answer.flatMap(toAnswers)
  const authorities = sections.authority.flatMap(toAnswers)
  const additionals = sections.additional.flatMap(toAnswers)
  const all = [...answers, ...authorities, ...additionals]
  const body = all.some(isEscaped)
    ? oneByOne([answers, authorities, additionals])
    : encodePacket({ type: 'response', flags: 0, answers, authorities, additionals })
  const out = Buffer.allocUnsafe(body.length + question.length)
  body.copy(out, 0, 0, HEADER)
  out.set(question, HEADER)
  body.copy(out, HEADER + question.length, HEADER)
  out[2] = 0x80 | AA
  out[3] = 0x80 | rcode
  put16(out, 4, 1)
  return out
}

/** The SRV target of a record; '' for other types. */
const targetOf = (record: Answer): string => (record.type === 'SRV' ? record.data.target : '')

const isEscaped = (record: Answer): boolean =>
  record.name.includes('\\') || targetOf(record).includes('\\')

/** Offset of the rdata's length in a record, after the name. */
const RDLENGTH = 8
/** Octets of SRV rdata before the target. */
const SRV_HEAD = 6

/** A record with names that may have escapes: dns-packet encodes it with the root in place of each. */
const recordOctets = (record: Answer): readonly Uint8Array[] => {
  const target = targetOf(record)
  const rooted = { ...record, name: '.' } as Answer
  if (rooted.type === 'SRV') rooted.data = { ...rooted.data, target: '.' }
  const rest = encodePacket({ type: 'response', answers: [rooted] }).subarray(HEADER + 1)
  const owner = nameWire(record.name)
  const to = target === '' ? Buffer.alloc(0) : nameWire(target)
  if (owner === undefined || to === undefined) return []
  if (to.length === 0) return [owner, rest]
  put16(rest, RDLENGTH, SRV_HEAD + to.length)
  return [owner, rest.subarray(0, -1), to]
}

/** Header and records. */
const oneByOne = (sections: readonly (readonly Answer[])[]): Buffer => {
  const header = Buffer.alloc(HEADER)
  const records = sections.map((section, i) => {
    const encoded = section.map(recordOctets).filter(octets => octets.length > 0)
    put16(header, 6 + 2 * i, encoded.length)
    return encoded.flat()
  })
  return Buffer.concat([header, ...records.flat()])
}

/** Records of one RRset in dns-packet's form. A malformed record is left out. */
const toAnswers = ({ name, rrset }: OwnedRrset): Answer[] => {
  const ttl = rrset.ttl
  const out: Answer[] = []
  for (const text of rrset.data) {
    const data = parseRdata(rrset.type, text)
    if (data !== undefined) out.push({ name, type: rrset.type, ttl, class: 'IN', data } as Answer)
  }
  return out
}

const parseRdata = (type: string, text: string): unknown => {
  const words = text.split(' ')
  switch (type) {
    case 'SRV':
      return words.length === 4
        ? {
            priority: Number(words[0]),
            weight: Number(words[1]),
            port: Number(words[2]),
            target: words[3],
          }
        : undefined
    case 'SOA':
      return words.length === 7
        ? {
            mname: words[0],
            rname: words[1],
            serial: Number(words[2]),
            refresh: Number(words[3]),
            retry: Number(words[4]),
            expire: Number(words[5]),
            minimum: Number(words[6]),
          }
        : undefined
    case 'MX':
      return words.length === 2 ? { preference: Number(words[0]), exchange: words[1] } : undefined
    case 'HINFO':
      return { cpu: words[0] ?? '', os: words.slice(1).join(' ') }
    case 'TXT':
      return chunks(text)
    default:
      return text
  }
}

/** Divides TXT data into strings of at most 255 octets. */
const chunks = (text: string): Buffer[] => {
  const all = Buffer.from(text)
  const out: Buffer[] = []
  for (let at = 0; at < all.length || out.length === 0; at += 255)
    out.push(all.subarray(at, at + 255))
  return out
}

/** Decodes a message for printing; throws dns-packet's errors. */
export const decodeForPeople = (wire: Buffer): DecodedPacket => decodePacket(wire)
