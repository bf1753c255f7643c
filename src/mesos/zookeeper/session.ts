/**
 * One session with one ZooKeeper server: reads children and data of a path, and reports changes of the children. Any
 * error ends the session; the owner opens the next one (masters.ts).
 */
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Milliseconds } from '../../boundary/messages.ts'
import type { TlsOptions } from '../../http/call.ts'
import { fail } from '../../base/error.ts'
import { ipFamily } from '../../base/ip.ts'
import {
  authFrame,
  childrenFrame,
  closeFrame,
  connectFrame,
  dataFrame,
  existsFrame,
  Frames,
  NO_NODE,
  pingFrame,
  Reader,
  XID,
} from './wire.ts'

export type SessionOptions = {
  readonly host: string
  readonly port: number
  /** 'user:password', '' for none. */
  readonly credentials: string
  /** Uses TLS with these certificates. */
  readonly tls?: TlsOptions
  /** After this silence, either side ends the session. */
  readonly timeoutMs: Milliseconds
  /** Called when the children of a watched path have changed. */
  readonly onChange: () => void
  /** Called when the session is over; `why` is '' after `close`. */
  readonly onEnd: (why: string) => void
}

type Waiting = {
  readonly resolve: (reply: Reader | undefined) => void
  readonly reject: (er: Error) => void
}

const socketTo = ({ host, port, tls }: SessionOptions): Socket => {
  if (!tls) return connect({ host, port, noDelay: true })
  const { insecure = false, ...certificates } = tls
  const servername = ipFamily(host) === 0 ? { servername: host } : {}
  return connectTls({ host, port, ...servername, ...certificates, rejectUnauthorized: !insecure })
}

/** Can be opened once; ends by `close` or any error. */
export class ZkSession {
  readonly #options: SessionOptions
  readonly #frames = new Frames()
  readonly #waiting = new Map<number, Waiting>()
  readonly #socket: Socket
  #open: (() => void) | undefined
  #refuse: ((er: Error) => void) | undefined
  #xid = 0
  #ping: NodeJS.Timeout | undefined
  #silence: NodeJS.Timeout | undefined
  #ended = false

  constructor(options: SessionOptions) {
    this.#options = options
    this.#socket = socketTo(options)
  }

  /** Resolves when the session is open; rejects with EDATA or the system's error. */
  open(): Promise<void> {
    const { timeoutMs, host, port } = this.#options
    return new Promise((resolve, reject) => {
      this.#open = resolve
      this.#refuse = reject
      this.#hear()
      this.#socket.on(this.#options.tls ? 'secureConnect' : 'connect', () =>
        this.#socket.write(connectFrame(timeoutMs)),
      )
      this.#socket.on('data', chunk => this.#read(chunk))
      this.#socket.on('error', er => this.#end(`${host}:${port} ${er.message}`))
      this.#socket.on('close', () => this.#end(`${host}:${port} closed the connection`))
    })
  }

  /**
   * Names of the children, which are watched from now on. If the path does not exist, returns undefined, and the
   * path itself is watched.
   */
  async children(path: string): Promise<readonly string[] | undefined> {
    let reply = await this.#ask(xid => childrenFrame(xid, path))
    // if the path is created between the two requests, its children are not watched yet
    if (reply === undefined && (await this.#ask(xid => existsFrame(xid, path))) !== undefined) {
      reply = await this.#ask(xid => childrenFrame(xid, path))
    }
    return reply?.strings()
  }

  /** The content of a path; undefined if it does not exist. */
  async data(path: string): Promise<Buffer | undefined> {
    return (await this.#ask(xid => dataFrame(xid, path)))?.buffer()
  }

  close(): void {
    if (!this.#ended && this.#socket.writable) this.#socket.write(closeFrame(++this.#xid))
    this.#end('')
  }

  /** The reply after its header; undefined for NO_NODE. */
  #ask(make: (xid: number) => Buffer): Promise<Reader | undefined> {
    if (this.#ended) return Promise.reject(fail('the session with ZooKeeper is over', 'ESTATE'))
    const xid = ++this.#xid
    return new Promise((resolve, reject) => {
      this.#waiting.set(xid, { resolve, reject })
      this.#socket.write(make(xid))
    })
  }

  #read(chunk: Buffer): void {
    this.#hear()
    try {
      for (const message of this.#frames.push(chunk)) {
        if (this.#ended) return
        if (this.#open) this.#opened(new Reader(message))
        else this.#reply(new Reader(message))
      }
    } catch (er) {
      this.#end(er instanceof Error ? er.message : String(er))
    }
  }

  #opened(reader: Reader): void {
    reader.int()
    const timeoutMs = reader.int()
    if (timeoutMs <= 0) throw fail('ZooKeeper opened no session', 'EDATA')
    const { credentials } = this.#options
    if (credentials !== '') this.#socket.write(authFrame(credentials))
    this.#ping = setInterval(() => this.#socket.write(pingFrame()), Math.max(10, timeoutMs / 3))
    this.#open?.()
    this.#open = this.#refuse = undefined
  }

  #reply(reader: Reader): void {
    const xid = reader.int()
    reader.long()
    const error = reader.int()
    if (xid === XID.watch) return this.#options.onChange()
    if (xid === XID.ping) return
    if (xid === XID.auth) {
      if (error !== 0) throw fail('ZooKeeper refused the user and password', 'EDATA')
      return
    }
    const waiting = this.#waiting.get(xid)
    this.#waiting.delete(xid)
    if (error === 0 || error === NO_NODE) waiting?.resolve(error === 0 ? reader : undefined)
    else waiting?.reject(fail(`ZooKeeper answered with error ${error}`, 'EDATA'))
  }

  /** The server has sent something: its next message, at least a ping's answer, must come within the time-out. */
  #hear(): void {
    clearTimeout(this.#silence)
    if (this.#ended) return
    const { host, port, timeoutMs } = this.#options
    this.#silence = setTimeout(() => this.#end(`${host}:${port} went silent`), timeoutMs)
  }

  #end(why: string): void {
    if (this.#ended) return
    this.#ended = true
    clearTimeout(this.#silence)
    clearInterval(this.#ping)
    // data written by close() is still sent
    this.#socket.destroySoon()
    const er = fail(why || 'the session was closed', 'ESTATE')
    this.#refuse?.(er)
    for (const { reject } of this.#waiting.values()) reject(er)
    this.#waiting.clear()
    this.#options.onEnd(why)
  }
}
