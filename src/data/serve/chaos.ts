/** Questions of class CH, which ask a server for its name and version (RFC 4892). */
import type { Head } from './admit.ts'
import { CLASS, EDE, RCODE, TYPE } from '../../wire/codes.ts'
import { HEADER, RA } from '../../wire/header.ts'
import { foldedText } from '../../wire/name.ts'
import { put16, put32 } from '../../wire/octets.ts'
import { reply } from '../../wire/reply.ts'

/** The answer for each name; none if `node` is undefined. */
const textFor = (name: string, node: string): string | undefined => {
  if (name === 'version.bind' || name === 'version.server') return 'spartan'
  if (name === 'id.server' || name === 'hostname.bind') return node
  return undefined
}

/** The response to a query of class CH: our name, or REFUSED for other questions and if `identity` is off. */
export const chaosReply = (
  query: Buffer,
  head: Head,
  node: string,
  identity: boolean,
): { readonly rcode: number; readonly response: Buffer } => {
  const text =
    identity && head.qtype === TYPE.TXT ? textFor(foldedText(query, HEADER), node) : undefined
  if (text === undefined)
    return { rcode: RCODE.REFUSED, response: reply(query, head, RCODE.REFUSED, EDE.NOT_SUPPORTED) }
  const bare = reply(query, head, RCODE.NOERROR)
  const words = Buffer.from(text).subarray(0, 255)
  const record = Buffer.alloc(13)
  put16(record, 0, 0xc000 + HEADER)
  put16(record, 2, TYPE.TXT)
  put16(record, 4, CLASS.CH)
  put32(record, 6, 0)
  put16(record, 10, words.length + 1)
  record[12] = words.length
  const response = Buffer.concat([
    bare.subarray(0, head.questionEnd),
    record,
    words,
    bare.subarray(head.questionEnd),
  ])
  put16(response, 6, 1)
  response[3] = RA
  return { rcode: RCODE.NOERROR, response }
}
