/**
 * Asks the daemon what clients ask it: a real query through a real socket on
 * each address. Readiness and the watchdog rest on the answers and on nothing
 * else, so a process that lives but does not answer is not called well.
 */
import { createSocket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import type { Endpoint, Milliseconds } from '../boundary/messages.ts'
import { codeOf, messageOf } from '../base/error.ts'
import { plainQuery } from '../wire/question.ts'
import { nameWire } from '../wire/name.ts'
import type { SelfQuery } from '../boundary/health.ts'

/** As long as a DC/OS client waits (`options timeout:1`). */
const PATIENCE_MS = 1_000
const QUESTION = 'ready.spartan'
const TYPE_A = 1

/** One query to one address; never rejects. */
export const askSelf = (
  { address, port }: Endpoint,
  patience: Milliseconds = PATIENCE_MS,
): Promise<SelfQuery> =>
  new Promise(resolve => {
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
    let settled = false
    const done = (error: string): void => {
      if (settled) return
      settled = true
      clearTimeout(timer)
      socket.close()
      resolve({ address, port, ok: error === '', error })
    }
    const timer = setTimeout(() => done('no answer within a second'), patience)
    socket.on('error', er => done(codeOf(er) || messageOf(er)))
    socket.on('message', answer => {
      const well =
        answer.length > 12 &&
        (answer[2]! & 0x80) !== 0 &&
        (answer[3]! & 0x0f) === 0 &&
        answer.readUInt16BE(6) > 0
      done(well ? '' : `answers ${QUESTION} with rcode ${(answer[3] ?? 0) & 0x0f}`)
    })
    // By the event: a callback is also called when connecting fails, as it does
    // once the address is taken away and nothing leads there.
    socket.once('connect', () => socket.send(plainQuery(nameWire(QUESTION)!, TYPE_A)))
    socket.connect(port, address)
  })
