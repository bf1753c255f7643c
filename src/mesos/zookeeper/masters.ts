/**
 * The masters in ZooKeeper: each has a node, and the one with the lowest number leads. The nodes are watched, so
 * that changes are noticed at once. While ZooKeeper is unreachable, the last list (or the configured one) stays.
 */
import type { Milliseconds } from '../../boundary/messages.ts'
import { Backoff } from '../../base/backoff.ts'
import { fail, messageOf } from '../../base/error.ts'
import type { Log } from '../../base/log.ts'
import type { TlsOptions } from '../../http/call.ts'
import type { MasterList } from '../master-list.ts'
import { hostPort } from '../../base/ip.ts'
import { plainIp } from '../mesos-dns-names/record.ts'
import { parseZkUrl, type ZkTarget } from './wire.ts'
import { ZkSession } from './session.ts'

export type ZkMastersOptions = {
  readonly url: string
  /** 'user:password' for the scheme digest, instead of the one in the URL; may throw. */
  readonly digest?: () => string
  /** Only for zks://; may throw. */
  readonly tls?: () => TlsOptions
  /** 'host:port' each; used before ZooKeeper has answered. */
  readonly fallback: readonly string[]
  /** If there is no leader for longer than this, an error is logged; 0 disables it. */
  readonly detectionMs: Milliseconds
  readonly log: Log
  readonly random: () => number
  readonly timeoutMs?: Milliseconds
  readonly minMs?: Milliseconds
  readonly maxMs?: Milliseconds
}

/** Session time-out: as short as ZooKeeper's usual tickTime allows without false alarms. */
const TIMEOUT_MS = 10_000
const MIN_MS = 500
const MAX_MS = 10_000
/** Limit of master nodes that are read; real clusters have at most five. */
const MAX_MASTERS = 64

/** Used since Mesos 0.24; 'info_…' beside it has the same content in another encoding. */
const MASTER_NODE = /^json\.info_(\d+)$/
export const isMasterNode = (name: string): boolean => MASTER_NODE.test(name)

/** 'address:port' in the content of a master's node; '' if it is unusable. */
export const masterOf = (data: Buffer): string => {
  let json: unknown
  try {
    json = JSON.parse(data.toString('utf8'))
  } catch {
    return ''
  }
  const { address } = (json ?? {}) as {
    address?: { ip?: unknown; hostname?: unknown; port?: unknown } | null
  }
  const { ip, hostname, port } = address ?? {}
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 1 || port > 65_535) return ''
  const plain = typeof ip === 'string' ? plainIp(ip) : ''
  if (plain !== '') return hostPort(plain, port)
  return typeof hostname === 'string' && /^[A-Za-z0-9_.-]{1,253}$/.test(hostname)
    ? `${hostname}:${port}`
    : ''
}

/** Watches until it is closed. */
export class ZkMasters implements MasterList {
  readonly #options: ZkMastersOptions
  readonly #target: ZkTarget
  readonly #backoff: Backoff
  readonly #known = new Map<string, string>()
  #list: readonly string[]
  /** Whether the list is ZooKeeper's current one. */
  #current = false
  #session: ZkSession | undefined
  #next = 0
  #reading = false
  #again = false
  #timer: NodeJS.Timeout | undefined
  #detection: NodeJS.Timeout | undefined
  #closed = false
  onChange: (leaderChanged: boolean) => void = () => {}

  /** Throws ECONFIG if the URL is invalid. */
  constructor(options: ZkMastersOptions) {
    const { url, fallback, random, minMs = MIN_MS, maxMs = MAX_MS } = options
    const target = parseZkUrl(url)
    if (!target)
      throw fail('zk must have the form zk://host:port,host:port/path', 'ECONFIG', { key: 'zk' })
    this.#options = options
    this.#target = target
    this.#list = fallback
    this.#backoff = new Backoff({ minMs, maxMs, random })
    // random, so that not all clients begin with the first server
    this.#next = Math.floor(random() * target.servers.length)
  }

  get list(): readonly string[] {
    return this.#list
  }

  get leader(): string {
    return this.#current ? (this.#list[0] ?? '') : ''
  }

