/**
 * The addresses that clients ask, each over UDP and TCP. Each is bound independently; a missing address is retried
 * while the others serve.
 */
import type { DataThreadStart, Up } from '../../boundary/messages.ts'
import { codeOf, messageOf } from '../../base/error.ts'
import { SLOT } from '../../boundary/counters.ts'
import type { Front } from './front.ts'
import type { PacketIO, UdpSocket } from '../io/packet-io.ts'
import type { After } from '../timers.ts'
import { Places } from './tcp/places.ts'
import { listenTcp, type TcpEvent, type TcpListener } from './tcp/tcp.ts'

/**
 * Limit of queries per receive call. Half of what a call can take, so that clients get the first answers while the
 * others are processed.
 */
const AT_ONCE = 32

/** Interval of retries for a missing address. */
const REBIND_MS = 1_000
/** Limit of the time for one frame (RFC 7766 §6.1 allows a message in pieces, but it must not hold a connection). */
const HALF_FRAME_MS = 4_000
const MAX_WRITE_BUFFER = 256 * 1024
const MAX_PER_CONNECTION = 256

type Listener = {
  readonly address: string
  /** As configured; 0 until a free port was found. */
  port: number
  /** Its index in the counters. */
  readonly server: number
  udp: UdpSocket | undefined
  tcp: TcpListener | undefined
  error: string
}

const TCP_SLOTS: Partial<Record<TcpEvent, number>> = {
  accepted: SLOT.tcpAccepted,
  rejected: SLOT.tcpRejected,
  clientRejected: SLOT.tcpClientRejected,
  refused: SLOT.tcpRefused,
  idleClosed: SLOT.tcpIdleClosed,
  slowClosed: SLOT.tcpSlowClosed,
}

export type ListenersMeans = {
  readonly io: PacketIO
  readonly front: Front
  readonly counters: Float64Array
  readonly post: (message: Up) => void
  readonly after: After
}

export class Listeners {
  readonly #start: DataThreadStart
  readonly #means: ListenersMeans
  readonly #all: readonly Listener[]
  /** Of all listeners together: a client is the same one at each. */
  readonly #places = new Places()
  #begun = false
  #closed = false

  constructor(start: DataThreadStart, means: ListenersMeans) {
    this.#start = start
    this.#means = means
    this.#all = start.listen.map(({ address, port }, server) => ({
      address,
      port,
      server,
      udp: undefined,
      tcp: undefined,
      error: '',
    }))
  }

  /** Binds what is available, and retries the rest. Later calls do nothing. */
  begin(): void {
    if (this.#begun) return
    this.#begun = true
    void this.#bind()
  }

  get status(): { address: string; port: number; udp: boolean; tcp: boolean; error: string }[] {
    return this.#all.map(({ address, port, udp, tcp, error }) => ({
      address,
      port,
      udp: udp !== undefined,
      tcp: tcp !== undefined,
      error,
    }))
  }

  get tcpConnections(): number {
    return this.#all.reduce((n, { tcp }) => n + (tcp?.connections ?? 0), 0)
  }

  /** Accepts no new connections and lets existing ones end. UDP continues until `close`. */
  async drain(deadlineMs: number): Promise<void> {
    this.#closed = true
    await Promise.all(this.#all.map(one => one.tcp?.drain(deadlineMs)))
  }

  /** Receives no more over UDP. Queries wait in sockets that systemd holds for the next process. */
  pause(): void {
    for (const one of this.#all) one.udp?.pause()
  }

  close(): void {
    this.#closed = true
    for (const one of this.#all) one.udp?.close()
  }

  async #bind(): Promise<void> {
    const missing = (): Listener[] => this.#all.filter(one => !one.udp || !one.tcp)
    for (const one of missing()) if (!this.#closed) await this.#bindOne(one)
    if (!this.#closed && missing().length > 0) this.#means.after(REBIND_MS, () => void this.#bind())
  }

  async #bindOne(one: Listener): Promise<void> {
    const { address } = one
    const before = one.error
    let transport: 'udp' | 'tcp' = 'tcp'
    try {
      // TCP is bound first: if any free port will do, UDP uses the one that TCP found.
      const any = one.port === 0
      if (!one.tcp) {
        one.tcp = await this.#listenTcp(one)
        one.port = one.tcp.port
        if (!any) this.#tell(one, 'tcp')
      }
      transport = 'udp'
      if (!one.udp) {
        one.udp = await this.#means.io.open({
          address,
          port: one.port,
          ...this.#inherited(one, 'udp'),
          join: true,
          atOnce: AT_ONCE,
          onBatch: batch => this.#means.front.batch(batch, one.server),
        })
        if (any) this.#tell(one, 'tcp')
        this.#tell(one, 'udp')
      }
      one.error = ''
    } catch (er) {
      const errno = er instanceof Error && 'errno' in er ? String(er.errno) : codeOf(er)
      one.error = `${transport}: ${errno || messageOf(er)}`
      if (before === one.error) return
      this.#means.post({
        type: 'bindFailed',
        address,
        port: one.port,
        transport,
        error: messageOf(er),
      })
    }
  }

  #listenTcp(one: Listener): Promise<TcpListener> {
    const { after, counters, front, io } = this.#means
    const { tcp } = this.#start
    return listenTcp({
      address: one.address,
      port: one.port,
      ...this.#inherited(one, 'tcp'),
      // Read at each use, because a reload may change it.
      get maxConnections() {
        return tcp.maxConnections
      },
      get idleMs() {
        return tcp.idle
      },
      places: this.#places,
      halfFrameMs: HALF_FRAME_MS,
      maxWriteBuffer: MAX_WRITE_BUFFER,
      maxInFlightPerConnection: MAX_PER_CONNECTION,
      mayConnect: client => front.allow.allows(client),
      now: () => performance.now(),
      after,
      onQuery: (wire, from, respond) => {
        front.single(wire, from, one.server, respond)
        io.wake()
      },
      onEvent: kind => {
        const slot = TCP_SLOTS[kind]
        if (slot !== undefined) counters[slot]! += 1
      },
    })
  }

  /** The descriptor from systemd, if there is one. */
  #inherited(one: Listener, transport: 'udp' | 'tcp'): { fd?: number } {
    const found = this.#start.inherited.find(
      i => i.transport === transport && i.address === one.address && i.port === one.port,
    )
    return found ? { fd: found.fd } : {}
  }

  #tell(one: Listener, transport: 'udp' | 'tcp'): void {
    const inherited = 'fd' in this.#inherited(one, transport)
    this.#means.post({
      type: 'listening',
      address: one.address,
      port: one.port,
      transport,
      inherited,
    })
  }
}
