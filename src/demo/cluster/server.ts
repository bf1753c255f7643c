/**
 * The HTTP servers of the demo's masters and agents, on loopback. A leading master streams events, a following one
 * redirects to the leader, and a killed one breaks every connection.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Endpoint } from '../../boundary/messages.ts'
import { framed } from '../../mesos/api/recordio.ts'
import { fail, messageOf } from '../../base/error.ts'

type Json = Readonly<Record<string, unknown>>

/** Limit of a request body. */
const MAX_CALL = 64 * 1024
/** A reader that is this many bytes behind is disconnected, as Mesos does. */
const MAX_BEHIND = 16 * 1024 * 1024

/** A master's content, queried at each request. */
export type MasterView = {
  /** undefined while this master leads; otherwise the leader's URL, '' if there is none. */
  readonly elsewhere: () => string | undefined
  readonly state: () => Json
  readonly subscribed: () => Json
  readonly heartbeatMs: number
}

/** An agent's answer to a call; undefined for an unknown call. */
export type AgentView = { readonly answer: (type: unknown) => Json | undefined }

const reply = (res: ServerResponse, status: number, body: Json | string): void => {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  res.writeHead(status, {
    'content-type': typeof body === 'string' ? 'text/plain' : 'application/json',
    'content-length': Buffer.byteLength(text),
  })
  res.end(text)
}

/** The `type` of an operator API call; undefined if the body is not a call. */
const callOf = async (req: IncomingMessage): Promise<unknown> => {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of req as AsyncIterable<Buffer>) {
    length += part.length
    if (length > MAX_CALL) return undefined
    parts.push(part)
  }
  try {
    return (JSON.parse(Buffer.concat(parts).toString('utf8')) as { type?: unknown } | null)?.type
  } catch {
    return undefined
  }
}

/** A server that can be killed and restarted at the same address. */
class Place {
  readonly #handle: (req: IncomingMessage, res: ServerResponse) => Promise<void>
  #server: Server | undefined
  at: Endpoint

  constructor(at: Endpoint, handle: (req: IncomingMessage, res: ServerResponse) => Promise<void>) {
    this.at = at
    this.#handle = handle
  }

  get alive(): boolean {
    return this.#server !== undefined
  }

  async start(): Promise<void> {
    if (this.#server) return
    const server = createServer({ headersTimeout: 5_000, requestTimeout: 10_000 })
    server.maxConnections = 128
    server.on('request', (req, res) => {
      res.on('error', () => {})
      this.#handle(req, res).catch(() => res.destroy())
    })
    const { address, port } = this.at
    await new Promise<void>((resolve, reject) => {
      server.once('error', er =>
        reject(
          fail(`cannot listen on ${address}:${port}: ${messageOf(er)}`, 'EBIND', { cause: er }),
        ),
      )
      server.listen(port, address, resolve)
    })
    const bound = server.address()
    if (typeof bound === 'object' && bound !== null) this.at = { address, port: bound.port }
    this.#server = server
  }

  async kill(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (!server) return
    const closed = new Promise<void>(resolve => server.close(() => resolve()))
    server.closeAllConnections()
    await closed
  }
}

/** A master: `/state`, `/health` and the operator API. */
export class MasterServer {
  readonly #view: MasterView
  readonly #place: Place
  readonly #streams = new Map<ServerResponse, NodeJS.Timeout>()

  constructor(at: Endpoint, view: MasterView) {
    this.#view = view
    this.#place = new Place(at, (req, res) => this.#handle(req, res))
  }

  get at(): Endpoint {
    return this.#place.at
  }

  get alive(): boolean {
    return this.#place.alive
  }

  start(): Promise<void> {
    return this.#place.start()
  }

  /** Ends every connection at once. */
  async kill(): Promise<void> {
    this.hangUp()
    await this.#place.kill()
  }

  /** Ends the streams, because this master no longer leads. */
  hangUp(): void {
    for (const [res, timer] of this.#streams) {
      clearInterval(timer)
      res.destroy()
    }
    this.#streams.clear()
  }

  /** Sends an event to all subscribers. */
  send(event: Json): void {
    if (this.#streams.size === 0) return
    const record = framed(JSON.stringify(event))
    for (const res of this.#streams.keys()) {
      if (res.writableLength > MAX_BEHIND) res.destroy()
      else res.write(record)
    }
  }

  async #handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const [path = ''] = (req.url ?? '').replace(/^\/master\//, '/').split('?')
    if (path === '/health') return reply(res, 200, '')
    if (path === '/state' || path === '/state.json') return reply(res, 200, this.#view.state())
    if (path !== '/api/v1') return reply(res, 404, 'not found')
    if (req.method !== 'POST') return reply(res, 405, 'POST only')
    const type = await callOf(req)
    const elsewhere = this.#view.elsewhere()
    if (elsewhere === '') return reply(res, 503, 'no leader elected')
    if (elsewhere !== undefined) {
      res.setHeader('location', `//${elsewhere}/api/v1`)
      return reply(res, 307, '')
    }
    if (type !== 'SUBSCRIBE') return reply(res, type === undefined ? 400 : 501, 'unknown call')
    this.#subscribe(res)
  }

  #subscribe(res: ServerResponse): void {
    const { subscribed, heartbeatMs } = this.#view
    res.writeHead(200, { 'content-type': 'application/json' })
    res.write(framed(JSON.stringify(subscribed())))
    const beat = (): void => void res.write(framed(JSON.stringify({ type: 'HEARTBEAT' })))
    const timer = setInterval(beat, heartbeatMs)
    this.#streams.set(res, timer)
    res.on('close', () => {
      clearInterval(timer)
      this.#streams.delete(res)
    })
  }
}

/** An agent's operator API. */
export class AgentServer {
  readonly #place: Place

  constructor(at: Endpoint, { answer }: AgentView) {
    this.#place = new Place(at, async (req, res) => {
      if (req.url !== '/api/v1') return reply(res, 404, 'not found')
      if (req.method !== 'POST') return reply(res, 405, 'POST only')
      const type = await callOf(req)
      const json = answer(type)
      return json === undefined
        ? reply(res, type === undefined ? 400 : 501, 'unknown call')
        : reply(res, 200, json)
    })
  }

  get at(): Endpoint {
    return this.#place.at
  }

  start(): Promise<void> {
    return this.#place.start()
  }

  kill(): Promise<void> {
    return this.#place.kill()
  }
}
