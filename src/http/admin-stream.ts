/**
 * A long answer of the admin server, line by line: for who follows a daemon
 * instead of asking it again and again. Only over its Unix socket.
 */
import { request, type IncomingMessage } from 'node:http'
import { createInterface } from 'node:readline'
import { fail, messageOf } from '../base/error.ts'

/** The daemon says something at least every 10 s; a silence this long is a broken daemon. */
const SILENCE_MS = 30_000

/**
 * Gives each line of the answer to `onLine`. Resolves when the daemon ends the
 * answer or `signal` is aborted; rejects with EHTTP when there is no daemon,
 * it refuses, or it falls silent.
 */
export const followDaemon = async (
  socketPath: string,
  path: string,
  onLine: (line: string) => void,
  signal: AbortSignal,
): Promise<void> => {
  try {
    const response = await opened(socketPath, path, signal)
    if (response.statusCode !== 200)
      throw fail(
        `the daemon answers ${path.split('?')[0]} with HTTP ${response.statusCode}`,
        'EHTTP',
      )
    for await (const line of createInterface({ input: response, crlfDelay: Infinity })) onLine(line)
  } catch (er) {
    if (signal.aborted) return
    throw fail(`cannot follow the daemon at ${socketPath}: ${messageOf(er)}`, 'EHTTP', {
      cause: er,
    })
  }
}

const opened = (socketPath: string, path: string, signal: AbortSignal): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const req = request({ socketPath, path, agent: false, signal })
    req.setTimeout(SILENCE_MS, () => req.destroy(new Error('nothing was said for 30 s')))
    req.on('error', reject)
    req.on('response', resolve)
    req.end()
  })
