/**
 * The HTTP server for operators: loopback TCP for reading, a Unix socket for reading and changes. It enforces limits,
 * host names and methods; the routes are passed in (http/route.ts). A daemon whose admin address is in use still
 * serves DNS.
 *
 * This file is long, because the checks of a request are one sequence, whose order matters.
 */
import { hostPort, ipFamily } from '../base/ip.ts'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import { isIPv4 } from 'node:net'
import type { Endpoint } from '../boundary/messages.ts'
import { fail, messageOf } from '../base/error.ts'
import type { Log } from '../base/log.ts'
import { RouteTable, type AdminResponse, type Route } from '../http/route.ts'
import type { AdminGuard } from './admin-guard.ts'
import { clearStaleSocket } from './unix-socket.ts'

/** Where to listen: an address, or the path of the Unix socket. */
export type AdminAddress = Endpoint | { readonly path: string }

export type AdminOptions = {
  readonly routes: readonly Route[]
  readonly log: Log
  /** Host names that a client may use in `Host`, besides loopback's and the listen address; e.g. our own. */
  readonly names?: readonly string[]
  /** Milliseconds that a handler may take; then the client gets 504. Default 10,000. */
  readonly handlerTimeout?: number
}

/** Limit of a request body. */
const BODY_LIMIT = 64 * 1024
/** Limit of connections per address; Prometheus, a browser and a few tools need about a dozen. */
const CONNECTIONS = 64
/** Limit of sockaddr_un without its final zero. libuv would silently cut a longer path. */
const PATH_LIMIT = 107
/** A client must have sent its headers, and its whole request, within these times. */
const HEADERS_MS = 5_000
const QUERY_MS = 10_000
/**
 * Interval of the checks of these times. Each wakes the process, although there is usually no connection; so a client
 * that is too slow may stay this much longer.
 */
const CHECK_MS = 30_000
/** A connection without traffic for this long is closed, even in the middle of a response. */
const IDLE_MS = 30_000

const LIMITS = {
  headersTimeout: HEADERS_MS,
  requestTimeout: QUERY_MS,
  keepAliveTimeout: HEADERS_MS,
  connectionsCheckingInterval: CHECK_MS,
  maxHeaderSize: 8 * 1024,
  handshakeTimeout: HEADERS_MS,
} as const

const HEADERS = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
} as const

/** Names and addresses of this host that no other host can use. */
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/

/** `Host` without its port, in lower case. */
const hostOf = (header: string): string => header.toLowerCase().replace(/:\d*$/, '')

/**
 * Whether to trust the `Host` header of a browser. A page that rebinds its own name to our address (DNS rebinding)
 * still sends that name in `Host`. Loopback, the address listened on and configured names cannot be rebound. Behind
 * a wildcard any literal address may be ours, and literals cannot be rebound either.
 */
const hostAllowed = (
  header: string | undefined,
  listen: Endpoint,
  names: readonly string[],
): boolean => {
  // Only HTTP/1.0 requests lack the header (Node refuses HTTP/1.1 without), and no browser sends those.
  if (header === undefined) return true
  const host = hostOf(header)
  const bare = host.replace(/^\[(.*)\]$/, '$1')
  if (LOOPBACK.test(host) || bare === listen.address.toLowerCase()) return true
  if (names.some(name => name.toLowerCase() === host)) return true
  return (listen.address === '0.0.0.0' || listen.address === '::') && ipFamily(bare) !== 0
}

/** An error response in JSON. */
const refusal = (
  status: number,
  error: string,
  headers: Record<string, string> = {},
): AdminResponse => ({
  status,
  json: { error },
  headers,
})

const TOO_LARGE = Symbol('too large')
const NOT_JSON = Symbol('not JSON')

