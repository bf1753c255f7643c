/**
 * One member of the ring on a real network. It binds the sockets, keeps the timer, does what the core asks for, and
 * stores the incarnation on disk. The protocol itself is in core.ts.
 *
 * This file is long, because everything that the core must not touch is here: sockets, timers, clock and disk.
 */
import { fail } from '../base/error.ts'
import type { Log } from '../base/log.ts'
import { type Effect, RingCore, type RingEvent } from './core.ts'
import { KeptNumber } from './kept.ts'
import type { Keyring } from './keyring.ts'
import type { Body, BodyStats, Endpoint } from './net/body.ts'
import type { Member, Rider } from './rider.ts'
import type { KeyOperation, KeyResult } from './serf/keys.ts'
import { type Tags, writeTags } from './serf/tags.ts'
import { CAPABILITY } from './swim/members.ts'
import type { RingStats } from './swim/env.ts'

export type RingOptions = {
  /** This node's name, unique in the ring, at most 128 octets. */
  readonly name: string
  readonly bind: Endpoint
  /** The address at which others reach us, if it differs from the bound one. */
  readonly advertise?: Endpoint
  /** The address at which others reach us when we are bound to the wildcard address; '' while there is none. */
  readonly ownAddress?: () => string
  /** Role, version and other data that members see. The capability is added when there is a rider. */
  readonly tags: Tags
  readonly seeds: readonly Endpoint[]
  /** Undefined only together with `insecure`. */
  readonly keyring: Keyring | undefined
  readonly insecure: boolean
  readonly label?: string
  readonly rider?: Rider | undefined
  readonly body: Body
  /** Milliseconds, monotonic. */
  readonly now: () => number
  readonly random: () => number
  /** Milliseconds since 1970. */
  readonly wallClock: () => number
  readonly log: Log
  /** Stores the incarnation, so that it also grows when the wall clock is set back. */
  readonly stateFile?: string
}

/** Numbers for status and metrics. */
export type RingStatus = {
  readonly name: string
  readonly at: Endpoint
  readonly encrypted: boolean
  /** Whether any other member was ever found. */
  readonly joined: boolean
  readonly members: {
    readonly alive: number
    readonly suspect: number
    readonly dead: number
    readonly left: number
  }
  /** 0 is healthy, 7 is the worst. */
  readonly health: number
  readonly queued: number
  readonly streams: number
  readonly incarnation: number
  readonly clocks: { readonly member: number; readonly event: number; readonly query: number }
  readonly counters: Readonly<RingStats>
  readonly body: Readonly<BodyStats>
}

export interface Ring {
  /**
   * Binds and begins to look for other members. Rejects with EBIND, or with ESTATE while this host has no address;
   * may be called again.
   */
  start(): Promise<Endpoint>
  /** Says goodbye to the ring, which takes at most about 3 s. Call `close` afterwards. */
  leave(): Promise<void>
  /** Stops without a goodbye. */
  close(): Promise<void>
  members(): Member[]
  /** Joins through further addresses; resolves to how many answered. */
  join(addresses: readonly Endpoint[]): Promise<number>
  /** Marks a failed member as left, in the whole ring; with `prune` it is forgotten. */
  forceLeave(name: string, prune?: boolean): void
  readonly keys: {
    list(): Promise<KeyResult>
    install(key: string): Promise<KeyResult>
    use(key: string): Promise<KeyResult>
    remove(key: string): Promise<KeyResult>
  }
  /** False if it takes more than 512 octets encoded. */
  userEvent(name: string, payload: Uint8Array, coalesce?: boolean): boolean
  /** False if the tags take more than 512 octets. */
  setTags(tags: Tags): boolean
  stats(): RingStatus
  /** Asks the rider at once for what to send, because the rider has something new. */
  nudge(): void
  /** Calls the listener for events of the ring; the returned function unsubscribes it. */
  onEvent(listener: (event: RingEvent) => void): () => void
}

/** Limit of a node's name in octets: Serf's limit. Packets of records leave room for it. */
const NAME_MOST = 128
/** The timer never waits longer than this. An extra call of the core is cheap. */
const LONGEST_TIMER_MS = 1_000
/** A timer of Node may fire this much early. */
const EARLY_MS = 2
/** A stored incarnation from here on is wrong, and would leave too few for refutations. */
const INCARNATION_LIMIT = 0xffff_0000

/** Creates a member of the ring; it does nothing before `start`. Throws ECONFIG if the options are invalid. */
export const createRing = (options: RingOptions): Ring => new OneRing(options)

