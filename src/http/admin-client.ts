/**
 * Client of the admin server, for commands that query a running daemon: one exchange over the Unix socket or
 * TCP, with a deadline and a size limit. Changes are only possible over the socket, whose file permissions
 * control access.
 */
import { request, type IncomingMessage } from 'node:http'
import type { Milliseconds } from '../boundary/messages.ts'
import { codeOf, fail, messageOf } from '../base/error.ts'
import { ABSENT, exchangeOverTcp, showPlace, type AdminPlace } from './admin-tcp.ts'

/**
 * Where the daemon listens. If both are set, the socket is tried first, and TCP if the socket cannot be used
 * and the call only reads.
 */
export type AdminTarget = { readonly socket: string; readonly listen: AdminPlace | undefined }

export type AdminCall = {
  readonly method?: 'GET' | 'POST'
  /** Including its query string. */
  readonly path: string
  /** Sent as JSON. */
  readonly body?: unknown
  /** From the call to the last byte. */
  readonly deadlineMs?: Milliseconds
}

/** The daemon's answer. `json` is undefined if the body is not JSON. */
export type AdminAnswer = { readonly status: number; readonly text: string; readonly json: unknown }

const DEADLINE_MS = 10_000
/** Limit of the body; a cache listing of 100,000 names has about 15 MB. */
const MAX_BYTES = 64 * 2 ** 20

type Where = { readonly socketPath: string } | AdminPlace

/** Parses the place of a daemon: a path, http(s)://host:port, or host:port. Undefined if it is none of these. */
export const parseAdmin = (text: string): AdminTarget | undefined => {
  if (text.startsWith('/')) return { socket: text, listen: undefined }
  const written = /^https?:\/\//i.test(text) ? text : `http://${text}`
  const url = URL.canParse(written) ? new URL(written) : undefined
  if (!url || url.pathname !== '/' || url.username || url.search) return undefined
  const https = url.protocol === 'https:'
  const address = url.hostname.replace(/^\[(.*)\]$/, '$1')
  const port = Number(url.port || (https ? 443 : 80))
  return { socket: '', listen: { address, port, ...(https ? { https } : {}) } }
}

/** A target as text, for messages. */
export const showAdmin = ({ socket, listen }: AdminTarget): string =>
  [socket, listen && showPlace(listen)].filter(Boolean).join(' or ')

/**
 * Queries the daemon. Throws EHTTP with one sentence: no daemon answers, permission is missing, or the daemon
 * refused (`status` then holds the HTTP status).
 */
export const askDaemon = async (target: AdminTarget, call: AdminCall): Promise<AdminAnswer> => {
  const places: Where[] = []
  if (target.socket) places.push({ socketPath: target.socket })
  const changes = (call.method ?? 'GET') !== 'GET'
  if (target.listen && !(changes && target.socket)) {
    places.push(target.listen)
  }
  if (!places.length) throw fail('neither admin.socket nor admin.listen is configured', 'EHTTP')
  let denied = false
  for (const place of places) {
    try {
      const answer = await ('socketPath' in place ? overSocket(place, call) : overTcp(place, call))
      if (answer.status < 300) return answer
      throw refused(answer, call)
    } catch (er) {
      const code = codeOf(er)
      if (code === 'EACCES' || code === 'EPERM') denied = true
      else if (!ABSENT.has(code)) throw er
    }
  }
  if (denied)
    throw fail(
      `permission denied on ${target.socket}: become root or a member of its group`,
      'EHTTP',
    )
  throw fail(
    `the daemon is not running: nothing answers at ${showAdmin({ ...target, listen: changes && target.socket ? undefined : target.listen })}`,
    'EHTTP',
  )
}

const refused = ({ status, json, text }: AdminAnswer, { path }: AdminCall): Error => {
  const said = (json as { error?: unknown } | undefined)?.error
  const [line = ''] = text.split('\n')
  const why = typeof said === 'string' ? said : line.slice(0, 200)
  const where = path.split('?')[0]
  if (status === 404 && why === 'no such path') {
    return fail(
      `the daemon has no ${where}: it is of another version, or that part is not configured`,
      'EHTTP',
      { status },
    )
  }
  const hint = status === 401 ? '; --token names the file with it' : ''
  return fail(`the daemon refused ${where}: ${why || `HTTP ${status}`}${hint}`, 'EHTTP', { status })
}

const overTcp = async (
  place: AdminPlace,
  { method = 'GET', path, body, deadlineMs = DEADLINE_MS }: AdminCall,
): Promise<AdminAnswer> => {
  const text = body === undefined ? undefined : JSON.stringify(body)
  const request = { method, path, body: text, deadlineMs, maxBytes: MAX_BYTES }
  const answer = await exchangeOverTcp(place, request)
  return answerOf(answer.status, answer.body)
}

const overSocket = (
  { socketPath }: { readonly socketPath: string },
  { method = 'GET', path, body, deadlineMs = DEADLINE_MS }: AdminCall,
): Promise<AdminAnswer> =>
  new Promise((resolve, reject) => {
    const text = body === undefined ? undefined : JSON.stringify(body)
    const req = request({
      socketPath,
      method,
      path,
      agent: false,
      signal: AbortSignal.timeout(deadlineMs),
      headers:
        text === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
    })
    const failed = (er: unknown): void =>
      reject(
        codeOf(er) === 'ABORT_ERR'
          ? fail(`the daemon did not answer within ${deadlineMs} ms`, 'EHTTP')
          : broken(er),
      )
    req.on('error', failed)
    req.on('response', res => void collect(res).then(resolve, failed))
    req.end(text)
  })

/**
 * Errors of the network keep their code, which decides whether another place is tried; other errors become
 * EHTTP.
 */
const broken = (er: unknown): unknown =>
  ABSENT.has(codeOf(er)) ||
  codeOf(er) === 'EACCES' ||
  codeOf(er) === 'EPERM' ||
  codeOf(er) === 'EHTTP'
    ? er
    : fail(`the exchange with the daemon broke: ${messageOf(er)}`, 'EHTTP', { cause: er })

const collect = async (res: IncomingMessage): Promise<AdminAnswer> => {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of res as AsyncIterable<Buffer>) {
    length += part.length
    if (length > MAX_BYTES)
      throw fail(`the daemon's answer is longer than ${MAX_BYTES} bytes`, 'EHTTP')
    parts.push(part)
  }
  return answerOf(res.statusCode ?? 0, Buffer.concat(parts))
}

const answerOf = (status: number, body: Buffer): AdminAnswer => {
  const text = body.toString('utf8')
  try {
    return { status, text, json: JSON.parse(text) as unknown }
  } catch {
    return { status, text, json: undefined }
  }
}
