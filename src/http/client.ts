/**
 * The HTTP client of spartan, built on undici. It talks to Mesos masters and agents, Mesos-DNS, lists of masters, and
 * DoH servers. Every exchange has a deadline and a size limit, because servers may be slow or hostile. A failure is an
 * EHTTP error with a sentence and a `reason` for metrics (fault.ts). Certificates and credentials are read at each
 * exchange, because their files may change.
 *
 * This file is long, because one exchange is one sequence: credentials, redirects, deadline and limits belong to each
 * step of it.
 */
import type { Agent, Dispatcher } from 'undici'
import type { Authorization } from './authorization.ts'
import type { HttpCall, HttpResponse, TlsOptions } from './call.ts'
import { Deadline } from './deadline.ts'
import {
  connectionFault,
  httpFault,
  httpStatus,
  redirectTarget,
  statusFault,
  type HttpReason,
} from './fault.ts'

export type { HttpCall, HttpResponse, TlsOptions } from './call.ts'
export { httpReason, httpStatus, retryAfterOf, shownUrl, type HttpReason } from './fault.ts'

export type HttpOptions = {
  /** A function returns the same object until a file changes; it may throw EHTTP. */
  readonly tls?: TlsOptions | (() => TlsOptions)
  /** The credentials, sent with every request, but not to another host that a redirect leads to. */
  readonly authorization?: Authorization
  /** The key that the credentials come from, for messages. */
  readonly credentials?: string
  /** Sent with every request. Never logged. */
  readonly headers?: Readonly<Record<string, string>>
  /** Time to connect, TLS included. Default 5 s. */
  readonly connectMs?: number
}

export type HttpStream = {
  readonly headers: Readonly<Record<string, string>>
  /** Ends when the server ends the body; throws EHTTP when the connection breaks or `close` is called. */
  readonly chunks: AsyncIterable<Buffer>
  close(): void
}

export const DEADLINE_MS = 30_000
/**
 * How long an idle connection is kept, unless the server announces a shorter time: longer than the 5 s between two
 * polls of a Mesos agent, because a connection costs more than a poll.
 */
export const IDLE_MS = 15_000
export const MAX_BYTES = 64 * 1024 * 1024

/** undici's headers with one value each; names in lower case. */
const flat = (headers: Dispatcher.ResponseData['headers']): Record<string, string> => {
  const out: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) out[name] = Array.isArray(value) ? (value[0] ?? '') : value
  }
  return out
}

/** HTTP with one set of certificates and credentials. Owns its connections until `close`. */
export class Http {
  readonly #options: HttpOptions
  /** The connections and their TLS options. Created at the first exchange: undici takes 7 MB, and many nodes never need it. */
  #agent: { readonly tls: TlsOptions; readonly agent: Agent } | undefined
  readonly #agents = new Set<Agent>()
  #closed = false

  constructor(options: HttpOptions = {}) {
    this.#options = options
  }

  /** Whether credentials or certificates are configured. */
  get authorized(): boolean {
    return this.#options.authorization !== undefined || this.#options.tls !== undefined
  }

