/**
 * Mesos-DNS as a server: follows the leading master, keeps the records, gives
 * them to the data thread as a zone, and shows them over HTTP. Nothing listens
 * before the first state is there; after that, whatever fails, the last good
 * state is served.
 *
 * This file is long, because it connects all parts of this server.
 */
import { hostname, networkInterfaces } from 'node:os'
import type {
  DataThreadStart,
  Endpoint,
  Milliseconds,
  Snapshot,
  Up,
  ZoneMessage,
} from '../boundary/messages.ts'
import { listenersFor } from '../control/host/host-addresses.ts'
import type { Http } from '../http/client.ts'
import type { MesosState } from '../mesos/api/model.ts'
import { ZonePublisher } from '../control/zones/zone-publisher.ts'
import { DataThread } from '../daemon/data-thread-host.ts'
import { messageOf } from '../base/error.ts'
import { countersMemory } from '../boundary/counters.ts'
import type { Log } from '../base/log.ts'
import { apiFacts } from './api.ts'
import type { Places } from './bindable.ts'
import { hostsToLookUp } from '../mesos/mesos-dns-names/cluster-records.ts'
import { Follower } from './follower.ts'
import { ApiServer } from './http.ts'
import { Lookups } from '../mesos/mesos-dns-names/lookups.ts'
import type { MasterList } from '../mesos/master-list.ts'
import { ZoneRecords } from '../mesos/mesos-dns-names/records.ts'
import type { Settings } from './settings.ts'
import { serverSnapshot, serverStart, zoneApex } from './thread.ts'
import { ServerView, type Reloads } from './server-view.ts'
import { RecordsZone } from '../mesos/mesos-dns-names/zone.ts'

/** What the server is handed besides its settings. */
export type ServerMeans = {
  readonly log: Log
  /** Of this program. */
  readonly version: string
  /** Talks to the masters, with their certificates and credentials; the server closes it. */
  readonly http: Http
  /** Who the masters are; the server closes it. */
  readonly masters: MasterList
  /** All addresses of a host. */
  readonly resolve: (host: string) => Promise<readonly string[]>
  readonly random: () => number
  readonly io?: DataThreadStart['io']
  /** Called when there is something to serve; it listens when that has resolved, unless to false. */
  readonly takeOver?: () => Promise<boolean>
  /** Reloads of the program so far, for metrics and health. */
  readonly reloads?: () => Reloads
  /** Waits between rounds of masters that give nothing; for tests and the demo. */
  readonly minMs?: Milliseconds
  readonly maxMs?: Milliseconds
}

/** Between two attempts at an HTTP address that is taken. */
const RETRY_MS = 5_000
const NO_RELOADS: Reloads = { reloads: 0, refused: 0, error: '' }
/** Problems of one update that are logged by name. */
const MAX_LOGGED = 5

/** One server, until it is closed. */
export class MesosDnsServer {
  readonly #settings: Settings
  readonly #means: ServerMeans
  readonly #records: ZoneRecords
  readonly #zone: RecordsZone
  readonly #publisher: ZonePublisher
  readonly #follower: Follower
  readonly #lookups: Lookups
  readonly #api: ApiServer
  readonly #thread: DataThread | undefined
  readonly #listen: readonly Endpoint[]
  readonly #counters = countersMemory()
  readonly #snapshot: Snapshot
  readonly #view: ServerView
  readonly #bound = new Map<string, Endpoint>()
  #httpBound: Endpoint | undefined
  #serial = 0
  #version = 0
  #state: MesosState | undefined
  #whole = false
  #problems = ''
  #retry: NodeJS.Timeout | undefined
  #closed = false
  #becomeReady: () => void = () => {}
  /** Resolves when DNS answers on every address and HTTP on its own. */
  readonly ready: Promise<void>
  /** Resolves when the data thread has ended; with a reason if nobody had asked it to. */
  readonly ended: Promise<string | undefined>

