/**
 * The rules of SWIM: how alive, suspect and dead messages change the table, who must refute, and what is passed on.
 * Packets, probes (probe.ts) and push/pull (streams.ts) are elsewhere. Where it differs from memberlist, a comment names
 * the reason; other members cannot see the difference.
 *
 * This file is long, because every rule reads and changes the same table of members.
 */
import type { MemberEvent } from '../rider.ts'
import type { Endpoint } from '../wire/address.ts'
import {
  type Accusation,
  type Alive,
  type NodeState,
  writeAccusation,
  writeAlive,
} from '../wire/messages.ts'
import { ALIVE, DEAD, LEFT, type State, SUSPECT, TYPE } from '../wire/types.ts'
import { Claims } from './claims.ts'
import type { Env } from './env.ts'
import type { Health } from './health.ts'
import { type Entry, entryOf, isGone, type MemberTable, type Node, type Nodes } from './members.ts'
import type { Queue } from './queue.ts'
import { Suspicion } from './suspicion.ts'
import type { Timer } from './timers.ts'

/** How long a dead or left member is remembered (Serf's reconnect and tombstone timeouts). */
export const REMEMBER_MS = 24 * 3_600_000
/** How often the table is searched for members to forget. */
const REAP_MS = 30_000
/**
 * Limit of forgotten members whose incarnations are kept, so that old news from a slow peer cannot revive them
 * unnoticed (memberlist #312).
 */
const REAPED_MOST = 8192
/** For this time after a goodbye, older news about the member is ignored (memberlist then forgets it). */
const GOODBYE_MS = 30_000
/** Limit of incarnations; a member needs higher ones left to refute with. */
const INCARNATION_MOST = 0xffff_fff0

export type SwimHooks = {
  readonly onEvent: (type: MemberEvent['type'], entry: Entry, before: Entry | undefined) => void
  /** Pings `name` at an address and includes the accusation we hold against it; then reports whether it answered. */
  readonly verify: (
    name: string,
    at: Endpoint,
    accusation: Accusation | undefined,
    done: (ok: boolean) => void,
  ) => void
  /** Whether a member announced through Serf that it is leaving. */
  readonly isLeaving: (name: string) => boolean
  /** Called when another node uses the name of a member we know. */
  readonly onConflict: (known: Entry, other: Endpoint) => void
  /** Called when our own incarnation has grown. */
  readonly onIncarnation: (incarnation: number) => void
}

export type SwimOptions = {
  readonly self: Node
  readonly incarnation: number
  readonly membersMost: number
  readonly probeMs: number
}

/** Where a claim came from: gossip, or a peer's whole table. */
export type Via = 'news' | 'sync'

export class Swim {
  readonly table: MemberTable
  readonly #env: Env
  readonly #nodes: Nodes
  readonly #queue: Queue
  readonly #health: Health
  readonly #hooks: SwimHooks
  readonly #options: SwimOptions
  #suspicions = new Map<string, { case: Suspicion; timer: Timer }>()
  readonly #claims: Claims
  #reaped = new Map<string, number>()
  #leaving = false