  /** One exchange with any status. Throws EHTTP if no complete response arrives in time. */
  async exchange(url: string, call: HttpCall = {}): Promise<HttpResponse> {
    const limit = new Deadline(call.deadlineMs ?? DEADLINE_MS, call.signal)
    try {
      return await this.#authorized(url, async authorization => {
        const response = await this.#follow(url, call, limit, authorization)
        return { status: response.status, value: response }
      })
    } finally {
      limit.end()
    }
  }

  /** The JSON value in the body of a 200. Throws EHTTP for any other status and for invalid JSON. */
  async getJson(url: string, call: HttpCall = {}): Promise<unknown> {
    return jsonOf(url, await this.getBody(url, call))
  }

  /** The body of a 200. Throws EHTTP for any other status. */
  async getBody(url: string, call: HttpCall = {}): Promise<Buffer> {
    return this.#bodyOf(url, await this.exchange(url, { ...call, method: 'GET' }))
  }

  /** POSTs `body` as JSON, then like getJson. */
  async postJson(url: string, body: unknown, call: HttpCall = {}): Promise<unknown> {
    return jsonOf(url, await this.postBody(url, body, call))
  }

  /** POSTs `body` as JSON, then like getBody. */
  async postBody(url: string, body: unknown, call: HttpCall = {}): Promise<Buffer> {
    return this.#bodyOf(url, await this.exchange(url, posted(body, call)))
  }

  /**
   * A response that is read while it arrives; its status must be 200. Otherwise throws EHTTP with `status`
   * and, for a redirect, an absolute `location`. The caller must watch for silence, because only it knows how
   * often data should arrive.
   */
  async stream(url: string, body: unknown, call: HttpCall = {}): Promise<HttpStream> {
    const limit = new Deadline(call.deadlineMs ?? DEADLINE_MS, call.signal)
    try {
      const head = await this.#authorized(url, async authorization => {
        const value = await this.#send(url, posted(body, call), limit, authorization)
        if (value.statusCode !== 200) {
          value.body.on('error', () => {})
          // Read to its end, so that the connection can be used again; a long body is cut off.
          await value.body.dump({ limit: 16_384 }).catch(() => {})
        }
        return { status: value.statusCode, value }
      })
      if (head.statusCode !== 200) {
        limit.stop()
        throw this.#refusal(url, head.statusCode, flat(head.headers))
      }
      limit.disarm()
      return {
        headers: flat(head.headers),
        chunks: chunksOf(url, head.body, limit),
        close: () => {
          head.body.on('error', () => {})
          limit.stop()
          limit.end()
        },
      }
    } catch (er) {
      limit.end()
      throw er
    }
  }

  /** Closes every connection; exchanges under way fail. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#agents].map(agent => agent.destroy()))
  }

  /** Runs an exchange with our credentials. Repeats it once if they are refused and newer ones exist. */
  async #authorized<T>(
    url: string,
    run: (authorization: string) => Promise<{ status: number; value: T }>,
  ): Promise<T> {
    const { authorization: auth } = this.#options
    if (!auth) return (await run('')).value
    const login = (at: string, call: HttpCall): Promise<HttpResponse> =>
      this.#unauthorized(at, call)
    const header = await auth.header(url, login)
    const { status, value } = await run(header)
    if (status !== 401 || !auth.refused(header)) return value
    return (await run(await auth.header(url, login))).value
  }

  /** An exchange that is itself part of a login. */
  async #unauthorized(url: string, call: HttpCall): Promise<HttpResponse> {
    const limit = new Deadline(call.deadlineMs ?? DEADLINE_MS, call.signal)
    try {
      return await this.#follow(url, call, limit, '')
    } finally {
      limit.end()
    }
  }

  async #follow(
    url: string,
    call: HttpCall,
    limit: Deadline,
    authorization: string,
  ): Promise<HttpResponse> {
    let at = url
    for (let left = call.redirects ?? 0; ; left--) {
      const own = new URL(at).host === new URL(url).host
      const head = await this.#send(at, call, limit, own ? authorization : '')
      const headers = flat(head.headers)
      const body = await wholeBody(at, head, call.maxBytes ?? MAX_BYTES, limit)
      const moved = head.statusCode >= 300 && head.statusCode < 400
      const to = moved ? redirectTarget(at, headers) : ''
      if (to === '' || left <= 0) return { status: head.statusCode, headers, body }
      at = to
    }
  }

  async #send(
    url: string,
    call: HttpCall,
    limit: Deadline,
    authorization: string,
  ): Promise<Dispatcher.ResponseData> {
    try {
      const undici = await import('./undici.ts')
      if (this.#closed) throw httpFault(url, 'is no longer asked', 'closed')
      return await undici.request(url, {
        method: call.method ?? 'GET',
        headers: {
          'user-agent': 'spartan',
          ...this.#options.headers,
          ...(authorization === '' ? {} : { authorization }),
          ...call.headers,
        },
        ...(call.body === undefined ? {} : { body: call.body }),
        dispatcher: this.#dispatcher(undici),
        signal: limit.signal,
      })
    } catch (er) {
      throw connectionFault(url, er, limit, 'connect')
    }
  }

  /** The connections for the current certificates. Connections with older ones end after their exchanges. */
  #dispatcher(undici: { readonly Agent: typeof Agent }): Agent {
    const { tls: given, connectMs = 5_000 } = this.#options
    const tls = (typeof given === 'function' ? given() : given) ?? NO_TLS
    if (this.#agent?.tls === tls) return this.#agent.agent
    const old = this.#agent?.agent
    const { ca, cert, key, servername, insecure } = tls
    const agent = new undici.Agent({
      // our own deadlines cover the whole exchange
      keepAliveTimeout: IDLE_MS,
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: {
        timeout: connectMs,
        ...(ca === undefined ? {} : { ca }),
        ...(cert === undefined ? {} : { cert }),
        ...(key === undefined ? {} : { key }),
        ...(servername === undefined ? {} : { servername }),
        ...(insecure ? { rejectUnauthorized: false } : {}),
      },
    })
    this.#agent = { tls, agent }
    this.#agents.add(agent)
    if (old) void old.close().then(() => this.#agents.delete(old))
    return agent
  }

  #bodyOf(url: string, { status, headers, body }: HttpResponse): Buffer {
    if (status !== 200) throw this.#refusal(url, status, headers)
    return body
  }

  #refusal(url: string, status: number, headers: Readonly<Record<string, string>>): Error {
    const { authorization, credentials, headers: own } = this.#options
    const sent = authorization !== undefined || own?.authorization !== undefined
    const which = sent ? (credentials ?? 'of this request') : ''
    return statusFault(url, status, headers, which, Date.now())
  }
}

