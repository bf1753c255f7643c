/**
 * The HTTP client of spartan, built on undici. It talks to Mesos masters and agents, Mesos-DNS, lists of
 * masters, and DoH servers. Every exchange has a deadline and a size limit, because servers may be slow or
 * hostile. A failure is an EHTTP error with a sentence and a `reason` for metrics.
 */
import type { Agent, Dispatcher } from 'undici'
import { codeOf, fail, messageOf, type Coded } from '../base/error.ts'

/** Why an exchange failed: the label values of the metric that counts failures. */
export type HttpReason = 'connect' | 'timeout' | 'status' | 'size' | 'truncated' | 'json' | 'closed'

export type TlsOptions = {
  /** PEM of trusted certificate authorities. Default: those of Node. */
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly servername?: string
  /** True accepts any certificate. */
  readonly insecure?: boolean
}

export type HttpOptions = {
  readonly tls?: TlsOptions
  /** Sent with every request, for instance Authorization. Never logged. */
  readonly headers?: Readonly<Record<string, string>>
  /** Time to connect, TLS included. Default 5 s. */
  readonly connectMs?: number
}

export type HttpCall = {
  readonly method?: 'GET' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  /** From the start to the last byte (in a stream: to the end of the head). Default 30 s. */
  readonly deadlineMs?: number
  /** Limit of the body. Default 64 MiB: the state of a master with 25,000 tasks. */
  readonly maxBytes?: number
  /** Limit of redirects; only for GET. Default none. */
  readonly redirects?: number
  readonly signal?: AbortSignal
}

export type HttpResponse = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

export type HttpStream = {
  readonly headers: Readonly<Record<string, string>>
  /** Ends when the server ends the body; throws EHTTP when the connection breaks or `close` is called. */
  readonly chunks: AsyncIterable<Buffer>
  close(): void
}

export const DEADLINE_MS = 30_000
export const MAX_BYTES = 64 * 1024 * 1024

/** The URL without user and password, for messages. */
export const shownUrl = (url: string): string => {
  try {
    const parsed = new URL(url)
    parsed.username = ''
    parsed.password = ''
    return parsed.href
  } catch {
    return 'an invalid URL'
  }
}

/** The `reason` of an error from this file, '' of any other. */
export const httpReason = (er: unknown): HttpReason | '' =>
  er instanceof Error && 'reason' in er ? ((er as { reason?: HttpReason }).reason ?? '') : ''

const refused = (url: string, what: string, reason: HttpReason, more: object = {}): Coded =>
  fail(`${shownUrl(url)} ${what}`, 'EHTTP', { reason, ...more })

/** undici's headers with one value each; names in lower case. */
const flat = (headers: Dispatcher.ResponseData['headers']): Record<string, string> => {
  const out: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) out[name] = Array.isArray(value) ? (value[0] ?? '') : value
  }
  return out
}

/** Combines a deadline and the caller's signal, and remembers which of them fired. */
class Limit {
  readonly #controller = new AbortController()
  readonly #timer: NodeJS.Timeout
  readonly #outside: AbortSignal | undefined
  late = false

