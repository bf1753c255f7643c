/**
 * Encodes answers from our own records, and decodes messages for the CLI. The only file that imports dns-packet.
 * dns-packet does not preserve labels with dots or octets above 127, so it only gets names of our own;
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
  const body = encodePacket({
    type: 'response',
    flags: 0,
    questions: [],
    answers: sections.answer.flatMap(toAnswers),
    authorities: sections.authority.flatMap(toAnswers),
    additionals: sections.additional.flatMap(toAnswers),
  })
  const out = Buffer.allocUnsafe(body.length + question.length)
  body.copy(out, 0, 0, HEADER)
  out.set(question, HEADER)
  body.copy(out, HEADER + question.length, HEADER)
  out[2] = 0x80 | AA
  out[3] = 0x80 | rcode
  put16(out, 4, 1)
  return out
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