/** The body parsed as JSON, undefined if it is empty. */
const bodyOf = async (req: IncomingMessage): Promise<unknown> => {
  const parts: Buffer[] = []
  let length = Number(req.headers['content-length'] ?? 0)
  if (length > BODY_LIMIT) return TOO_LARGE
  length = 0
  // Without this option, leaving the loop early would destroy the stream, and the error response could not be sent.
  for await (const part of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    length += part.length
    if (length > BODY_LIMIT) return TOO_LARGE
    parts.push(part)
  }
  if (length === 0) return undefined
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8')) as unknown
  } catch {
    return NOT_JSON
  }
}

/** Resolves when more may be written, or when the client is gone. */
const drained = (res: ServerResponse): Promise<void> =>
  new Promise(resolve => {
    const done = (): void => {
      res.off('drain', done).off('close', done)
      resolve()
    }
    res.on('drain', done).on('close', done)
  })

/** The TCP address that a request came to. */
type Reached = { readonly listen: Endpoint; readonly guard: AdminGuard | undefined }

/** New connections get the certificate that is in its file then. */
const withTls = (guard: AdminGuard): TlsServer => {
  let used = guard.pair
  const server = createTlsServer({ ...LIMITS, ...used })
  server.prependListener('connection', () => {
    const { pair } = guard
    if (pair && pair !== used) server.setSecureContext((used = pair))
  })
  return server
}

/** Serves routes on any number of addresses until it is closed. */
export class AdminServer {
  readonly #table: RouteTable
  readonly #log: Log
  readonly #names: readonly string[]
  readonly #handlerTimeout: number
  readonly #servers = new Set<Server>()

  constructor({ routes, log, names = [], handlerTimeout = 10_000 }: AdminOptions) {
    this.#table = new RouteTable(routes)
    this.#log = log
    this.#names = names
    this.#handlerTimeout = handlerTimeout
  }