  constructor(ms: number, outside: AbortSignal | undefined) {
    this.#outside = outside
    this.#timer = setTimeout(() => {
      this.late = true
      this.#controller.abort()
    }, ms)
    if (outside?.aborted) this.stop()
    outside?.addEventListener('abort', this.stop, { once: true })
  }

  readonly stop = (): void => this.#controller.abort()

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Ends the deadline, after the head of a stream has arrived. */
  disarm(): void {
    clearTimeout(this.#timer)
  }

  end(): void {
    clearTimeout(this.#timer)
    this.#outside?.removeEventListener('abort', this.stop)
  }
}

/** HTTP with one set of TLS options. Owns its connections until `close`. */
export class Http {
  readonly #options: Agent.Options
  /** Created at the first exchange: undici takes 7 MB, and many nodes never need it. */
  #agent: Promise<Agent> | undefined
  #closed = false
  readonly #headers: Readonly<Record<string, string>>

  constructor(options: HttpOptions = {}) {
    const { ca, cert, key, servername, insecure } = options.tls ?? {}
    this.#headers = { 'user-agent': 'spartan', ...options.headers }
    this.#options = {
      // our own deadlines cover the whole exchange
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: {
        timeout: options.connectMs ?? 5_000,
        ...(ca === undefined ? {} : { ca }),
        ...(cert === undefined ? {} : { cert }),
        ...(key === undefined ? {} : { key }),
        ...(servername === undefined ? {} : { servername }),
        ...(insecure ? { rejectUnauthorized: false } : {}),
      },
    }
  }

  /** One exchange with any status. Throws EHTTP if no complete response arrives in time. */
  async exchange(url: string, call: HttpCall = {}): Promise<HttpResponse> {
    const limit = new Limit(call.deadlineMs ?? DEADLINE_MS, call.signal)
    try {
      return await this.#follow(url, call, limit)
    } finally {
      limit.end()
    }
  }

  /** The JSON value in the body of a 200. Throws EHTTP for any other status and for invalid JSON. */
  async getJson(url: string, call: HttpCall = {}): Promise<unknown> {
    return parsed(url, await this.exchange(url, { ...call, method: 'GET' }))
  }

  /** POSTs `body` as JSON, then like getJson. */
  async postJson(url: string, body: unknown, call: HttpCall = {}): Promise<unknown> {
    const response = await this.exchange(url, {
      ...call,
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', accept: 'application/json', ...call.headers },
    })
    return parsed(url, response)
  }

  /**
   * A response that is read while it arrives; its status must be 200. Otherwise throws EHTTP with `status`
   * and, for a redirect, an absolute `location`. The caller must watch for silence, because only it knows how
   * often data should arrive.
   */
  async stream(url: string, body: unknown, call: HttpCall = {}): Promise<HttpStream> {
    const limit = new Limit(call.deadlineMs ?? DEADLINE_MS, call.signal)
    try {
      const head = await this.#send(
        url,
        {
          ...call,
          method: 'POST',
          body: JSON.stringify(body),
          headers: {
            'content-type': 'application/json',
            accept: 'application/json',
            ...call.headers,
          },
        },
        limit,
      )
      if (head.statusCode !== 200) {
        head.body.on('error', () => {})
        limit.stop()
        throw statusError(url, head.statusCode, flat(head.headers))
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
    await (await this.#agent)?.destroy()
  }

  async #follow(url: string, call: HttpCall, limit: Limit): Promise<HttpResponse> {
    let at = url
    for (let left = call.redirects ?? 0; ; left--) {
      const head = await this.#send(at, call, limit)
      const headers = flat(head.headers)
      const body = await wholeBody(at, head, call.maxBytes ?? MAX_BYTES, limit)
      const to = head.statusCode >= 300 && head.statusCode < 400 ? target(at, headers) : ''
      if (to === '' || left <= 0) return { status: head.statusCode, headers, body }
      at = to
    }
  }

  async #send(url: string, call: HttpCall, limit: Limit): Promise<Dispatcher.ResponseData> {
    try {
      const undici = await import('undici')
      if (this.#closed) throw fail('closed', 'EHTTP')
      this.#agent ??= Promise.resolve(new undici.Agent(this.#options))
      return await undici.request(url, {
        method: call.method ?? 'GET',
        headers: { ...this.#headers, ...call.headers },
        ...(call.body === undefined ? {} : { body: call.body }),
        dispatcher: await this.#agent,
        signal: limit.signal,
      })
    } catch (er) {
      throw broken(url, er, limit, 'connect')
    }
  }
}

/**
 * The absolute URL that a redirect leads to; '' if it must not be followed. A request over TLS may carry
 * credentials, so it is never repeated without TLS. Mesos sends locations such as '//10.0.0.5:5050/…'.
 */
const target = (from: string, headers: Readonly<Record<string, string>>): string => {
  const { location } = headers
  if (location === undefined) return ''
  try {
    const to = new URL(location, from)
    const secure = to.protocol === 'https:'
    return secure || (to.protocol === 'http:' && !from.startsWith('https:')) ? to.href : ''
  } catch {
    return ''
  }
}

const statusError = (
  url: string,
  status: number,
  headers: Readonly<Record<string, string>>,
): Coded => refused(url, `answered ${status}`, 'status', { status, location: target(url, headers) })

const broken = (url: string, er: unknown, limit: Limit, reason: HttpReason): Coded => {
  if (limit.late) return refused(url, 'did not answer in time', 'timeout')
  if (limit.signal.aborted) return refused(url, 'is no longer asked', 'closed')
  const what = reason === 'connect' ? 'cannot be reached' : 'broke off its answer'
  // an AggregateError for two address families has a code but no message
  return fail(`${shownUrl(url)} ${what}: ${messageOf(er) || codeOf(er)}`, 'EHTTP', {
    reason,
    cause: er,
  })
}

const wholeBody = async (
  url: string,
  head: Dispatcher.ResponseData,
  maxBytes: number,
  limit: Limit,
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
    throw broken(url, er, limit, 'truncated')
  }
  if (bytes > maxBytes) throw refused(url, `sent more than ${maxBytes} bytes`, 'size')
  return Buffer.concat(parts)
}

const chunksOf = async function* (
  url: string,
  body: AsyncIterable<Buffer>,
  limit: Limit,
): AsyncGenerator<Buffer> {
  try {
    yield* body
  } catch (er) {
    throw broken(url, er, limit, 'truncated')
  } finally {
    limit.end()
  }
}

const parsed = (url: string, { status, headers, body }: HttpResponse): unknown => {
  if (status !== 200) throw statusError(url, status, headers)
  try {
    return JSON.parse(body.toString('utf8')) as unknown
  } catch (er) {
    throw fail(`${shownUrl(url)} answered with what is no JSON: ${messageOf(er)}`, 'EHTTP', {
      reason: 'json',
    })
  }
}
