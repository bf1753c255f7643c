/** Sends a question as a client would, and formats the answer in one line. */
import { createSocket } from 'node:dgram'
import { performance } from 'node:perf_hooks'
import { fail } from '../base/error.ts'
import { decodeForPeople } from '../data/answer/message.ts'
import { plainQuery } from '../wire/question.ts'
import { rcodeName } from '../wire/codes.ts'
import { nameWire } from '../wire/name.ts'

export type Seen = {
  readonly rcode: string
  readonly answers: readonly string[]
  readonly ms: number
  readonly ttl: number | undefined
}

const PATIENCE_MS = 3_000
const TYPE_A = 1

/** Asks for the addresses of a name. Rejects with ESTATE if no answer arrives in time. */
export const look = (name: string, address: string, port: number): Promise<Seen> =>
  new Promise((resolve, reject) => {
    const socket = createSocket('udp4')
    const startedAt = performance.now()
    const timer = setTimeout(() => {
      socket.close()
      reject(fail(`no answer for ${name} from ${address}`, 'ESTATE'))
    }, PATIENCE_MS)
    socket.once('message', wire => {
      const ms = performance.now() - startedAt
      clearTimeout(timer)
      socket.close()
      const { answers = [] } = decodeForPeople(wire)
      resolve({
        rcode: rcodeName(wire[3]! & 15),
        answers: answers.flatMap(r => ('data' in r && typeof r.data === 'string' ? [r.data] : [])),
        ms,
        ttl: answers[0] && 'ttl' in answers[0] ? answers[0].ttl : undefined,
      })
    })
    socket.send(plainQuery(nameWire(name)!, TYPE_A), port, address)
  })

/** `web.marathon.mesos → 9.0.1.4 9.0.2.4, TTL 5, 0.4 ms`. */
export const described = (name: string, seen: Seen): string =>
  `${name} → ${seen.answers.join(' ') || seen.rcode}${seen.ttl === undefined ? '' : `, TTL ${seen.ttl}`}, ${seen.ms.toFixed(1)} ms`