  constructor(settings: Settings, means: ServerMeans) {
    this.#settings = settings
    this.#means = means
    this.#listen = settings.dnsOn ? listenersFor(settings.listen, means.io ?? 'auto') : []
    this.ready = new Promise(resolve => (this.#becomeReady = resolve))
    this.#records = new ZoneRecords({
      ...settings,
      soaMname: settings.soa.mname,
      listenerAddresses: ownAddresses(settings.listen.address),
    })
    this.#zone = new RecordsZone(this.#records, settings)
    this.#publisher = new ZonePublisher({
      send: message => this.#send(message),
      now: Date.now,
      breathe: async () => this.#thread?.caughtUp(),
    })
    this.#lookups = new Lookups({
      resolve: means.resolve,
      log: means.log,
      everyMs: settings.refreshMs,
      onChange: () => this.#state && this.#update(this.#state, this.#whole),
    })
    const scheme = settings.mesosHttps ? 'https' : 'http'
    this.#follower = new Follower({
      ...means,
      bases: () => means.masters.list.map(master => `${scheme}://${master}`),
      leader: () => (means.masters.leader === '' ? '' : `${scheme}://${means.masters.leader}`),
      refreshMs: settings.refreshMs,
      deadlineMs: settings.stateTimeoutMs,
      now: () => performance.now(),
      onState: (state, whole, touched) => this.#update(state, whole, touched),
    })
    this.#thread = settings.dnsOn ? new DataThread() : undefined
    this.#snapshot = serverSnapshot(settings)
    this.#view = new ServerView({
      settings,
      version: means.version,
      counters: this.#counters,
      thread: this.#thread,
      snapshot: this.#snapshot,
      listen: this.#listen,
      reloads: means.reloads ?? (() => NO_RELOADS),
      follower: () => this.#follower.status,
      state: () => this.#state,
      names: () => this.#records.names.size,
      problems: () => this.#records.problems.length,
      masters: () => means.masters,
    })
    this.#api = new ApiServer(
      apiFacts({
        settings,
        records: this.#records,
        serial: () => this.#serial,
        version: () => this.#version,
        release: means.version,
      }),
      means.log,
      this.#view.routes,
    )
    this.#thread?.begin(this.#start(), message => this.#receive(message))
    this.ended = this.#thread?.ended ?? new Promise(() => {})
  }

  /** Begins to follow the masters. */
  start(): void {
    const { masters } = this.#means
    masters.onChange = leaderChanged => {
      if (this.#state) this.#update(this.#state, this.#whole)
      if (leaderChanged) this.#follower.leaderChanged()
    }
    masters.start()
    this.#follower.start()
  }

  /** Where DNS and HTTP are served now. */
  get endpoints(): { readonly dns: readonly Endpoint[]; readonly http: Endpoint | undefined } {
    const dns = [...this.#bound].filter(([key]) => key.endsWith(' udp')).map(([, at]) => at)
    return { dns, http: this.#httpBound }
  }

  /** Where it listens, or will. */
  get places(): Places {
    const { httpOn, httpListen } = this.#settings
    return { dns: this.#listen, http: httpOn ? [httpListen] : [] }
  }

  /** For status and tests. */
  get status(): {
    readonly follower: Follower['status']
    readonly names: number
    readonly serial: number
    readonly problems: ZoneRecords['problems']
  } {
    return {
      follower: this.#follower.status,
      names: this.#records.names.size,
      serial: this.#serial,
      problems: this.#records.problems,
    }
  }

  /** The data thread's answer to a query message. Rejects with ESTATE when there is none. */
  async ask(wire: Uint8Array): Promise<Buffer> {
    return this.#thread ? (await this.#thread.ask(wire)).wire : Buffer.alloc(0)
  }

  /** Lets queries finish for up to `drainMs`, then ends all of it. */
  async close(drainMs: Milliseconds = 0): Promise<void> {
    this.#closed = true
    clearTimeout(this.#retry)
    this.#lookups.close()
    this.#publisher.close()
    this.#view.close()
    await this.#means.masters.close()
    await this.#follower.close()
    await this.#thread?.close(drainMs)
    await this.#api.close()
    await this.#means.http.close()
  }

  #start(): ReturnType<typeof serverStart> {
    const { version, io = 'auto' } = this.#means
    return serverStart(this.#settings, {
      version,
      node: hostname(),
      listen: this.#listen,
      counters: this.#counters,
      io,
    })
  }

  #update(state: MesosState, whole: boolean, touched?: ReadonlySet<string>): void {
    if (this.#closed) return
    const first = this.#state === undefined
    this.#state = state
    this.#whole = whole
    const { domain, soa } = this.#settings
    const { masters, log } = this.#means
    this.#records.follow(state, masters.list, this.#lookups.addressesOf, touched)
    const change = this.#zone.change()
    if (change.kind === 'full' || change.set.length + change.drop.length > 0) this.#version++
    this.#publisher.publish(domain, change, whole, { soa: zoneApex(this.#settings), ns: soa.mname })
    this.#tellProblems()
    this.#lookups.want(hostsToLookUp(state, masters.list))
    if (!first) return
    log.info('the first state is loaded', {
      leader: state.leader,
      tasks: state.tasks.size,
      agents: state.agents.size,
      names: this.#records.names.size,
    })
    void this.#serve()
  }

  /** What cannot be published is told when it is another than before. */
  #tellProblems(): void {
    const { problems } = this.#records
    const told = JSON.stringify(problems)
    if (told === this.#problems) return
    this.#problems = told
    if (problems.length > 0)
      this.#means.log.warn('some of the cluster has no names', {
        count: problems.length,
        some: problems.slice(0, MAX_LOGGED),
      })
  }

  async #serve(): Promise<void> {
    // the zone is in place before anyone can ask
    await this.#publisher.settled()
    if ((await this.#means.takeOver?.()) === false || this.#closed) return
    this.#thread?.send({ type: 'snapshot', snapshot: this.#snapshot })
    this.#view.start()
    if (this.#settings.httpOn) await this.#openHttp()
    this.#lookReady()
  }

  async #openHttp(): Promise<void> {
    if (this.#closed) return
    const { log } = this.#means
    try {
      this.#httpBound = await this.#api.listen(this.#settings.httpListen)
      log.info('listening', { ...this.#httpBound, transport: 'http' })
      this.#lookReady()
    } catch (er) {
      log.error('the HTTP API cannot listen, will try again', { err: messageOf(er) })
      this.#retry = setTimeout(() => void this.#openHttp(), RETRY_MS)
    }
  }

  #lookReady(): void {
    const dns = this.#bound.size >= this.#listen.length * 2
    if (dns && this.#state && (!this.#settings.httpOn || this.#httpBound)) this.#becomeReady()
  }

  #send(message: ZoneMessage): void {
    if (message.op === 'load' || message.op === 'patch') this.#serial = message.serial
    this.#thread?.send(message)
  }

  #receive(message: Up): void {
    const { log } = this.#means
    switch (message.type) {
      case 'listening': {
        const { address, port, transport, inherited } = message
        this.#bound.set(`${address} ${transport}`, { address, port })
        this.#view.readiness.bound(message)
        log.info('listening', { address, port, transport, inherited })
        this.#lookReady()
        break
      }
      case 'bindFailed':
        log.warn('cannot bind, will try again', {
          address: message.address,
          port: message.port,
          transport: message.transport,
          err: message.error,
        })
        break
      case 'log':
        log[message.level](message.msg, message.fields)
        break
      default:
    }
  }
}

/** Addresses that the server's own name has: the one it listens on, or all of the host but loopback. */
const ownAddresses = (listener: string): readonly string[] => {
  if (listener !== '0.0.0.0' && listener !== '::') return [listener]
  const all = Object.values(networkInterfaces()).flatMap(list => list ?? [])
  // a link-local address means nothing without the link
  return all
    .filter(({ internal, address }) => !internal && !address.startsWith('fe80:'))
    .map(({ address }) => address)
}
