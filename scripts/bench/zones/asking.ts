/** Asks several servers for the same names until all of them answer. */
import { createSocket } from 'node:dgram'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Endpoint } from '../../../src/boundary/messages.ts'
import { nameWire } from '../../../src/wire/name.ts'
import { plainQuery } from '../../../src/wire/question.ts'

/** Interval at which those that have not answered are asked again: the precision of the times. */
const ASK_MS = 5

/** When each server has answered every name with at least one record, on the clock of `performance`. */
export const bothAnswer = async (
  servers: readonly Endpoint[],
  names: readonly string[],
  patienceMs: number,
): Promise<readonly number[]> => {
  const questions = servers.flatMap(at => names.map(name => ({ at, name })))
  const times = new Float64Array(questions.length).fill(NaN)
  const queries = questions.map(({ name }, id) => {
    const query = plainQuery(nameWire(name)!, 1)
    query.writeUInt16BE(id, 0)
    return query
  })
  const socket = createSocket('udp4')
  let left = questions.length
  socket.on('message', response => {
    const id = response.readUInt16BE(0)
    if (response.readUInt16BE(6) === 0 || !Number.isNaN(times[id] ?? 0)) return
    times[id] = performance.now()
    left--
  })
  try {
    const late = performance.now() + patienceMs
    while (left > 0) {
      if (performance.now() > late)
        throw new Error(`${left} of ${questions.length} answers are missing`)
      for (const [id, { at }] of questions.entries())
        if (Number.isNaN(times[id])) socket.send(queries[id]!, at.port, at.address)
      await sleep(ASK_MS)
    }
  } finally {
    socket.close()
  }
  return servers.map((_, i) =>
    Math.max(...times.subarray(i * names.length, (i + 1) * names.length)),
  )
}