  /**
   * Listens, and returns the address with the actual port. Rejects with EBIND and the errno name in `errno`; other
   * addresses stay open. `guard` protects a TCP address; the Unix socket is protected by its permissions.
   */
  async listen(where: AdminAddress, guard?: AdminGuard): Promise<AdminAddress> {
    const unix = 'path' in where
    const server = !unix && guard?.pair ? withTls(guard) : createServer(LIMITS)
    server.maxConnections = CONNECTIONS
    server.maxHeadersCount = 64
    server.timeout = IDLE_MS
    let listen: Endpoint = unix ? { address: '', port: 0 } : where
    server.on('request', (req, res) => {
      this.#serve(req, res, unix ? undefined : { listen, guard }).catch((er: unknown) => {
        this.#log.error('admin response failed', { err: er })
        res.destroy()
      })
    })
    try {
      if (unix && Buffer.byteLength(where.path) > PATH_LIMIT) {
        throw fail(`the path is over ${PATH_LIMIT} octets`, 'EBIND', { errno: 'ENAMETOOLONG' })
      }
      if (unix) await clearStaleSocket(where.path)
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        const done = (): void => {
          server.off('error', reject)
          resolve()
        }
        if (unix) listenOnPath(server, where.path, done)
        else server.listen(where.port, where.address, done)
      })
    } catch (cause) {
      server.close()
      const name = unix ? where.path : hostPort(where.address, where.port)
      const { errno, code } = cause as { errno?: unknown; code?: string }
      throw fail(`cannot listen for admin on ${name}: ${messageOf(cause)}`, 'EBIND', {
        cause,
        errno: typeof errno === 'string' ? errno : (code ?? ''),
      })
    }
    server.on('error', (err: unknown) => this.#log.warn('admin server error', { err }))
    this.#servers.add(server)
    if (unix) return where
    const bound = server.address()
    if (bound !== null && typeof bound === 'object')
      listen = { address: where.address, port: bound.port }
    return listen
  }

  /** Stops accepting and closes every connection. Idempotent. */
  async close(): Promise<void> {
    const servers = [...this.#servers]
    this.#servers.clear()
    await Promise.all(
      servers.map(server => {
        const closed = new Promise<void>(resolve => server.close(() => resolve()))
        server.closeAllConnections()
        return closed
      }),
    )
  }

  async #serve(req: IncomingMessage, res: ServerResponse, tcp: Reached | undefined): Promise<void> {
    const head = req.method === 'HEAD'
    const gone = new AbortController()
    res.once('close', () => gone.abort())
    const response = await this.#respond(req, tcp, gone.signal)
    const { status = 200, json, text, chunks, headers = {} } = response
    // Closes the connection if the body was not read completely.
    const close = req.complete ? {} : { connection: 'close' }
    req.resume()
    const type = json === undefined ? 'text/plain; charset=utf-8' : 'application/json'
    const own = { ...HEADERS, 'content-type': type, ...headers, ...close }
    if (chunks !== undefined && !head) {
      res.writeHead(status, own)
      for await (const chunk of chunks) {
        if (res.destroyed) return
        if (!res.write(chunk)) await drained(res)
      }
      res.end()
      return
    }
    const body = json === undefined ? (text ?? '') : `${JSON.stringify(json)}\n`
    const empty = status === 204 || status === 304
    const length =
      chunks !== undefined || empty ? {} : { 'content-length': Buffer.byteLength(body) }
    res.writeHead(status, { ...own, ...length })
    res.end(head || empty ? undefined : body)
  }

  async #respond(
    req: IncomingMessage,
    tcp: Reached | undefined,
    gone: AbortSignal,
  ): Promise<AdminResponse> {
    if (tcp && !hostAllowed(req.headers.host, tcp.listen, this.#names)) {
      return refusal(403, 'this server does not answer to that host name: see admin.hostNames')
    }
    if (tcp?.guard && !tcp.guard.admits(req.headers.authorization)) {
      return refusal(401, 'a valid token is missing', { 'www-authenticate': 'Bearer' })
    }
    const [path = '', search = ''] = (req.url ?? '').split(/\?(.*)/s)
    const found = this.#table.match(path)
    if (!found) return refusal(404, 'no such path')
    const method = req.method === 'HEAD' ? 'GET' : (req.method ?? '')
    const route = found.routes.get(method)
    if (!route) {
      const allow = [...found.routes.keys()].flatMap(m => (m === 'GET' ? ['GET', 'HEAD'] : [m]))
      return refusal(405, 'that method does not fit this path', { allow: allow.join(', ') })
    }
    if (tcp && (route.unixOnly || method !== 'GET')) {
      return refusal(403, 'only over the Unix socket')
    }
    const body = method === 'GET' ? undefined : await bodyOf(req)
    if (body === TOO_LARGE) return refusal(413, `a body may have ${BODY_LIMIT} octets`)
    if (body === NOT_JSON) return refusal(400, 'the body is not JSON')
    const { params } = found
    const query = new URLSearchParams(search)
    return this.#handle(route, { params, query, body, headers: req.headers, gone })
  }

  async #handle(route: Route, req: Parameters<Route['handle']>[0]): Promise<AdminResponse> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<AdminResponse>(resolve => {
      const ms = route.timeoutMs ?? this.#handlerTimeout
      timer = setTimeout(() => resolve(refusal(504, 'no answer in time')), ms)
    })
    try {
      return await Promise.race([Promise.resolve(route.handle(req)), late])
    } catch (err) {
      this.#log.error('admin handler failed', { method: route.method, path: route.path, err })
      return refusal(500, 'internal error')
    } finally {
      clearTimeout(timer)
    }
  }
}

/** Binds the path with mode 0660. libuv binds during the call, so the umask is restored right after it. */
const listenOnPath = (server: Server, path: string, done: () => void): void => {
  const old = process.umask(0o117)
  try {
    server.listen(path, done)
  } finally {
    process.umask(old)
  }
}

/** Whether only this host can reach the address; otherwise a warning is logged. */
export const isLoopback = (address: string): boolean =>
  isIPv4(address) ? address.startsWith('127.') : address === '::1'