/**
 * The address at which others reach a node with this configured one; '' while it is not known. `ownAddress` replaces
 * an address that stands for all addresses of the host.
 */
export const advertisedAddress = (
  { address }: Endpoint,
  ownAddress: (() => string) | undefined,
): string => {
  if (address !== '0.0.0.0' && address !== '::') return address
  const own = ownAddress?.() ?? ''
  // While a host boots, its IPv6 address may be there first. A socket bound to 0.0.0.0 does not receive for it.
  return address === '0.0.0.0' && own.includes(':') ? '' : own
}

class OneRing implements Ring {
  readonly #options: RingOptions
  readonly #kept: KeptNumber
  readonly #listeners = new Set<(event: RingEvent) => void>()
  #core: RingCore | undefined
  #at: Endpoint
  #timer: NodeJS.Timeout | undefined
  #immediate: NodeJS.Immediate | undefined
  #timerAt = Infinity
  #incarnation = 0
  #unsaved: NodeJS.Timeout | undefined
  #settling = false
  #closed = false

  constructor(options: RingOptions) {
    if (!options.keyring && !options.insecure)
      throw fail('gossip needs a keyring, or gossip.insecure', 'ECONFIG')
    const octets = Buffer.byteLength(options.name)
    if (octets === 0 || octets > NAME_MOST)
      throw fail(`a node's name has 1 to ${NAME_MOST} octets`, 'ECONFIG')
    if (!writeTags(tagsOf(options)))
      throw fail('the gossip tags take more than 512 octets', 'ECONFIG')
    this.#options = options
    this.#kept = new KeptNumber(options.stateFile ?? '', 'incarnation', options.log)
    this.#at = options.advertise ?? options.bind
  }

