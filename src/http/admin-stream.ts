/**
 * Reads an endless answer of the admin server line by line, for commands that follow a daemon instead of
 * polling it. Works only over the Unix socket.
 */
import { request, type IncomingMessage } from 'node:http'
import { createInterface } from 'node:readline'
import { fail, messageOf } from '../base/error.ts'

/** The daemon sends a line at least every 10 s, so a silence of this length is an error. */
const SILENCE_MS = 30_000
/** Limit of the text of a refusal. */
const MOST_REASON = 4_096

/**
 * Passes each line to `onLine`. Resolves when the daemon ends the answer or `signal` is aborted. Rejects with
 * EHTTP if no daemon answers, if it refuses, or if it falls silent.
 */
export const followDaemon = async (
  socketPath: string,
  path: string,
  onLine: (line: string) => void,
  signal: AbortSignal,
): Promise<void> => {
  try {
    const response = await opened(socketPath, path, signal)
    if (response.statusCode !== 200) throw fail(await refusalOf(response), 'EHTTP')
    for await (const line of createInterface({ input: response, crlfDelay: Infinity })) onLine(line)
  } catch (er) {
    if (signal.aborted) return
    throw fail(`cannot follow the daemon at ${socketPath}: ${messageOf(er)}`, 'EHTTP', {
      cause: er,
    })
  }
}

/** The daemon's reason for a refusal, or its HTTP status. */
const refusalOf = async (response: IncomingMessage): Promise<string> => {
  let text = ''
  for await (const part of response.setEncoding('utf8') as AsyncIterable<string>)
    if ((text += part).length > MOST_REASON) break
  try {
    return String((JSON.parse(text) as { error: unknown }).error)
  } catch {
    return `HTTP ${response.statusCode}`
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
