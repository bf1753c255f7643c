/**
 * The gossip of the daemon: a ring on real sockets and the records that it transports. Both are stored on disk, so
 * that a restarted node keeps its identity, and answers from its stored records before the first peer replies.
 *
 * This file is long, because a third of it is what operators are told when a ring does not come about.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf, messageOf } from '../base/error.ts'
import { hostPort } from '../base/ip.ts'
import type { Log } from '../base/log.ts'
import { KeptNumber } from './kept.ts'
import { loadKeyring, type Keyring } from './keyring.ts'
import type { Endpoint } from './net/body.ts'
import { Severable } from './net/severable.ts'
import { UdpTcpBody } from './net/udp-tcp.ts'
import { MAX_EPOCH } from './records/delta.ts'
import { createRecords, type Records } from './records/records.ts'
import { type Cap, defaultLimits, type Key, type Limits } from './records/types.ts'
import type { Member } from './rider.ts'
import { advertisedAddress, createRing, type Ring, type RingStatus } from './ring.ts'
import type { Tags } from './serf/tags.ts'

/** The settings from the configuration. */
export type GossipConfig = {
  readonly bind: Endpoint
  readonly advertise: Endpoint | undefined
  readonly seeds: readonly Endpoint[]
  /** Others may come (`setSeeds`), so that none at all does not mean that this node is alone. */
  readonly moreSeeds?: boolean
  readonly keyring: string
  readonly insecure: boolean
  readonly clusterName: string
  readonly stateDir: string
}

export type GossipOptions = {
  readonly config: GossipConfig
  /** This host's current address, for a `bind` to the wildcard address; '' while there is none. */
  readonly ownAddress?: () => string
  readonly node: string
  readonly version: string
  readonly log: Log
  /** Milliseconds, monotonic. */
  readonly now: () => number
  readonly random: () => number
  /** Milliseconds since 1970. */
  readonly wallClock: () => number
  /** What members see of this node besides its role and version. */
  readonly tags?: Tags
  /** Whether an owner may publish a key. */
  readonly allow: (key: Key) => boolean
  readonly limits?: Partial<Limits>
}

/** How often the records are saved. A crash loses at most the changes of this time, and peers send them again. */
const SAVE_MS = 60_000
/** A node that has found nobody for this long after its start warns. Usually the first exchange takes a second or two. */
const LONELY_MS = 30_000
/** How often to check whether the first exchange is complete, and how often after the warning. */
const SYNC_LOOK_MS = 100
const LONELY_LOOK_MS = 1_000
/** How long a name that two nodes use is reported after it was seen, and the limit of such names. */
const TWINS_MS = 120_000
const TWINS_MOST = 16
/** Refused records are logged at most this often, separately for ours and others'. The metrics count all of them. */
const REFUSED_MS = 60_000

export class Gossip {
  readonly records: Records
  readonly ring: Ring
  readonly #options: GossipOptions
  readonly #file: string
  readonly #keyring: Keyring | undefined
  readonly #network = new Severable(new UdpTcpBody())
  #timers: NodeJS.Timeout[] = []
  #looking: NodeJS.Timeout | undefined
  #begun = false
  #waking: NodeJS.Immediate | undefined
  #saving: Promise<void> | undefined
  /** The fingerprint of the records on disk. */
  #saved = ''
  #synced: (() => void) | undefined
  /** When the log last mentioned refused records: ours, and others'. */
  readonly #toldRefused = { ours: -Infinity, others: -Infinity }
  /** Resolves after the first exchange with a synced peer, or when there is no peer to wait for. */
  readonly synced: Promise<void>
  readonly #startedAt: number
  /** The ring reads it whenever it looks for members. */
  readonly #seeds: Endpoint[]
  #moreSeeds: boolean
  #saidLonely = false
  /** Names that two nodes use: the address that we know, the other one, and when it was seen last. */
  readonly #twins = new Map<string, { known: string; other: string; at: number }>()
  /** The address of the node with our name that the ring keeps; '' if there is none. */
  #outvotedBy = ''

