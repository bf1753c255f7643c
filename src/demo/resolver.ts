/**
 * The demo's external resolver. It answers for example.org and refuses everything else, so that the demo sends
 * nothing to the network.
 */
import { createSocket, type Socket } from 'node:dgram'
import type { Endpoint } from '../boundary/messages.ts'
import { encodeLocal, type OwnedRrset } from '../data/answer/message.ts'
import { reply } from '../wire/reply.ts'
import { ACCEPT, admit, Head } from '../data/serve/admit.ts'
import { RCODE, TYPE } from '../wire/codes.ts'
import { HEADER, RD } from '../wire/header.ts'
import { foldedText } from '../wire/name.ts'

const TTL = 300

export const startResolver = ({ address, port }: Endpoint): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = createSocket('udp4')
    const head = new Head()
    socket.once('error', reject)
    socket.on('message', (query, from) => {
      if (admit(query, 0, query.length, head) !== ACCEPT) return
      socket.send(answer(query, head), from.port, from.address)
    })
    socket.bind(port, address, () => resolve(socket))
  })

const answer = (query: Buffer, head: Head): Buffer => {
  const name = foldedText(query, HEADER)
  const ours = name === 'example.org' || name.endsWith('.example.org')
  const records: OwnedRrset[] =
    ours && head.qtype === TYPE.A
      ? [{ name, rrset: { type: 'A', ttl: TTL, data: ['203.0.113.80'] } }]
      : []
  if (records.length === 0)
    return reply(query, { ...head, edns: false }, ours ? RCODE.NOERROR : RCODE.REFUSED)
  const response = encodeLocal(query.subarray(HEADER, head.questionEnd), RCODE.NOERROR, {
    answer: records,
    authority: [],
    additional: [],
  })
  query.copy(response, 0, 0, 2)
  response[2] = 0x80 | (query[2]! & RD)
  return response
}