  start(): void {
    this.#watchForLeader()
    void this.#connect()
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    clearTimeout(this.#detection)
    this.#session?.close()
  }

  async #connect(): Promise<void> {
    const { servers, secure } = this.#target
    const server = servers[this.#next++ % servers.length]
    if (this.#closed || !server) return
    const { digest, tls } = this.#options
    let credentials: string
    let certificates: TlsOptions | undefined
    try {
      credentials = digest ? digest() : this.#target.credentials
      certificates = secure ? (tls?.() ?? {}) : undefined
    } catch (er) {
      return this.#ended(undefined, messageOf(er))
    }
    const session = new ZkSession({
      ...server,
      credentials,
      ...(certificates ? { tls: certificates } : {}),
      timeoutMs: this.#options.timeoutMs ?? TIMEOUT_MS,
      onChange: () => void this.#read(session),
      onEnd: why => this.#ended(session, why),
    })
    this.#session = session
    try {
      await session.open()
    } catch {
      // onEnd has logged the reason
      return
    }
    this.#backoff.reset()
    this.#options.log.info('connected to ZooKeeper', server)
    // numbers start again in a new ensemble
    this.#known.clear()
    await this.#read(session)
  }

  #ended(session: ZkSession | undefined, why: string): void {
    if (this.#closed || session !== this.#session) return
    this.#session = undefined
    this.#current = false
    this.#reading = this.#again = false
    this.#watchForLeader()
    const afterMs = this.#backoff.next()
    this.#options.log.warn('no session with ZooKeeper', { err: why, afterMs })
    this.#timer = setTimeout(() => void this.#connect(), afterMs)
  }

  /** Reads the masters; changes during the read cause another read. */
  async #read(session: ZkSession): Promise<void> {
    if (session !== this.#session) return
    this.#again = true
    if (this.#reading) return
    this.#reading = true
    try {
      while (this.#again && session === this.#session) {
        this.#again = false
        await this.#readOnce(session)
      }
    } catch (er) {
      if (session === this.#session) {
        this.#options.log.warn('ZooKeeper does not tell the masters', { err: messageOf(er) })
        session.close()
        this.#ended(session, messageOf(er))
      }
    } finally {
      if (session === this.#session) this.#reading = false
    }
  }

  async #readOnce(session: ZkSession): Promise<void> {
    const { path } = this.#target
    const nodes = ((await session.children(path)) ?? [])
      .filter(isMasterNode)
      .sort((a, b) => sequence(a) - sequence(b))
      .slice(0, MAX_MASTERS)
    const masters: string[] = []
    for (const node of nodes) {
      // a node's content never changes: a master that returns creates a new node
      let master = this.#known.get(node)
      if (master === undefined) {
        const data = await session.data(path === '/' ? `/${node}` : `${path}/${node}`)
        master = data === undefined ? '' : masterOf(data)
        if (data !== undefined && master === '')
          this.#options.log.warn('a master in ZooKeeper cannot be used', { node })
        if (data !== undefined) this.#known.set(node, master)
      }
      if (master !== '') masters.push(master)
    }
    for (const node of this.#known.keys()) if (!nodes.includes(node)) this.#known.delete(node)
    this.#take([...new Set(masters)])
  }

  #take(masters: readonly string[]): void {
    // if all masters disappear, the known ones are kept
    if (masters.length === 0) {
      this.#current = false
      return this.#watchForLeader()
    }
    clearTimeout(this.#detection)
    this.#detection = undefined
    this.#current = true
    if (masters.join() === this.#list.join()) return
    const leaderChanged = masters[0] !== this.#list[0]
    this.#list = masters
    this.#options.log.info('the masters are', { leader: masters[0], masters })
    this.onChange(leaderChanged)
  }

  /** Mesos-DNS exits after this time; here the known records stay in use. */
  #watchForLeader(): void {
    const { detectionMs, log } = this.#options
    if (this.#detection || detectionMs === 0 || this.#closed) return
    this.#detection = setTimeout(() => {
      this.#detection = undefined
      log.error('ZooKeeper has named no leading master', { forMs: detectionMs, using: this.#list })
    }, detectionMs)
    this.#detection.unref()
  }
}

const sequence = (node: string): number => Number(MASTER_NODE.exec(node)?.[1] ?? Infinity)