  /** Binds nothing before `start`. Throws ECONFIG or EDATA if the keyring is unusable. */
  constructor(options: GossipOptions) {
    const { config, ownAddress, node, log, now, random, wallClock, allow, limits } = options
    const { stateDir } = config
    this.#options = options
    this.#startedAt = now()
    this.#moreSeeds = config.moreSeeds ?? false
    this.#seeds = [...config.seeds]
    this.#file = stateDir === '' ? '' : join(stateDir, 'records')
    this.#keyring = config.keyring === '' ? undefined : loadKeyring(config.keyring)
    if (stateDir !== '') mkdirSync(stateDir, { recursive: true })
    const epochs = new KeptNumber(stateDir && join(stateDir, 'epoch.json'), 'epoch', log)
    this.records = createRecords({
      self: node,
      now,
      random,
      epoch: Math.max(Math.floor(wallClock() / 1000), epochs.read(MAX_EPOCH) + 1),
      onEpoch: epoch => epochs.write(epoch),
      allow,
      seeds: config.seeds.length > 0 || config.moreSeeds === true,
      wake: () => this.#wake(),
      onRefused: (owner, cap) => this.#refused(owner, cap),
      ...(limits ? { limits } : {}),
    })
    this.#restore()
    this.ring = createRing({
      name: node,
      bind: config.bind,
      ...(config.advertise ? { advertise: config.advertise } : {}),
      ...(ownAddress ? { ownAddress } : {}),
      tags: this.#tags(options.tags),
      seeds: this.#seeds,
      keyring: this.#keyring,
      insecure: config.insecure,
      label: config.clusterName,
      rider: this.records,
      body: this.#network,
      now,
      random,
      wallClock,
      log,
      ...(stateDir === '' ? {} : { stateFile: join(stateDir, 'ring.json') }),
    })
    this.ring.onEvent(event => {
      if (event.type === 'conflict') this.#twin(event.member, event.other)
      if (event.type === 'outvoted') this.#outvoted(event.other)
      if (event.type === 'returned') this.#returned()
    })
    this.synced = new Promise(resolve => (this.#synced = resolve))
  }

  /** Cuts this node off from all other members, or reconnects it. */
  set severed(severed: boolean) {
    this.#network.severed = severed
  }

  /** Binds and begins to look for other members. Rejects as Ring.start does; may be called again. */
  async start(): Promise<void> {
    this.#look()
    const at = await this.ring.start()
    this.#begun = true
    const { log, config } = this.#options
    log.info('gossip', {
      address: at.address,
      port: at.port,
      seeds: this.#seeds.length,
      encrypted: config.keyring !== '',
    })
    this.#timers.push(setInterval(() => void this.save(), SAVE_MS).unref())
  }

  /** Checks repeatedly whether the records are synced. Also runs while the ring fails to start. */
  #look(): void {
    if (this.#looking) return
    const { log, now } = this.#options
    const look = (): void => {
      // Once the ring runs, it polls the records itself.
      if (!this.#begun) this.records.poll(now())
      this.#checkAlone()
      if (!this.records.synced) return this.#lookAgain(look)
      this.#synced?.()
      // After a first start, so that a restart within the first minute has something to answer with.
      void this.save()
      log.info('gossip is in step', {
        members: this.ring.stats().members.alive,
        entries: this.records.stats().entries,
      })
    }
    this.#lookAgain(look)
  }

  #lookAgain(look: () => void): void {
    this.#warnLonely()
    this.#looking = setTimeout(look, this.#saidLonely ? LONELY_LOOK_MS : SYNC_LOOK_MS).unref()
  }

  #twin({ name, address, port }: Member, other: Endpoint): void {
    if (!this.#twins.has(name) && this.#twins.size >= TWINS_MOST) return
    this.#twins.set(name, {
      known: hostPort(address, port),
      other: hostPort(other.address, other.port),
      at: this.#options.now(),
    })
  }

