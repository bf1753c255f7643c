/**
 * Decoded messages, for the few who need them: answers made from our own
 * records, and the CLI's output. The home of dns-packet, whose limits decide
 * how it is used: it never sees a name a stranger chose (labels with dots or
 * octets above 127 do not survive it), and what it encodes is compressed
 * afterwards by wire/compose.ts.
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

/** One RRset under its owner. */
export type OwnedRrset = { readonly name: string; readonly rrset: RRset }

export type Sections = {
  readonly answer: readonly OwnedRrset[]
  readonly authority: readonly OwnedRrset[]
  readonly additional: readonly OwnedRrset[]
}

/**
 * An authoritative response, uncompressed: the question's octets as given
 * ([name, type, class]), then the records.
 */
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

/** Records of one RRset in dns-packet's form. A malformed datum is left out: the rest of the set still serves. */
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

/** A TXT datum is strings of at most 255 octets. */
const chunks = (text: string): Buffer[] => {
  const all = Buffer.from(text)
  const out: Buffer[] = []
  for (let at = 0; at < all.length || out.length === 0; at += 255)
    out.push(all.subarray(at, at + 255))
  return out
}

/** A message for a person to read; throws what dns-packet throws. */
export const decodeForPeople = (wire: Buffer): DecodedPacket => decodePacket(wire)