  constructor(
    env: Env,
    table: MemberTable,
    nodes: Nodes,
    queue: Queue,
    health: Health,
    hooks: SwimHooks,
    options: SwimOptions,
  ) {
    this.#env = env
    this.table = table
    this.#nodes = nodes
    this.#queue = queue
    this.#health = health
    this.#hooks = hooks
    this.#options = options
    this.#claims = new Claims(env, {
      ping: hooks.verify,
      held: name => this.table.get(name),
      accept: (claim, held) => this.#accept(claim, held, true),
      onConflict: hooks.onConflict,
    })
    table.set(entryOf(options.self, options.incarnation, ALIVE, env.now))
  }

  /** Our own entry. */
  get self(): Entry {
    return this.table.get(this.#env.name)!
  }

  /** Begins to forget old members periodically. */
  start(): void {
    this.#env.timers.at(this.#env.now + REAP_MS, () => this.#reap())
  }

  /** After a stall of our event loop: suspects get the time during which we could not hear them. */
  shift(by: number): void {
    for (const suspect of this.#suspicions.values()) suspect.case.shift(by)
  }

  // claims about a member

  /** @param tell whether to pass it on if it is news to us */
  alive(a: Alive, via: Via, tell = true): void {
    if (
      a.node === '' ||
      a.address === '' ||
      a.port === 0 ||
      a.incarnation > INCARNATION_MOST ||
      !speaks(a.versions)
    )
      return
    if (a.node === this.#env.name) return this.#aliveAboutUs(a)
    const had = this.table.get(a.node)
    if (!had) {
      const forgotten = this.#reaped.get(a.node)
      if (forgotten !== undefined && (via === 'sync' || a.incarnation <= forgotten))
        this.#claims.check(a, undefined)
      else this.#accept(a, had, tell)
      return
    }
    const moved = had.node.address !== a.address || had.node.port !== a.port
    if (!isGone(had)) {
      // an older incarnation at another address is outdated; the same incarnation is another node with this name
      if (moved && a.incarnation === had.incarnation) this.#conflict(had, a)
      if (a.incarnation <= had.incarnation) return
      if (moved) this.#claims.checkMove(a, had)
      else this.#accept(a, had, tell)
      return
    }
    // A member still answers for a moment after its goodbye, so only a new incarnation counts then.
    if (
      had.state === LEFT &&
      a.incarnation <= had.incarnation &&
      this.#env.now - had.since < GOODBYE_MS
    )
      return
    // A member that we consider dead is said to be alive. Believing it could revive a node that is gone (memberlist
    // #312). Refusing it would keep a restarted serf dead, because its incarnations start at 1 again (#311). So we
    // ping it.
    if (via === 'sync' || a.incarnation <= had.incarnation || (moved && had.state === DEAD))
      this.#claims.check(a, had)
    else this.#accept(a, had, tell)
  }

  #conflict(known: Entry, other: Alive): void {
    this.#env.stats.conflicts++
    this.#hooks.onConflict(known, { address: other.address, port: other.port })
  }

  #aliveAboutUs(a: Alive): void {
    const { self } = this
    if (this.#leaving) return
    if (a.address !== self.node.address || a.port !== self.node.port) {
      return this.#claims.checkTwin(a, self)
    }
    if (a.incarnation < self.incarnation) return
    if (
      a.incarnation === self.incarnation &&
      equal(a.meta, self.node.meta) &&
      equal(a.versions, self.node.versions)
    )
      return
    this.#refute(a.incarnation)
  }

  #accept(a: Alive, had: Entry | undefined, tell: boolean): void {
    if (!had && this.table.size >= this.#options.membersMost && !this.#makeRoom()) {
      this.#env.stats.membersRefused++
      return
    }
    this.#clearSuspicion(a.node)
    this.#reaped.delete(a.node)
    const node = this.#nodes.of(a)
    const still = had?.state === ALIVE
    const entry = entryOf(node, a.incarnation, ALIVE, still ? had.since : this.#env.now)
    this.table.set(entry)
    if (tell) this.#queue.push(writeAlive({ ...a, node: node.name }), node.name)
    if (!had || isGone(had)) this.#hooks.onEvent('join', entry, had)
    else {
      if (had.state === SUSPECT) this.#hooks.onEvent('alive', entry, had)
      if (had.node !== node) this.#hooks.onEvent('update', entry, had)
    }
  }

  /**
   * In a full table, a new member replaces one that is gone (the longest gone of a few). Otherwise invented names
   * could keep new members out for a day.
   */
  #makeRoom(): boolean {
    const gone = this.table.some(8, this.#env.random, isGone)
    const [oldest] = gone.sort((a, b) => a.since - b.since)
    if (!oldest || oldest.node.name === this.#env.name) return false
    this.#remove(oldest)
    return true
  }

  suspect(s: Accusation): void {
    if (s.incarnation > INCARNATION_MOST) return
    if (s.node === this.#env.name) {
      if (!this.#leaving && s.incarnation >= this.self.incarnation) this.#refute(s.incarnation)
      return
    }
    const had = this.table.get(s.node)
    if (!had || s.incarnation < had.incarnation) return
    const suspect = this.#suspicions.get(s.node)
    if (suspect) {
      if (!suspect.case.confirm(s.from)) return
      this.#queue.push(writeAccusation(TYPE.suspect, s), s.node)
      this.#env.timers.cancel(suspect.timer)
      suspect.timer = this.#deadline(s.node, suspect.case)
      return
    }
    if (had.state !== ALIVE) return
    this.#queue.push(writeAccusation(TYPE.suspect, s), s.node)
    const entry = entryOf(had.node, s.incarnation, SUSPECT, this.#env.now)
    this.table.set(entry)
    const opened = new Suspicion(s.from, this.table.living, this.#options.probeMs, this.#env.now)
    this.#suspicions.set(s.node, { case: opened, timer: this.#deadline(s.node, opened) })
    this.#hooks.onEvent('suspect', entry, had)
  }

  #deadline(name: string, suspicion: Suspicion): Timer {
    return this.#env.timers.at(suspicion.until, () => {
      const entry = this.table.get(name)
      if (entry?.state !== SUSPECT) return
      this.#env.log.info('member failed', { member: name, confirmations: suspicion.confirmations })
      this.dead({ incarnation: entry.incarnation, node: name, from: this.#env.name })
    })
  }

  #clearSuspicion(name: string): void {
    const suspect = this.#suspicions.get(name)
    if (!suspect) return
    this.#env.timers.cancel(suspect.timer)
    this.#suspicions.delete(name)
  }

  dead(d: Accusation): void {
    if (d.incarnation > INCARNATION_MOST) return
    if (d.node === this.#env.name) {
      if (!this.#leaving && d.incarnation >= this.self.incarnation) this.#refute(d.incarnation)
      return
    }
    const had = this.table.get(d.node)
    if (!had || d.incarnation < had.incarnation) return
    const left = d.from === d.node || this.#hooks.isLeaving(d.node)
    if (isGone(had)) {
      if (had.state === DEAD && left) this.#gone(had, d, LEFT)
      return
    }
    this.#clearSuspicion(d.node)
    this.#gone(had, d, left ? LEFT : DEAD)
  }

  #gone(had: Entry, d: Accusation, state: State): void {
    this.#queue.push(writeAccusation(TYPE.dead, d), d.node)
    const entry = entryOf(had.node, d.incarnation, state, this.#env.now)
    this.table.set(entry)
    this.#hooks.onEvent(state === LEFT ? 'leave' : 'dead', entry, had)
  }

  /**
   * Merges one member of a peer's table. A member that the peer considers dead is only suspected, so that it can
   * refute.
   * @param tell whether to pass on what is news to us; memberlist always does, so that a joiner announces itself
   */
  merge(s: NodeState, tell: boolean): void {
    if (s.state === ALIVE) this.alive(s, 'sync', tell)
    else if (s.state === LEFT) this.dead({ incarnation: s.incarnation, node: s.node, from: s.node })
    else this.suspect({ incarnation: s.incarnation, node: s.node, from: this.#env.name })
  }

  /** Marks a failed member as left: Serf's force-leave. */
  forget(name: string): void {
    const had = this.table.get(name)
    if (had?.state !== DEAD) return
    const entry = entryOf(had.node, had.incarnation, LEFT, this.#env.now)
    this.table.set(entry)
    this.#hooks.onEvent('leave', entry, had)
  }

  /** Removes a member that is gone at once: force-leave with prune. */
  prune(name: string): void {
    const had = this.table.get(name)
    if (had && isGone(had)) this.#remove(had)
  }

  // claims about ourselves

  /** Announces a new incarnation, above our last one and the accused one. */
  #refute(accused: number): void {
    const { self } = this
    this.#env.stats.refutations++
    this.#health.change(1)
    this.#announce(self.node, Math.max(self.incarnation, accused) + 1)
  }

  #announce(node: Node, incarnation: number): void {
    const entry = entryOf(node, incarnation, ALIVE, this.self.since)
    this.table.set(entry)
    this.#queue.push(
      writeAlive({
        incarnation,
        node: node.name,
        address: node.address,
        port: node.port,
        meta: node.meta,
        versions: node.versions,
      }),
      node.name,
    )
    this.#hooks.onIncarnation(incarnation)
  }

  /** Announces our new tags or address. */
  update(said: { address: string; port: number; meta: Uint8Array; versions: Uint8Array }): void {
    const { self } = this
    this.#announce(this.#nodes.of({ ...said, node: self.node.name }), self.incarnation + 1)
  }

  /** Announces that we leave; `sent` is called when that was sent often enough. */
  leave(sent: () => void): void {
    const { self } = this
    this.#leaving = true
    this.table.set(entryOf(self.node, self.incarnation, LEFT, this.#env.now))
    const words = { incarnation: self.incarnation, node: self.node.name, from: self.node.name }
    this.#queue.push(writeAccusation(TYPE.dead, words), self.node.name, sent)
  }

  // members that may be alive after all

  /** A ping came from a member that we consider gone; it may not know that. */
  heardFrom(name: string, from: Endpoint): void {
    const had = this.table.get(name)
    if (had?.state !== DEAD || had.node.address !== from.address || had.node.port !== from.port)
      return
    const { node } = had
    this.#claims.check(
      {
        incarnation: had.incarnation,
        node: name,
        address: node.address,
        port: node.port,
        meta: node.meta,
        versions: node.versions,
      },
      had,
    )
  }

  // forgetting

  #reap(): void {
    const { now } = this.#env
    if (this.table.count(DEAD) + this.table.count(LEFT) > 0) {
      for (const entry of [...this.table]) {
        if (isGone(entry) && now - entry.since > REMEMBER_MS && entry.node.name !== this.#env.name)
          this.#remove(entry)
      }
    }
    this.#env.timers.at(now + REAP_MS, () => this.#reap())
  }

  #remove(entry: Entry): void {
    const { name } = entry.node
    this.table.remove(name)
    this.#nodes.forget(name)
    this.#claims.forget(name)
    if (this.#reaped.size >= REAPED_MOST)
      for (const oldest of this.#reaped.keys()) {
        this.#reaped.delete(oldest)
        break
      }
    this.#reaped.set(name, entry.incarnation)
    this.#hooks.onEvent('reap', entry, entry)
  }
}

const equal = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && Buffer.compare(a, b) === 0

/** Whether a member speaks protocol version 2. One that announces no versions is assumed to. */
const speaks = (versions: Uint8Array): boolean =>
  versions.length < 6 ||
  (versions[0]! >= 1 && versions[0]! <= 2 && versions[1]! >= 2 && versions[0]! <= versions[1]!)