const NO_TLS: TlsOptions = {}

/** Whether our credentials were refused, or are not available now. */
export const isRefusal = (er: unknown): boolean => {
  const reason: HttpReason | undefined = (er as { reason?: HttpReason } | undefined)?.reason
  return httpStatus(er) === 401 || reason === 'login' || reason === 'credentials'
}

const posted = (body: unknown, call: HttpCall): HttpCall => ({
  ...call,
  method: 'POST',
  body: JSON.stringify(body),
  headers: { 'content-type': 'application/json', accept: 'application/json', ...call.headers },
})

const wholeBody = async (
  url: string,
  head: Dispatcher.ResponseData,
  maxBytes: number,
  limit: Deadline,
): Promise<Buffer> => {
  const parts: Buffer[] = []
  let bytes = 0
  try {
    for await (const part of head.body as AsyncIterable<Buffer>) {
      bytes += part.length
      if (bytes > maxBytes) break
      parts.push(part)
    }
  } catch (er) {
    throw connectionFault(url, er, limit, 'truncated')
  }
  if (bytes > maxBytes) throw httpFault(url, `sent more than ${maxBytes} bytes`, 'size')
  return Buffer.concat(parts)
}

const chunksOf = async function* (
  url: string,
  body: AsyncIterable<Buffer>,
  limit: Deadline,
): AsyncGenerator<Buffer> {
  try {
    yield* body
  } catch (er) {
    throw connectionFault(url, er, limit, 'truncated')
  } finally {
    limit.end()
  }
}

/** The JSON value of a body; fails with EHTTP. */
export const jsonOf = (url: string, body: Buffer): unknown => {
  try {
    return JSON.parse(body.toString('utf8')) as unknown
  } catch {
    // the parser would quote from the body, which may hold a token
    throw httpFault(url, 'answered with what is no JSON', 'json')
  }
}