  async start(): Promise<Endpoint> {
    const options = this.#options
    const address = this.#reachedAt()
    const bound = await options.body.open(options.bind, {
      packet: (bytes, from) => this.#input(core => core.packet(bytes, from, options.now())),
      accepted: (id, from) => this.#input(core => core.streamAccepted(id, from, options.now())),
      data: (id, bytes) => this.#input(core => core.streamData(id, bytes, options.now())),
      ended: id => this.#input(core => core.streamEnded(id, options.now())),
      failed: id => this.#input(core => core.streamFailed(id, options.now())),
    })
    this.#at = { address, port: options.advertise?.port ?? bound.port }
    const kept = this.#kept.read(INCARNATION_LIMIT)
    this.#incarnation = Math.max(Math.floor(options.wallClock() / 1000), kept + 1)
    this.#core = new RingCore({
      name: options.name,
      address: this.#at.address,
      port: this.#at.port,
      tags: tagsOf(options),
      keyring: options.keyring,
      label: options.label ?? '',
      rider: options.rider,
      random: options.random,
      incarnation: this.#incarnation,
      now: options.now(),
      log: options.log,
      seeds: options.seeds,
      onEvent: event => this.#tell(event),
      onIncarnation: incarnation => this.#keep(incarnation),
    })
    this.#save()
    this.#input(core => core.start(options.now()))
    return bound
  }

  /**
   * The address at which others reach us. Throws ECONFIG if none is configured, and ESTATE while this host has none.
   */
  #reachedAt(): string {
    const { advertise, bind, ownAddress } = this.#options
    const at = advertisedAddress(advertise ?? bind, ownAddress)
    if (at !== '') return at
    if (!ownAddress) throw fail('gossip bound to every address needs one to advertise', 'ECONFIG')
    throw fail('this host has no address yet that others could reach it at', 'ESTATE')
  }

  // driver

  #input(act: (core: RingCore) => void): void {
    if (!this.#core || this.#closed) return
    act(this.#core)
    this.#settle()
  }

  /** Does what the core asks for, then sets the timer. */
  #settle(): void {
    const core = this.#core
    // without this check, a network that calls back at once would enter this function again
    if (!core || this.#settling) return
    this.#settling = true
    for (let effects = core.take(); effects.length > 0; effects = core.take()) {
      for (const effect of effects) this.#perform(effect)
    }
    this.#settling = false
    this.#arm(core.nextMs())
  }

  #perform(effect: Effect): void {
    const { body } = this.#options
    switch (effect.do) {
      case 'packet':
        return body.send(effect.to, effect.bytes)
      case 'open':
        return body.connect(effect.id, effect.to, effect.bytes)
      case 'end':
        return body.end(effect.id, effect.bytes)
      case 'close':
        return body.drop(effect.id)
    }
  }

  #arm(at: number): void {
    if (this.#closed) return
    const { now } = this.#options
    const wait = at - now()
    if (wait <= 0) {
      // receive packets between two slices of work
      this.#immediate ??= setImmediate(() => {
        this.#immediate = undefined
        this.#input(core => core.tick(now()))
      })
      return
    }
    // A timer that fires too early is kept and sets itself again: a cancelled one would wake Node's event loop, too, and
    // most are early, because probes are answered long before their deadlines.
    if (this.#timer && this.#timerAt <= at) return
    clearTimeout(this.#timer)
    this.#timerAt = at
    this.#timer = setTimeout(() => this.#fired(), Math.min(Math.ceil(wait), LONGEST_TIMER_MS))
  }

  #fired(): void {
    this.#timer = undefined
    const now = this.#options.now()
    const at = this.#core?.nextMs() ?? Infinity
    if (at - now > EARLY_MS) this.#arm(at)
    else this.#input(core => core.tick(Math.max(now, at)))
  }

  #tell(event: RingEvent): void {
    for (const listener of this.#listeners) listener(event)
  }

  // incarnation on disk

  #keep(incarnation: number): void {
    this.#incarnation = incarnation
    this.#unsaved ??= setTimeout(() => this.#save(), 1_000).unref()
  }

  #save(): void {
    clearTimeout(this.#unsaved)
    this.#unsaved = undefined
    this.#kept.write(this.#incarnation)
  }

  // public operations

  async leave(): Promise<void> {
    const core = this.#core
    if (core && !this.#closed) {
      await new Promise<void>(resolve => {
        core.leave(this.#options.now(), resolve)
        this.#settle()
      })
    }
    await this.close()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#core?.close()
    if (this.#core) this.#settle()
    this.#closed = true
    clearTimeout(this.#timer)
    clearImmediate(this.#immediate)
    if (this.#unsaved) this.#save()
    await this.#options.body.close()
  }

  members(): Member[] {
    return this.#core ? [...this.#core.members()] : []
  }

  join(addresses: readonly Endpoint[]): Promise<number> {
    return new Promise(resolve => {
      if (!this.#core || this.#closed) return resolve(0)
      this.#input(core => core.join(addresses, this.#options.now(), resolve))
    })
  }

  forceLeave(name: string, prune = false): void {
    this.#input(core => core.forceLeave(name, prune, this.#options.now()))
  }

  readonly keys = {
    list: (): Promise<KeyResult> => this.#keys('list', ''),
    install: (key: string): Promise<KeyResult> => this.#keys('install', key),
    use: (key: string): Promise<KeyResult> => this.#keys('use', key),
    remove: (key: string): Promise<KeyResult> => this.#keys('remove', key),
  }

  #keys(operation: KeyOperation, key: string): Promise<KeyResult> {
    return new Promise((resolve, reject) => {
      if (this.#command(core => core.keys(operation, key, this.#options.now(), resolve))) return
      reject(fail('the key must be 16, 24 or 32 octets in base64, and the ring running', 'EGOSSIP'))
    })
  }

  /** Passes a command to the core, then does what it asks for; false if the ring is not running. */
  #command(run: (core: RingCore) => boolean): boolean {
    if (!this.#core || this.#closed) return false
    const done = run(this.#core)
    this.#settle()
    return done
  }

  userEvent(name: string, payload: Uint8Array, coalesce = false): boolean {
    return this.#command(core => core.userEvent(name, payload, coalesce, this.#options.now()))
  }

  setTags(tags: Tags): boolean {
    return this.#command(core =>
      core.setTags(tagsOf({ ...this.#options, tags }), this.#options.now()),
    )
  }

  stats(): RingStatus {
    const core = this.#core
    const status = core?.status()
    return {
      name: this.#options.name,
      at: this.#at,
      encrypted: this.#options.keyring !== undefined,
      joined: status?.joined ?? false,
      members: core?.counts() ?? { alive: 0, suspect: 0, dead: 0, left: 0 },
      health: status?.health ?? 0,
      queued: status?.queued ?? 0,
      streams: status?.streams ?? 0,
      incarnation: this.#incarnation,
      clocks: status?.clocks ?? { member: 0, event: 0, query: 0 },
      counters: { ...(core?.stats ?? ({} as RingStats)) },
      body: { ...this.#options.body.stats },
    }
  }

  nudge(): void {
    this.#input(core => core.tick(this.#options.now()))
  }

  onEvent(listener: (event: RingEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}

const tagsOf = (options: Pick<RingOptions, 'tags' | 'rider'>): Tags =>
  options.rider ? { ...options.tags, [CAPABILITY.tag]: CAPABILITY.value } : options.tags