  #outvoted({ address, port }: Endpoint): void {
    this.#outvotedBy = hostPort(address, port)
    this.#options.log.error(
      'another node has this name, and the ring keeps that one: this node stays out of the gossip while that one is there',
      { node: this.#options.node, other: this.#outvotedBy },
    )
  }

  #returned(): void {
    this.#options.log.warn('the other node with this name is gone: this one gossips again', {
      node: this.#options.node,
      other: this.#outvotedBy,
    })
    this.#outvotedBy = ''
    this.records.renew(Math.floor(this.#options.wallClock() / 1000))
  }

  /** Names that two nodes of the ring have used lately, as sentences. */
  get twins(): string[] {
    const { node, now } = this.#options
    if (this.#outvotedBy !== '')
      return [
        `another node is called ${node}, too, at ${this.#outvotedBy}, and the ring keeps that one: give one of them another name; this one stays out of the gossip while that one is there`,
      ]
    for (const [name, { at }] of this.#twins) if (now() - at > TWINS_MS) this.#twins.delete(name)
    return Array.from(
      this.#twins,
      ([name, { known, other }]) => `two nodes are called ${name}: ${known} and ${other}`,
    )
  }

  /** Why this node is still not synced 30 s after its start; '' if it is synced or has just started. */
  get trouble(): string {
    const { now, config } = this.#options
    if (this.records.synced || !this.#begun || now() - this.#startedAt < LONELY_MS) return ''
    const { members, counters } = this.ring.stats()
    const seeds =
      this.#seeds.map(({ address, port }) => hostPort(address, port)).join(', ') ||
      'any seed, because no master is known'
    const refused =
      counters.refused === 0
        ? ''
        : `; ${counters.refused} packets of others could not be opened with our keys and cluster name ${JSON.stringify(config.clusterName)}`
    return members.alive > 1
      ? `${members.alive - 1} members, but none that could tell its records yet${refused}`
      : `no other member found through ${seeds}: down, or with another key or cluster name${refused}`
  }

  #warnLonely(): void {
    if (this.#saidLonely) return
    const { trouble } = this
    if (trouble === '') return
    this.#saidLonely = true
    this.#options.log.warn('gossip is not in step: names that are not known here are SERVFAIL', {
      trouble,
    })
  }

  /** The tags after a reload. */
  set tags(tags: Tags) {
    this.ring.setTags(this.#tags(tags))
  }

  #tags(more: Tags = {}): Tags {
    return { role: 'spartan', version: this.#options.version, ...more }
  }

  /**
   * The seeds from now on; `more` says that others may come. Without any but this node itself there is no peer to
   * wait for.
   */
  setSeeds(seeds: readonly Endpoint[], more = false): void {
    this.#seeds.splice(0, Infinity, ...seeds)
    this.#moreSeeds = more
    this.#checkAlone()
  }

  get seeds(): readonly Endpoint[] {
    return this.#seeds
  }

  /**
   * If every seed is this node itself, and no others may come, there is no peer to wait for. Its own address may
   * become known late.
   */
  #checkAlone(): void {
    if (this.#moreSeeds) return
    const { config, ownAddress } = this.#options
    const said = config.advertise ?? config.bind
    const own = advertisedAddress(said, ownAddress)
    if (this.#seeds.every(({ address, port }) => port === said.port && address === own))
      this.records.alone()
  }

  /** Sets one of our keys; it is sent soon. False if the entry is invalid. */
  publish(key: Key, value: Uint8Array): boolean {
    const accepted = this.records.publish(key, value)
    this.ring.nudge()
    return accepted
  }

  /** Removes one of our keys. */
  withdraw(key: Key): boolean {
    const had = this.records.withdraw(key)
    this.ring.nudge()
    return had
  }

  /** Replaces the keys by those in the file. Throws EDATA as loadKeyring does; the old keys then stay. */
  readKeyring(file: string): void {
    const read = loadKeyring(file)
    this.#keyring?.adopt(read)
  }

  /** Octets of zones that one node may publish. */
  get zoneBytes(): number {
    return this.#options.limits?.zoneBytes ?? defaultLimits.zoneBytes
  }

  members(): Member[] {
    return this.ring.members()
  }

  status(): RingStatus {
    return this.ring.stats()
  }

  /** Says goodbye, so that other members do not treat us as failed, and saves the records. */
  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer)
    clearTimeout(this.#looking)
    clearImmediate(this.#waking)
    await this.#saving
    this.#saveNow()
    await this.ring.leave()
  }

  #restore(): void {
    if (this.#file === '') return
    const { log, wallClock } = this.#options
    try {
      const entries = this.records.fromBytes(readFileSync(this.#file), wallClock())
      if (entries < 0) log.warn('the records on disk cannot be used', { file: this.#file })
      else log.info('records read from disk', { entries })
    } catch (er) {
      if (codeOf(er) !== 'ENOENT')
        log.warn('the records on disk cannot be read', { file: this.#file, err: messageOf(er) })
    }
  }

  #refused(owner: string, cap: Cap): void {
    const { node, log, now } = this.#options
    const whose = owner === node ? 'ours' : 'others'
    if (now() - this.#toldRefused[whose] < REFUSED_MS) return
    this.#toldRefused[whose] = now()
    if (whose === 'others') log.warn('gossip has no room for all records of a node', { owner, cap })
    else
      log.warn('gossip has no room for records of ours: no other node sees them', {
        cap,
        records: this.records.stats().waiting,
      })
  }

  /** Sends what we publish when its batch is due, without waiting for the ring's next timer. */
  #wake(): void {
    this.#waking ??= setImmediate(() => {
      this.#waking = undefined
      this.ring.nudge()
    })
  }

  /** Saves the records piece by piece, so that each turn of the event loop is short. */
  save(): Promise<void> {
    this.#saving ??= this.#write().finally(() => (this.#saving = undefined))
    return this.#saving
  }

  /**
   * Written to a new file and renamed, so that a crash leaves either the old or the new file. A file that has the same
   * records stays, because in a quiet cluster the writing would be a tenth of all that an agent does.
   */
  async #write(): Promise<void> {
    const { fingerprint } = this.records
    if (this.#file === '' || (fingerprint === this.#saved && existsSync(this.#file))) return
    try {
      const file = await open(`${this.#file}.new`, 'w', 0o600)
      try {
        for (const piece of this.records.pieces(this.#options.wallClock()))
          await file.writeFile(piece)
      } finally {
        await file.close()
      }
      await rename(`${this.#file}.new`, this.#file)
      // The fingerprint was taken before the file was written. If a record has changed since, the next save sees
      // another one, and writes again.
      this.#saved = fingerprint
    } catch (er) {
      this.#cannotWrite(er)
    }
  }

  /** Saves everything in one turn; for shutdown. */
  #saveNow(): void {
    if (this.#file === '') return
    try {
      writeFileSync(`${this.#file}.new`, this.records.toBytes(this.#options.wallClock()), {
        mode: 0o600,
      })
      renameSync(`${this.#file}.new`, this.#file)
    } catch (er) {
      this.#cannotWrite(er)
    }
  }

  #cannotWrite(er: unknown): void {
    this.#options.log.warn('the records cannot be written, the old file stays', {
      file: this.#file,
      err: messageOf(er),
    })
  }
}
