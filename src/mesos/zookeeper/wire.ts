/**
 * The part of ZooKeeper's protocol that is needed to find the masters: framed requests and replies in Jute encoding
 * (big-endian numbers; strings and buffers with a four-octet length). Pure; session.ts owns the socket.
 */
import { fail } from '../../base/error.ts'

/** Request types and special xids, from ZooKeeper's zookeeper.h. */
const OP = { exists: 3, getData: 4, getChildren: 8, ping: 11, auth: 100, close: -11 } as const
export const XID = { watch: -1, ping: -2, auth: -4 } as const
/** The path does not exist. */
export const NO_NODE = -101

/** ZooKeeper's own limit for a message (jute.maxbuffer). */
export const MAX_FRAME = 1_048_575

const int = (value: number): Buffer => {
  const b = Buffer.alloc(4)
  b.writeInt32BE(value)
  return b
}
const long = (value: bigint): Buffer => {
  const b = Buffer.alloc(8)
  b.writeBigInt64BE(value)
  return b
}
const flag = (value: boolean): Buffer => Buffer.of(value ? 1 : 0)
const buffer = (value: Uint8Array): Buffer => Buffer.concat([int(value.length), value])
const string = (value: string): Buffer => buffer(Buffer.from(value))

const frame = (...parts: readonly Buffer[]): Buffer => buffer(Buffer.concat(parts))

/** Opens a new session. Sessions are never resumed. */
export const connectFrame = (timeoutMs: number): Buffer =>
  frame(int(0), long(0n), int(timeoutMs), long(0n), buffer(Buffer.alloc(16)), flag(false))

export const pingFrame = (): Buffer => frame(int(XID.ping), int(OP.ping))

/** 'user:password' for the scheme `digest`. */
export const authFrame = (credentials: string): Buffer =>
  frame(int(XID.auth), int(OP.auth), int(0), string('digest'), string(credentials))

export const childrenFrame = (xid: number, path: string): Buffer =>
  frame(int(xid), int(OP.getChildren), string(path), flag(true))

export const dataFrame = (xid: number, path: string): Buffer =>
  frame(int(xid), int(OP.getData), string(path), flag(false))

export const existsFrame = (xid: number, path: string): Buffer =>
  frame(int(xid), int(OP.exists), string(path), flag(true))

export const closeFrame = (xid: number): Buffer => frame(int(xid), int(OP.close))

/** Reads one message. Throws EDATA past its end, so that a false length costs nothing. */
export class Reader {
  readonly #b: Buffer
  #at = 0

  constructor(b: Buffer) {
    this.#b = b
  }

  int(): number {
    return this.#b.readInt32BE(this.#take(4))
  }

  long(): bigint {
    return this.#b.readBigInt64BE(this.#take(8))
  }

  /** A length of -1 is a missing buffer, and read as an empty one. */
  buffer(): Buffer {
    const length = this.int()
    const at = this.#take(Math.max(0, length))
    return this.#b.subarray(at, at + Math.max(0, length))
  }

  string(): string {
    return this.buffer().toString('utf8')
  }

  strings(): string[] {
    const count = this.int()
    // each element takes at least four octets
    if (count * 4 > this.#b.length)
      throw fail('a list of ZooKeeper is longer than its message', 'EDATA')
    return Array.from({ length: Math.max(0, count) }, () => this.string())
  }

  #take(length: number): number {
    const at = this.#at
    this.#at += length
    if (this.#at > this.#b.length) throw fail('a message of ZooKeeper ends early', 'EDATA')
    return at
  }
}

/** Splits a stream into messages. Throws EDATA for an invalid length. */
export class Frames {
  #rest: Buffer = Buffer.alloc(0)

  push(chunk: Buffer): Buffer[] {
    let b = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const messages: Buffer[] = []
    while (b.length >= 4) {
      const length = b.readInt32BE(0)
      if (length < 0 || length > MAX_FRAME)
        throw fail(`a message of ZooKeeper has ${length} octets`, 'EDATA')
      if (b.length < 4 + length) break
      messages.push(b.subarray(4, 4 + length))
      b = b.subarray(4 + length)
    }
    this.#rest = b
    return messages
  }
}

/** The parts of a zk:// URL. */
export type ZkTarget = {
  readonly servers: readonly { readonly host: string; readonly port: number }[]
  /** '/mesos' */
  readonly path: string
  /** 'user:password', '' for none. */
  readonly credentials: string
  /** Whether to use TLS. */
  readonly secure: boolean
}

const ZK_PORT = 2181

/** Parses 'zk://user:password@host:port,host/path', or zks:// for TLS; undefined if it is invalid. */
export const parseZkUrl = (url: string): ZkTarget | undefined => {
  const [, secure = '', credentials = '', list = '', path = ''] =
    /^zk(s?):\/\/(?:([^/]*)@)?([^/@]+)(\/.*)?$/.exec(url) ?? []
  const servers = list.split(',').map(server => {
    const [, host = '', port = ''] = /^(\[[^\]]+\]|[^:]+)(?::(\d{1,5}))?$/.exec(server) ?? []
    return { host: host.replace(/^\[|\]$/g, ''), port: port === '' ? ZK_PORT : Number(port) }
  })
  const usable = servers.every(({ host, port }) => host !== '' && port > 0 && port < 65_536)
  return list !== '' && usable
    ? { servers, path: path.replace(/\/+$/, '') || '/', credentials, secure: secure !== '' }
    : undefined
}
