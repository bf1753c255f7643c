/**
 * One member of the ring as a pure machine: a packet, a piece of a stream, a
 * tick or a command in; packets and streams to send out. It reads no clock
 * and opens no socket, so that a daemon (ring.ts), a test and a simulation of
 * thousands of members run the very same code.
 *
 * After each input `take()` gives what is to be done, and `nextMs()` when
 * `tick` is wanted next.
 */
import type { Log } from '../../log.ts'
import type { Keyring } from './keyring.ts'
import type { Member, MemberEvent, Rider } from './rider.ts'
import { answerKeys, keyOperation, type KeyOperation, keyRequest, type KeyResult, keyResult, KEY_QUERIES } from './serf/keys.ts'
import { Serf } from './serf/serf.ts'
import { type Tags, writeTags } from './serf/tags.ts'
import { type Env, newStats, type RingStats } from './swim/env.ts'
import { Health } from './swim/health.ts'
import { type Entry, memberOf, MemberTable, Nodes, type Roster } from './swim/members.ts'
import { PROBE_MS, Prober } from './swim/probe.ts'
import { Queue } from './swim/queue.ts'
import { Streams } from './swim/streams.ts'
import { Swim } from './swim/swim.ts'
import type { Job } from './swim/sync.ts'
import { Timers } from './swim/timers.ts'
import { Carrier } from './swim/carrier.ts'
import { Post } from './swim/post.ts'
import { Upkeep } from './swim/upkeep.ts'
import type { Endpoint } from './wire/address.ts'
import { readAccusation, readAck, readError, readPing, readState, writeAck } from './wire/messages.ts'
import { Reader } from './wire/msgpack.ts'
import { ALIVE, DEAD, LEFT, SUSPECT, TYPE } from './wire/types.ts'

/** What the driver is to do. Streams are known by id; those we open have positive ones. */
export type Effect =
  | { readonly do: 'packet'; readonly to: Endpoint; readonly bytes: Uint8Array }
  /** Open a TCP stream and write these bytes. */
  | { readonly do: 'open'; readonly id: number; readonly to: Endpoint; readonly bytes: Uint8Array }
  /** Write these bytes and end our side. */
  | { readonly do: 'end'; readonly id: number; readonly bytes: Uint8Array }
  | { readonly do: 'close'; readonly id: number }

/** What happens in the ring. */
export type RingEvent =
  | MemberEvent
  | { readonly type: 'userEvent'; readonly name: string; readonly payload: Uint8Array; readonly ltime: number }
  /** Another node goes by the name of `member`; both are there. */
  | { readonly type: 'conflict'; readonly member: Member; readonly other: Endpoint }

export type CoreOptions = {
  readonly name: string
  /** Where others reach us. */
  readonly address: string
  readonly port: number
  readonly tags: Tags
  readonly keyring: Keyring | undefined
  /** The ring's label (memberlist 0.3 and later); '' for none. */
  readonly label?: string
  readonly rider?: Rider | undefined
  /** From 0 to 1, 1 excluded. */
  readonly random: () => number
  /** Incarnation to begin with: seconds of wall time, and above any used before. */
  readonly incarnation: number
  readonly now: number
  readonly log: Log
  readonly onEvent: (event: RingEvent) => void
  readonly onIncarnation?: (incarnation: number) => void
  /** Where to find others when there are none, or none of these are there. */
  readonly seeds?: readonly Endpoint[]
  /** Members held at most. */
  readonly membersMost?: number
  /** Octets a second that the records may send in packets. */
  readonly recordsPerSecond?: number
  /** A membership to begin with, shared between simulated members. */
  readonly roster?: Roster
  /** Shared between simulated members, so that each node's words are kept once. */
  readonly nodes?: Nodes
}

/** Protocol versions we announce, as serf 0.8 does: memberlist 1 to 5, speaking 2; Serf 2 to 5, speaking 5. */
const VERSIONS = Uint8Array.of(1, 5, 2, 2, 5, 5)
/** Members held by default: the ring is meant for 10,000, the rest is for names that changed. */
const MEMBERS_MOST = 20_000
/** Being called this much later than asked means that our own event loop stood still. */
const STALL_MS = 200
/** Slices of work done in one tick: about a millisecond, and packets are read between two ticks. */
const SLICES = 1
/** After a goodbye was told, we go on answering pings for this long. */
const LINGER_MS = 500
/** A goodbye takes no longer than this. */
const LEAVE_MS = 3_000

