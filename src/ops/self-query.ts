/**
 * Sends a real query to each of our own addresses through a real socket. Readiness and the watchdog only depend on
 * these answers, so a process that runs but does not answer counts as failed.
 */
import { createSocket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import type { Endpoint, Milliseconds } from '../boundary/messages.ts'
import { codeOf, messageOf } from '../base/error.ts'
import { plainQuery } from '../wire/question.ts'
import { nameWire } from '../wire/name.ts'
import type { SelfQuery } from '../boundary/health.ts'

/** The time that a DC/OS client waits (`options timeout:1`). */
const PATIENCE_MS = 1_000
const QUESTION = 'ready.spartan'
const TYPE_A = 1

/** One query to one address; never rejects. `question` is a name that has an A record. */
export const askSelf = (
  { address, port }: Endpoint,
  patience: Milliseconds = PATIENCE_MS,
  question: string = QUESTION,
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
      done(well ? '' : `answers ${question} with rcode ${(answer[3] ?? 0) & 0x0f}`)
    })
    // Uses the event, because a callback would also be called when connecting fails, for example after the address
    // was removed.
    socket.once('connect', () => socket.send(plainQuery(nameWire(question)!, TYPE_A)))
    socket.connect(port, address)
  })
