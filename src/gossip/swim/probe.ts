/**
 * Failure detection: one member after another is pinged; if it stays silent,
 * three others are asked to ping it and we try TCP; if that fails too it is
 * suspected. Also the other side of it: acks, pings for others, and the
 * single pings by which a claim is checked (swim.ts).
 */
import type { Endpoint } from '../wire/address.ts'
import {
  type Accusation,
  type IndirectPing,
  type Source,
  writeAccusation,
  writeAck,
  writeIndirectPing,
  writeNack,
  writePing,
} from '../wire/messages.ts'
import { ALIVE, SUSPECT, TYPE } from '../wire/types.ts'
import type { Env, Outbox } from './env.ts'
import type { Health } from './health.ts'
import type { Entry, Node } from './members.ts'
import type { Swim } from './swim.ts'
import type { Timer } from './timers.ts'
import { Turns } from './turns.ts'

/**
 * A probe begins every half second. memberlist's LAN default is a second;
 * twice as often costs 0.2 kB/s and halves the wait until anybody looks at a
 * member that just died, which in a ring of ten was over 3 s one time in 40.
 */
const PROBE_EVERY_MS = 500
/** memberlist's LAN defaults, milliseconds: how long a probe may take, and its first ping. */
export const PROBE_MS = 1000
const PROBE_TIMEOUT_MS = 500
/**
 * A ping nobody answered is sent again at these times, under its number;
 * memberlist sends it once. At a quarter of datagrams lost that was not
 * enough: in a ring of 1,000 seventy living members a second were suspected,
 * had to refute, thought themselves ill for it and probed four times more
 * slowly, so that what pushing missed was found after up to 7 s. Now it is
 * two a second, and 0.7 s. Where nothing is lost nothing is sent again.
 */
const REPEAT_MS = [150, 300, 500, 700] as const
/** Members asked to ping a silent one. */
const INDIRECT = 3
/** After this a relay says that it failed too: early enough to be heard within the prober's second. */
const NACK_MS = 400
/** A relay that waits the whole timeout, as serf does, is heard this much after it. */
const NACK_GRACE_MS = 150
/** Pings under way for others at most. */
const RELAYS_MOST = 256
/** A claim is checked this long. */
const VERIFY_MS = 1000

type Pending = {
  /** The member whose ack this awaits, and where it is. */
  readonly name: string
  readonly kind: 'probe' | 'relay' | 'verify'
  readonly acked: () => void
  /** Judged already; only nacks and a late ack still count. */
  late: boolean
  nacks: number
  timers: Timer[]
}

export class Prober {
  readonly #env: Env
  readonly #swim: Swim
  readonly #health: Health
  readonly #out: Outbox
  readonly #source: () => Source
  readonly #turns: Turns
  #pending = new Map<number, Pending>()
  #relays = 0
  #seq: number
  #stopped = false

  constructor(env: Env, swim: Swim, health: Health, out: Outbox, source: () => Source) {
    this.#env = env
    this.#swim = swim
    this.#health = health
    this.#out = out
    this.#source = source
    this.#turns = new Turns(env, swim.table)
    this.#seq = Math.floor(env.random() * 0x8000_0000)
  }

  /** Begins the rounds, at a random moment within the first interval. */
  start(): void {
    this.#env.timers.at(this.#env.now + this.#env.random() * PROBE_EVERY_MS, () => this.#probe())
  }

  /** Probes nobody any more; pings are still answered. */
  stop(): void {
    this.#stopped = true
  }

