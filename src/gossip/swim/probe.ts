/**
 * Failure detection. Each round pings a few members at once, because each wake-up of an idle process costs more than
 * a ping. If a member stays silent, three others are asked to ping it, and we try TCP; if all of this fails, it is
 * suspected. This file also answers pings, pings on behalf of others, and sends the single pings that verify claims
 * (claims.ts).
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

/** Interval between rounds of probes: memberlist's LAN default. */
const PROBE_EVERY_MS = 1000
/**
 * A round may begin this much early if a packet has just woken the process; the round after it does not. Thus many
 * rounds cost no wake-up, and there is still one a second.
 */
const EARLY_MS = 400
/** memberlist's LAN defaults in milliseconds: the time for a whole probe, and for its first ping. */
export const PROBE_MS = 1000
const PROBE_TIMEOUT_MS = 500
/**
 * When an unanswered ping is repeated, with the same number. memberlist sends it once, which is not enough on a bad
 * network: with a quarter of the datagrams lost, living members are suspected all the time, consider themselves
 * unhealthy, and probe more slowly. Without loss, nothing is repeated.
 */
const REPEAT_MS = [150, 300, 500, 700] as const
/** How many members are asked to ping a silent one. */
const INDIRECT = 3
/** After this time a relay reports that its ping failed, early enough to arrive within the prober's second. */
const NACK_MS = 400
/** A relay that waits for the whole timeout, as serf does, may still answer this much later. */
const NACK_GRACE_MS = 150
/** Limit of pings under way for others. */
const RELAYS_MOST = 256
/** How long a claim is checked. */
const VERIFY_MS = 1000

type Pending = {
  /** The member that must answer, and its address. */
  readonly name: string
  readonly kind: 'probe' | 'relay' | 'verify'
  readonly acked: () => void
  /** The probe has been judged; only nacks and a late ack still count. */
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
  #round: Timer | undefined

  constructor(env: Env, swim: Swim, health: Health, out: Outbox, source: () => Source) {
    this.#env = env
    this.#swim = swim
    this.#health = health
    this.#out = out
    this.#source = source
    this.#turns = new Turns(env, swim.table)
    this.#seq = Math.floor(env.random() * 0x8000_0000)
  }

  /** Begins the probes at a random moment within the first interval. */
  start(): void {
    this.#next(this.#env.now + this.#env.random() * PROBE_EVERY_MS)
  }

  /** Begins the next round if it is due soon. */
  early(): void {
    const { now, timers } = this.#env
    if (!this.#round?.run || this.#round.at - now > EARLY_MS) return
    timers.cancel(this.#round)
    this.#probe()
  }

  /** Stops probing; pings are still answered. */
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

  /** Sends a ping, and repeats it until it is answered or `ms` have passed. */
  #insist(pending: Pending, ms: number, send: () => void): void {
    send()
    for (const at of REPEAT_MS)
      if (at < ms) pending.timers.push(this.#env.timers.at(this.#env.now + at, send))
  }

  #next(at: number): void {
    this.#round = this.#env.timers.at(at, () => this.#probe())
  }

  #probe(): void {
    if (this.#stopped) return
    const env = this.#env
    for (const entry of this.#turns.next())
      this.#probeMember(entry, this.#health.stretched(PROBE_MS))
    const due = Math.max(env.now, this.#round?.at ?? 0)
    this.#next(due + this.#health.stretched(PROBE_EVERY_MS))
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
    // the ping tells a suspect about the suspicion, so that it can refute at once
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
        // only the incarnation that was pinged is suspected; it may have restarted elsewhere meanwhile
        this.#swim.suspect({ incarnation: entry.incarnation, node: node.name, from: env.name })
      }),
      env.timers.at(deadline + NACK_GRACE_MS, () => {
        this.#settle(seq, pending)
        // if relays did not even report a failure, the problem is probably our own network
        this.#health.change(nacksWanted > 0 ? Math.max(0, nacksWanted - pending.nacks) : 1)
      }),
    )
  }

  /** Asks others to ping a silent member; returns how many of them will report a failure. */
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

  /** Pings a node by name and includes the accusation we hold against it; reports whether it answered. */
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

  /** An ack arrived over UDP or TCP. Returns the name of the pinged member; '' if no probe waits for it. */
  acked(seq: number): string {
    const pending = this.#pending.get(seq)
    if (!pending) return ''
    this.#settle(seq, pending)
    pending.acked()
    return pending.kind === 'relay' ? '' : pending.name
  }

  /** A relay reports that it could not reach the member either. */
  nacked(seq: number): void {
    const pending = this.#pending.get(seq)
    if (pending?.kind === 'probe') pending.nacks++
  }

  /** A ping arrived. A ping for another name is not answered: that node no longer has this address. */
  pinged(ping: IndirectPing, from: Endpoint): void {
    if (ping.node !== '' && ping.node !== this.#env.name) return
    if (this.#isOwn(ping)) return
    const to = ping.source.address !== '' && ping.source.port > 0 ? ping.source : from
    const entry = ping.source.name === '' ? undefined : this.#swim.table.get(ping.source.name)
    const node =
      entry?.node.address === to.address && entry.node.port === to.port ? entry.node : undefined
    this.#out.send({ address: to.address, port: to.port }, node, [writeAck(ping.seq)])
    if (ping.source.name !== '') this.#swim.heardFrom(ping.source.name, to)
  }

  /** Whether it is a ping of ours to another address of this host, where nobody else answers by our name. */
  #isOwn({ seq, source }: IndirectPing): boolean {
    return source.name === this.#env.name && this.#pending.get(seq)?.kind === 'verify'
  }

  /** A member asks us to ping another one. */
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
