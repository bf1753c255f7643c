/**
 * The HTTP API of Mesos-DNS on its own port: the same paths and the same JSON layout, read-only. views.ts creates
 * the content. Beside them are the paths of every daemon of ours: metrics, health, status. Connections, header size
 * and time are limited, because anyone may connect.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Endpoint } from '../boundary/messages.ts'
import { fail, messageOf } from '../base/error.ts'
import type { Log } from '../base/log.ts'
import { RouteTable, type AdminResponse, type Route } from '../http/route.ts'

/** The content of the API, queried at each request. */
export type ApiFacts = {
  /** Changes whenever `enumerate` or `axfr` changes. */
  readonly version: () => number
  readonly about: () => unknown
  readonly config: () => unknown
  readonly hosts: (host: string) => unknown
  readonly services: (service: string) => unknown
  /** undefined if enumerationOn is false. */
  readonly enumerate: (() => unknown) | undefined
  readonly axfr: (() => unknown) | undefined
}

/** Limit of connections; a scheduler or a proxy keeps a few. */
const CONNECTIONS = 256
const HEADERS_MS = 5_000
const IDLE_MS = 30_000
/** Limit of a path: /v1/services/ and an escaped name fit. */
const MAX_PATH = 2_048

const JSON_TYPE = 'application/json'
const TEXT_TYPE = 'text/plain; charset=utf-8'

type Reply = {
  readonly status: number
  readonly type: string
  readonly body: Buffer
  readonly headers?: Readonly<Record<string, string>>
}

/** JSON in Mesos-DNS's layout: indented by one, and every line but the first by one more. */
export const laidOut = (value: unknown): string =>
  JSON.stringify(value, null, 1).replaceAll('\n', '\n ')

const json = (value: unknown): Reply => ({
  status: 200,
  type: JSON_TYPE,
  body: Buffer.from(laidOut(value)),
})

const text = (status: number, words: string): Reply => ({
  status,
  type: TEXT_TYPE,
  body: Buffer.from(words),
})

/** The reply of one of our own paths, which have no long bodies. */
const replyOf = ({ status = 200, json: of, text: words = '', headers }: AdminResponse): Reply => ({
  status,
  type: of === undefined ? TEXT_TYPE : JSON_TYPE,
  body: Buffer.from(of === undefined ? words : `${JSON.stringify(of)}\n`),
  ...(headers ? { headers } : {}),
})

const NOT_FOUND = text(404, '404: Page Not Found')
const NOT_ALLOWED = text(405, '405: Method Not Allowed')
const NOT_IMPLEMENTED = text(501, 'To be implemented...')

/** A decoded segment of a path; undefined if it is malformed. */
const unescaped = (segment: string): string | undefined => {
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}

/** The API on one address. */
export class ApiServer {
  readonly #facts: ApiFacts
  readonly #log: Log
  readonly #routes: RouteTable
  readonly #server: Server
  /** Cached per version, because a zone of 10,000 tasks takes 10 MB and a fifth of a second. */
  readonly #rendered = new Map<string, { readonly version: number; readonly reply: Reply }>()

  /** `routes` are only asked with GET. */
  constructor(facts: ApiFacts, log: Log, routes: readonly Route[] = []) {
    this.#facts = facts
    this.#routes = new RouteTable(routes)
    this.#log = log
    this.#server = createServer({
      headersTimeout: HEADERS_MS,
      requestTimeout: HEADERS_MS,
      keepAliveTimeout: HEADERS_MS,
      connectionsCheckingInterval: 1_000,
      maxHeaderSize: 8 * 1024,
    })
    this.#server.maxConnections = CONNECTIONS
    this.#server.timeout = IDLE_MS
    this.#server.on('request', (req, res) => void this.#serve(req, res))
    this.#server.on('error', er => this.#log.warn('the HTTP API met an error', { err: er.message }))
  }

  /** Listens, and returns the address with the actual port. Rejects with EBIND. */
  async listen({ address, port }: Endpoint): Promise<Endpoint> {
    await new Promise<void>((resolve, reject) => {
      const refuse = (er: Error): void =>
        reject(
          fail(`cannot listen for HTTP on ${address}:${port}: ${er.message}`, 'EBIND', {
            cause: er,
          }),
        )
      this.#server.once('error', refuse)
      this.#server.listen(port, address, () => {
        this.#server.off('error', refuse)
        resolve()
      })
    })
    const bound = this.#server.address()
    return { address, port: typeof bound === 'object' && bound !== null ? bound.port : port }
  }

  async close(): Promise<void> {
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()))
    this.#server.closeAllConnections()
    await closed
  }

  async #serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    // the body is ignored
    req.resume()
    let reply: Reply
    try {
      reply = await this.#reply(req, res)
    } catch (er) {
      this.#log.error('the HTTP API failed', { path: req.url?.slice(0, 200), err: messageOf(er) })
      reply = text(500, '500: Internal Error')
    }
    const { status, type, body, headers = {} } = reply
    res.writeHead(status, {
      'content-type': type,
      'content-length': body.length,
      'x-content-type-options': 'nosniff',
      ...headers,
    })
    res.end(req.method === 'HEAD' ? undefined : body)
  }

  async #reply(req: IncomingMessage, res: ServerResponse): Promise<Reply> {
    const [path = ''] = (req.url ?? '').split('?')
    const own = this.#routes.match(path)?.routes.get('GET')
    if (own) {
      if (req.method !== 'GET' && req.method !== 'HEAD') return NOT_ALLOWED
      const gone = new AbortController()
      res.once('close', () => gone.abort())
      const asked = { params: {}, query: new URLSearchParams(), body: undefined, headers: {} }
      return replyOf(await own.handle({ ...asked, gone: gone.signal }))
    }
    const make = path.length > MAX_PATH ? undefined : this.#match(path)
    if (make === undefined) return NOT_FOUND
    return req.method === 'GET' ? make() : NOT_ALLOWED
  }

  #match(path: string): (() => Reply) | undefined {
    const [, v1, what = '', raw, more, ...rest] = path.replace(/\/$/, '').split('/')
    if (v1 !== 'v1' || rest.length > 0) return undefined
    const name = raw === undefined ? undefined : unescaped(raw)
    const facts = this.#facts
    if (raw === undefined) {
      if (what === 'version') return () => json(facts.about())
      if (what === 'config') return () => json(facts.config())
      const whole = what === 'enumerate' || what === 'axfr' ? facts[what] : undefined
      return whole && (() => this.#whole(what, whole))
    }
    if (name === undefined || name === '') return undefined
    if (what === 'hosts' && more === 'ports') return () => NOT_IMPLEMENTED
    if (more !== undefined) return undefined
    if (what === 'hosts') return () => json(facts.hosts(name))
    if (what === 'services') return () => json(facts.services(name))
    return undefined
  }

  #whole(what: string, make: () => unknown): Reply {
    const version = this.#facts.version()
    const had = this.#rendered.get(what)
    if (had?.version === version) return had.reply
    const reply = json(make())
    this.#rendered.set(what, { version, reply })
    return reply
  }
}