  #nextSeq(): number {
    this.#seq = (this.#seq + 1) >>> 0
    return this.#seq
  }

  #await(seq: number, name: string, kind: Pending['kind'], acked: () => void): Pending {
    const pending: Pending = { name, kind, acked, late: false, nacks: 0, timers: [] }
    this.#pending.set(seq, pending)
    if (kind === 'relay') this.#relays++
    return pending
  }

  #settle(seq: number, pending: Pending): void {
    if (this.#pending.delete(seq) && pending.kind === 'relay') this.#relays--
    for (const timer of pending.timers) this.#env.timers.cancel(timer)
  }

  /** Sends a ping, and sends it again while there is no answer and less than `ms` have passed. */
  #insist(pending: Pending, ms: number, send: () => void): void {
    send()
    for (const at of REPEAT_MS)
      if (at < ms) pending.timers.push(this.#env.timers.at(this.#env.now + at, send))
  }

  #probe(): void {
    if (this.#stopped) return
    const env = this.#env
    const entry = this.#turns.next()
    if (entry) this.#probeMember(entry, this.#health.stretched(PROBE_MS))
    env.timers.at(env.now + this.#health.stretched(PROBE_EVERY_MS), () => this.#probe())
  }

  #probeMember(entry: Entry, interval: number): void {
    const env = this.#env
    const { node } = entry
    const seq = this.#nextSeq()
    env.stats.probes++
    let nacksWanted = 0
    const pending = this.#await(seq, node.name, 'probe', () =>
      this.#health.change(pending.late ? 1 : -1),
    )
    const ping = writePing(seq, node.name, this.#source())
    // a suspect is told so with the ping, that it can refute at once
    const suspected =
      entry.state === SUSPECT
        ? { incarnation: entry.incarnation, node: node.name, from: env.name }
        : undefined
    const words = suspected ? [ping, writeAccusation(TYPE.suspect, suspected)] : [ping]
    this.#insist(pending, PROBE_MS, () => this.#out.send(node, node, words))
    const deadline = env.now + interval
    pending.timers.push(
      env.timers.at(env.now + PROBE_TIMEOUT_MS, () => {
        nacksWanted = this.#askOthers(seq, node)
        const left = deadline - env.now
        this.#out.pingByStream(node, writePing(seq, node.name, this.#source()), seq, left, ok => {
          if (!ok || pending.late || this.#pending.get(seq) !== pending) return
          env.stats.probesByTcp++
          this.acked(seq)
        })
      }),
      env.timers.at(deadline, () => {
        pending.late = true
        env.stats.probesFailed++
        // of the life we pinged: it may have begun another one elsewhere meanwhile
        this.#swim.suspect({ incarnation: entry.incarnation, node: node.name, from: env.name })
      }),
      env.timers.at(deadline + NACK_GRACE_MS, () => {
        this.#settle(seq, pending)
        // others who could not even tell us that they failed hint that the trouble is ours
        this.#health.change(nacksWanted > 0 ? Math.max(0, nacksWanted - pending.nacks) : 1)
      }),
    )
  }

  /** Asks others to ping a silent member; gives how many of them will say so if they fail too. */
  #askOthers(seq: number, node: Node): number {
    const others = this.#swim.table.some(
      INDIRECT,
      this.#env.random,
      one => one.state === ALIVE && one.node.name !== this.#env.name && one.node.name !== node.name,
    )
    let nacks = 0
    for (const other of others) {
      const nack = (other.node.versions[1] ?? 0) >= 4
      if (nack) nacks++
      const ask = {
        seq,
        target: node.address,
        port: node.port,
        node: node.name,
        nack,
        source: this.#source(),
      }
      this.#out.send(other.node, other.node, [writeIndirectPing(ask)])
    }
    return nacks
  }

  /** Pings somebody by name, with what we hold against it; says whether it answered. */
  verify(
    name: string,
    at: Endpoint,
    accusation: Accusation | undefined,
    done: (ok: boolean) => void,
  ): void {
    const env = this.#env
    const seq = this.#nextSeq()
    const words = [writePing(seq, name, this.#source())]
    if (accusation) words.push(writeAccusation(TYPE.suspect, accusation))
    const pending = this.#await(seq, name, 'verify', () => done(true))
    this.#insist(pending, VERIFY_MS, () => this.#out.send(at, undefined, words))
    pending.timers.push(
      env.timers.at(env.now + VERIFY_MS, () => {
        this.#settle(seq, pending)
        done(false)
      }),
    )
  }

  /** An ack came, over UDP or TCP; gives the name of who was pinged, '' if nobody waits for it. */
  acked(seq: number): string {
    const pending = this.#pending.get(seq)
    if (!pending) return ''
    this.#settle(seq, pending)
    pending.acked()
    return pending.kind === 'relay' ? '' : pending.name
  }

  /** Somebody we asked could not reach the member either. */
  nacked(seq: number): void {
    const pending = this.#pending.get(seq)
    if (pending?.kind === 'probe') pending.nacks++
  }

  /** A ping came. A ping for another name is not answered: the address has changed hands. */
  pinged(ping: IndirectPing, from: Endpoint): void {
    if (ping.node !== '' && ping.node !== this.#env.name) return
    const to = ping.source.address !== '' && ping.source.port > 0 ? ping.source : from
    const entry = ping.source.name === '' ? undefined : this.#swim.table.get(ping.source.name)
    const node =
      entry?.node.address === to.address && entry.node.port === to.port ? entry.node : undefined
    this.#out.send({ address: to.address, port: to.port }, node, [writeAck(ping.seq)])
    if (ping.source.name !== '') this.#swim.heardFrom(ping.source.name, to)
  }

  /** Somebody asks us to ping a member for it. */
  asked(ask: IndirectPing, from: Endpoint): void {
    if (ask.target === '' || ask.port === 0 || this.#relays >= RELAYS_MOST) return
    const env = this.#env
    const back = ask.source.address !== '' && ask.source.port > 0 ? ask.source : from
    const seq = this.#nextSeq()
    const pending = this.#await(seq, ask.node, 'relay', () =>
      this.#out.send(back, undefined, [writeAck(ask.seq)]),
    )
    pending.timers.push(
      env.timers.at(env.now + NACK_MS, () => {
        if (ask.nack) this.#out.send(back, undefined, [writeNack(ask.seq)])
      }),
      env.timers.at(env.now + PROBE_TIMEOUT_MS, () => this.#settle(seq, pending)),
    )
    const ping = [writePing(seq, ask.node, this.#source())]
    const target = { address: ask.target, port: ask.port }
    this.#insist(pending, NACK_MS, () => this.#out.send(target, undefined, ping))
  }
}