export class RingCore {
  readonly name: string
  readonly stats: RingStats = newStats()
  readonly #env: Env
  readonly #options: CoreOptions
  readonly #timers = new Timers()
  readonly #health = new Health()
  readonly #swim: Swim
  readonly #serf: Serf
  readonly #prober: Prober
  readonly #post: Post
  readonly #streams: Streams
  readonly #records: Carrier
  readonly #upkeep: Upkeep
  #effects: Effect[] = []
  #jobs: Job[] = []
  #closed = false

  constructor(options: CoreOptions) {
    this.#options = options
    this.name = options.name
    const { now, random, log } = options
    this.#env = { name: options.name, now, random, timers: this.#timers, stats: this.stats, log }
    const nodes = options.nodes ?? new Nodes()
    const meta = writeTags(options.tags) ?? new Uint8Array(0)
    const self = nodes.of({ node: options.name, address: options.address, port: options.port, meta, versions: VERSIONS })
    const news = new Queue()
    this.#serf = new Serf(this.#env, {
      swim: () => this.#swim,
      send: (to, message) => this.#post.user(to, message),
      onUserEvent: event => options.onEvent({ type: 'userEvent', name: event.name, payload: event.payload, ltime: event.ltime }),
      onQuery: (name, payload) => this.#answer(name, payload),
    })
    this.#swim = new Swim(this.#env, new MemberTable(options.roster), nodes, news, this.#health, {
      onEvent: (type, entry) => this.#onEntry(type, entry),
      verify: (name, at, accusation, done) => this.#prober.verify(name, at, accusation, done),
      isLeaving: name => this.#serf.intents.isLeaving(name),
      onConflict: (known, other) => this.#onConflict(known, other),
      onIncarnation: incarnation => options.onIncarnation?.(incarnation),
    }, {
      self,
      incarnation: options.incarnation,
      membersMost: options.membersMost ?? MEMBERS_MOST,
      probeMs: PROBE_MS,
    })
    this.#post = new Post(this.#env, this.#swim, this.#serf, news, {
      label: options.label ?? '',
      keyring: options.keyring,
      send: (to, bytes) => this.#effects.push({ do: 'packet', to, bytes }),
      digest: () => this.#records.digest(),
    })
    this.#streams = new Streams(this.#env, {
      reader: () => this.#post.streamReader(),
      open: (id, to, bytes) => this.#effects.push({ do: 'open', id, to, bytes }),
      close: id => this.#effects.push({ do: 'close', id }),
      onMessage: (id, from, message) => this.#onStream(id, from, message),
      work: job => this.#jobs.push(job),
    })
    this.#records = new Carrier(this.#env, this.#swim, this.#post, this.#streams, options.rider, options.recordsPerSecond)
    this.#prober = new Prober(this.#env, this.#swim, this.#health, {
      send: (to, node, messages) => this.#post.send(to, node, messages),
      pingByStream: (to, message, seq, ms, done) => this.#pingByStream(to, message, seq, ms, done),
    }, () => this.#post.source())
    this.#upkeep = new Upkeep(this.#env, this.#swim, this.#serf, this.#post, this.#streams, {
      seeds: options.seeds ?? [],
      work: job => this.#jobs.push(job),
      write: (id, bytes) => this.#effects.push({ do: 'end', id, bytes }),
      close: id => this.#effects.push({ do: 'close', id }),
    })
  }

  // inputs

  /** Begins probing, and looking for others. */
  start(now: number): void {
    this.#enter(now)
    this.#swim.start()
    this.#prober.start()
    this.#upkeep.start()
    this.#leaveOff()
  }

  /** A datagram came. Any bytes are taken; the buffer may be reused after the call. */
  packet(bytes: Uint8Array, from: Endpoint, now: number): void {
    if (this.#closed) return
    this.#enter(now)
    this.stats.packetsIn++
    this.stats.bytesIn += bytes.length
    const messages = this.#post.unpack(bytes)
    if (messages === 'refused') this.stats.refused++
    else if (messages === 'malformed') this.stats.malformed++
    else {
      // the one whose ping or ack this packet carries is the one whose digest does too
      let sender = ''
      for (const message of messages) sender = this.#message(message, from, sender) ?? sender
    }
    this.#leaveOff()
  }

  /** Somebody opened a stream to us; `id` is the driver's, and negative. */
  streamAccepted(id: number, from: Endpoint, now: number): void {
    this.#enter(now)
    if (this.#closed) this.#effects.push({ do: 'close', id })
    else this.#streams.accepted(id, from)
  }

  /** Bytes came on a stream. They are copied. */
  streamData(id: number, bytes: Uint8Array, now: number): void {
    this.#enter(now)
    this.#streams.data(id, bytes)
    this.#leaveOff()
  }

  /** The peer ended its side. */
  streamEnded(id: number, now: number): void {
    this.#enter(now)
    this.#streams.ended(id)
    this.#leaveOff()
  }

  /** The stream could not be opened, or broke. */
  streamFailed(id: number, now: number): void {
    this.#enter(now)
    this.#streams.failed(id)
    this.#leaveOff()
  }

  /** Time has passed. Also goes on with work that is done in slices. */
  tick(now: number): void {
    if (this.#closed) return
    this.#enter(now)
    this.#timers.run(now)
    for (let i = 0; i < SLICES && this.#jobs.length > 0; i++) {
      if (this.#jobs[0]!.step()) this.#jobs.shift()
    }
    this.#leaveOff()
  }

  /** The driver measured that its event loop stood still: we are patient with others for as long. */
  delayed(ms: number, now: number): void {
    this.#enter(now)
    this.#stalled(ms)
  }

  /** When `tick` is wanted next, at the latest; not after now while there is work to do. */
  nextMs(): number {
    if (this.#closed) return Infinity
    if (this.#jobs.length > 0) return this.#env.now
    return Math.min(this.#timers.next(), this.#records.nextMs)
  }

  /** What is to be done since the last call. */
  take(): Effect[] {
    const effects = this.#effects
    if (effects.length > 0) this.#effects = []
    return effects
  }

  // commands

  /** Joins through these; `done` gets how many answered with their table. */
  join(addresses: readonly Endpoint[], now: number, done: (joined: number) => void): void {
    this.#enter(now)
    this.#upkeep.join(addresses, done)
  }

  /** Says goodbye; `done` when everybody is told and pings were answered a little longer. */
  leave(now: number, done: () => void): void {
    this.#enter(now)
    let open = 2
    let over = false
    const end = (): void => {
      if (over) return
      over = true
      done()
    }
    const told = (): void => {
      if (--open === 0) this.#timers.at(this.#env.now + LINGER_MS, end)
    }
    const alone = this.#swim.table.living <= 1
    this.#prober.stop()
    this.#upkeep.leave()
    this.#serf.leave(told)
    this.#swim.leave(told)
    this.#timers.at(this.#env.now + (alone ? 0 : LEAVE_MS), end)
    this.#leaveOff()
  }

  /** Takes a failed member for left, everywhere; with `prune` it is forgotten at once. */
  forceLeave(name: string, prune: boolean, now: number): void {
    this.#enter(now)
    this.#serf.forceLeave(name, prune)
    this.#leaveOff()
  }

  /** New tags, told to everybody; false if they take more than 512 octets. */
  setTags(tags: Tags, now: number): boolean {
    this.#enter(now)
    const meta = writeTags(tags)
    const { node } = this.#swim.self
    if (meta) this.#swim.update({ address: node.address, port: node.port, meta, versions: node.versions })
    this.#leaveOff()
    return meta !== undefined
  }

  /** Sends a user event; false if it takes more than 512 octets encoded. */
  userEvent(name: string, payload: Uint8Array, coalesce: boolean, now: number): boolean {
    this.#enter(now)
    const sent = this.#serf.userEvent(name, payload, coalesce)
    this.#leaveOff()
    return sent
  }

  /** Does something with keys everywhere; false if the key is none or too much is under way. */
  keys(operation: KeyOperation, key: string, now: number, done: (result: KeyResult) => void): boolean {
    this.#enter(now)
    const payload = keyRequest(operation, key)
    const members = this.#swim.table.living
    const asked = payload !== undefined &&
      this.#serf.query(KEY_QUERIES[operation], payload, answers => done(keyResult(answers, members)))
    this.#leaveOff()
    return asked
  }

  /** Ends everything without a word. */
  close(): void {
    this.#streams.close()
    this.#serf.close()
    this.#timers.clear()
    this.#jobs = []
    this.#closed = true
  }

  // what can be seen

  get member(): Member {
    return memberOf(this.#swim.self)
  }

  /** One member, or undefined. */
  memberNamed(name: string): Member | undefined {
    const entry = this.#swim.table.get(name)
    return entry && memberOf(entry)
  }

  *members(): IterableIterator<Member> {
    for (const entry of this.#swim.table) yield memberOf(entry)
  }

  /** Members by state. Costs nothing. */
  counts(): { alive: number; suspect: number; dead: number; left: number } {
    const { table } = this.#swim
    return { alive: table.count(ALIVE), suspect: table.count(SUSPECT), dead: table.count(DEAD), left: table.count(LEFT) }
  }

  /** Equal on two members whose tables hold the same living members. */
  get digest(): number {
    return this.#swim.table.digest
  }

  /** Our own health, 0 is well; messages waiting to be told; streams open; Serf's clocks. */
  status(): { health: number; queued: number; streams: number; clocks: { member: number; event: number; query: number }; joined: boolean } {
    return {
      health: this.#health.score,
      queued: this.#post.queued,
      streams: this.#streams.count,
      clocks: this.#serf.clocks,
      joined: this.#upkeep.joined,
    }
  }

  // inside

  #enter(now: number): void {
    const late = now - this.#timers.next()
    this.#env.now = Math.max(now, this.#env.now)
    if (late > STALL_MS && this.#jobs.length === 0) this.#stalled(late)
  }

  #stalled(ms: number): void {
    this.stats.stalls++
    this.#timers.shift(ms)
    this.#swim.shift(ms)
    this.#records.shift(ms)
    this.#health.change(Math.min(3, Math.ceil(ms / 1000)))
  }

  #leaveOff(): void {
    if (this.#closed) return
    this.#records.poll()
    this.#upkeep.armGossip()
  }

  /** Handles one message; gives the sender's name where the message tells it. */
  #message(message: Uint8Array, from: Endpoint, sender: string): string | undefined {
    const body = message.subarray(1)
    switch (message[0]) {
      case TYPE.ping: {
        const ping = readPing(body)
        if (!ping) break
        this.#prober.pinged(ping, from)
        return ping.source.name
      }
      case TYPE.indirectPing: {
        const ask = readPing(body)
        if (!ask) break
        this.#prober.asked(ask, from)
        return undefined
      }
      case TYPE.ack: {
        const ack = readAck(body)
        if (!ack) break
        return this.#prober.acked(ack.seq)
      }
      case TYPE.nack: {
        const nack = readAck(body)
        if (!nack) break
        this.#prober.nacked(nack.seq)
        return undefined
      }
      case TYPE.suspect:
      case TYPE.dead: {
        const accusation = readAccusation(body)
        if (!accusation) break
        if (message[0] === TYPE.dead) this.#swim.dead(accusation)
        else this.#swim.suspect(accusation)
        return undefined
      }
      case TYPE.alive: {
        const alive = readState(new Reader(body))
        if (!alive) break
        this.#swim.alive(alive, 'news')
        return undefined
      }
      case TYPE.user:
        if ((body[0] ?? 0) >= 0x80 ? this.#records.message(body, sender, (node, table) => this.#upkeep.onTable(node, table)) : this.#serf.message(body)) return undefined
    }
    this.stats.malformed++
    return undefined
  }

  /** A whole message on a stream that was opened to us. */
  #onStream(id: number, from: Endpoint, message: Buffer): void {
    const body = message.subarray(1)
    switch (message[0]) {
      case TYPE.pushPull:
        this.#upkeep.answerSync(id, message)
        return
      case TYPE.ping: {
        const ping = readPing(body)
        if (ping && (ping.node === '' || ping.node === this.name)) {
          this.#effects.push({ do: 'end', id, bytes: this.#post.frame([writeAck(ping.seq)]) })
          return
        }
        break
      }
      case TYPE.user: {
        const response = this.#records.request(message)
        if (response) {
          this.#effects.push({ do: 'end', id, bytes: this.#post.frame([response]) })
          return
        }
        break
      }
      case TYPE.error:
        this.#env.log.debug('peer reports an error', { peer: from.address, error: readError(body) })
    }
    this.#effects.push({ do: 'close', id })
  }

  #pingByStream(to: Endpoint, message: Uint8Array, seq: number, ms: number, done: (ok: boolean) => void): void {
    const opened = this.#streams.open('ping', to, this.#post.frame([message]), ms, answer =>
      done(answer?.[0] === TYPE.ack && readAck(answer.subarray(1))?.seq === seq))
    if (!opened) done(false)
  }

  #answer(name: string, payload: Uint8Array): Uint8Array | undefined {
    const operation = keyOperation(name)
    if (operation) {
      const keyring = this.#options.keyring
      const before = keyring?.primary
      const answer = answerKeys(operation, payload, keyring)
      if (operation !== 'list') this.#env.log.info('keyring changed by the ring', { operation, primaryChanged: keyring?.primary !== before })
      return answer
    }
    if (name === '_serf_conflict') return this.#serf.conflictAnswer(Buffer.from(payload).toString('utf8'))
    return undefined
  }

  #onEntry(type: MemberEvent['type'], entry: Entry): void {
    if (type === 'join') this.#serf.joined(entry)
    if (type === 'reap') this.#serf.reaped(entry)
    const event = { type, member: memberOf(entry) }
    this.#options.rider?.onMember(event, this.#env.now)
    this.#options.onEvent(event)
  }

  #onConflict(known: Entry, other: Endpoint): void {
    this.#env.log.warn('two nodes go by one name', { member: known.node.name, known: known.node.address, other: other.address, port: other.port })
    this.#options.onEvent({ type: 'conflict', member: memberOf(known), other })
  }
}

