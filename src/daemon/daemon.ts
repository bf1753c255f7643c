/**
 * The daemon: creates and connects the data thread, the parts and readiness; starts, reloads (by SIGHUP or `spartan
 * reload`) and closes them. DNS starts at once and does not wait for any part.
 */
import { ALWAYS_RELOADED, ControlPlane } from '../control/control-plane.ts'
import { readConfigAside } from '../config/aside.ts'
import { readHost, showEndpoint, type Config } from '../config/config.ts'
import { clearUpstream, countersMemory, countersOver } from '../boundary/counters.ts'
import type { Endpoint } from '../boundary/messages.ts'
import { ownAddress } from '../control/host/own-address.ts'
import { resolveBy } from '../control/feeds/resolve-by.ts'
import { Parts } from '../control/parts.ts'
import { within } from '../control/supervised.ts'
import { messageOf } from '../base/error.ts'
import { relax } from '../base/heap.ts'
import type { Journal } from '../base/journal.ts'
import { version } from '../base/version.ts'
import { daemonRoutes } from '../ops/daemon-routes.ts'
import type { Inherited } from '../ops/listen-fds.ts'
import { createMetrics, serverLabel, type Metrics } from '../ops/metrics.ts'
import { opsRoutes } from '../ops/ops-routes.ts'
import { queryLogRoutes } from '../ops/query-log.ts'
import { QueryWatch } from '../ops/query-watch.ts'
import type { Notifier } from '../ops/systemd.ts'
import { AdminPart } from './admin-part.ts'
import { CacheSnapshot } from './cache-snapshot.ts'
import { DataThread } from './data-thread-host.ts'
import { DnstapPart } from './dnstap-part.ts'
import { Drills } from './drill.ts'
import { saveRoute } from './handover.ts'
import { hear } from './hear.ts'
import { Readiness } from './readiness.ts'
import { Reloader, type ReloadOutcome } from './reloader.ts'
import { SelfView } from './self-view.ts'
import { dataStart, levelPart, settingsPart } from './settings.ts'

export type DaemonOptions = {
  readonly config: Config
  readonly configPath: string
  readonly thread: DataThread | undefined
  readonly log: Journal
  readonly notifier: Notifier
  readonly listen: readonly Endpoint[]
  readonly inherited: readonly Inherited[]
  /** Whether it only answers while another one restarts (handover.ts). */
  readonly handover?: boolean
}

/** READY does not wait longer than this for the parts' first start. */
const BEGIN_MS = 1_000
/** A handover does not wait longer than this for the cache of the last run. */
const RESTORE_MS = 3_000
/** Limit of the time for the parts to close: goodbye to the gossip peers, the cache written. */
const CLOSE_MS = 2_000
/** Limit of the time for the whole shutdown. The last queries get what the parts left of it. */
const SHUTDOWN_MS = 2_600

export class Daemon {
  readonly #options: DaemonOptions
  readonly #log: Journal
  readonly #readiness: Readiness
  readonly #thread: DataThread
  readonly #control: ControlPlane
  readonly #parts: Parts
  readonly #reloader: Reloader
  readonly #metrics: Metrics
  readonly #view: SelfView
  readonly #cacheSnapshot: CacheSnapshot

  constructor(options: DaemonOptions) {
    const { config, log, notifier, listen, inherited } = (this.#options = options)
    this.#log = log
    const memory = countersMemory()
    const counters = countersOver(memory)
    this.#readiness = new Readiness(listen, {
      watchdogMs: notifier.watchdogMs,
      onReady: () => void this.#sayReady(),
      onAnswer: () => void notifier.watchdog(),
    })
    const thread = (this.#thread = options.thread ?? new DataThread())
    thread.begin(dataStart(config, { listen, inherited, counters: memory }), message =>
      hear(message, this.#readiness, this.#view.log),
    )
    this.#control = new ControlPlane(() => this.#reloader.config, listen, {
      log,
      random: Math.random,
      caughtUp: () => thread.caughtUp(),
      send: message => thread.send(message),
      resolve: resolveBy(wire => thread.ask(wire)),
      ownAddress,
      attached: () => readHost().networks,
      clearUpstream: slot => clearUpstream(counters, slot),
    })
    this.#parts = new Parts({ log, random: Math.random })
    this.#reloader = new Reloader(config, {
      file: options.configPath,
      read: () => readConfigAside(options.configPath),
      parts: this.#parts,
      always: ALWAYS_RELOADED,
      onBegin: () => void notifier.reloading(),
      onEnd: outcome => this.#reloaded(outcome),
    })
    this.#control.gossip.sever(options.handover === true)
    const drills = new Drills({
      config: () => this.#reloader.config,
      send: message => thread.send(message),
      severGossip: severed => this.#control.gossip.sever(severed),
      log: (level, msg, fields) => this.#view.log(level, msg, fields),
      now: Date.now,
    })
    const cacheSnapshot = (this.#cacheSnapshot = new CacheSnapshot(thread, log))
    this.#view = new SelfView({
      drills,
      cacheSnapshot,
      node: config.node,
      journal: log,
      counters,
      thread,
      control: this.#control,
      parts: this.#parts,
      reloader: this.#reloader,
      readiness: this.#readiness,
      servers: listen.length,
    })
    this.#metrics = createMetrics({
      prefix: config.metrics.prefix,
      counters,
      servers: listen.map(l => serverLabel(l.address, l.port)),
      zones: () => this.#control.routing.snapshot?.labels ?? [],
      upstreams: () => this.#control.routing.upstreams,
      version: version(),
      loopLag: () => this.#view.loopLag.take(),
      refresh: () => this.#view.look(),
      extra: () => this.#view.readings(),
    })
    const watch = new QueryWatch({ send: message => thread.send(message) })
    this.#parts.add(
      ...this.#control.parts,
      settingsPart(message => thread.send(message)),
      cacheSnapshot,
      drills,
      levelPart(level => log.setLevel(level)),
      new DnstapPart(watch, listen, log),
      new AdminPart({
        log: log.child({ part: 'admin' }),
        node: config.node,
        routes: () => [
          ...opsRoutes({
            metrics: this.#metrics,
            health: () => this.#view.health(),
            status: () => this.#view.status(),
            history: () => this.#view.history(),
          }),
          ...daemonRoutes(thread),
          ...queryLogRoutes(watch, listen.map(showEndpoint)),
          ...this.#reloader.routes(),
          ...this.#parts.routes(),
          saveRoute(this.#parts),
        ],
      }),
    )
    this.#parts.metrics(this.#metrics)
  }

  /** Runs until `stop` resolves or the data thread ends; returns the exit status. Never rejects. */
  async run(stop: Promise<void>): Promise<number> {
    this.#log.info('starting', {
      version: version(),
      config: this.#options.configPath,
      pid: process.pid,
    })
    this.#listenToProcess()
    void this.#begin().catch(this.#onBug)
    const died = await Promise.race([stop, this.#thread.ended])
    return this.#end(typeof died === 'string' ? died : '')
  }

  async #begin(): Promise<void> {
    await within(BEGIN_MS, this.#parts.start(this.#reloader.config))
    this.#view.start()
    this.#readiness.start()
  }

  /** @param died why the data thread ended, '' if it did not */
  async #end(died: string): Promise<number> {
    const since = performance.now()
    if (died === '') this.#log.info('stopping')
    else this.#log.error('the data thread died', { err: died })
    this.#view.stopping = true
    this.#reloader.close()
    this.#readiness.close()
    void this.#options.notifier.stopping('answering the last queries')
    // DNS ends last and the process ends with it, because the next process begins to answer only after that. The parts
    // of a handover have nothing to keep.
    const hanging = this.#options.handover ? [] : await this.#parts.close(CLOSE_MS)
    this.#view.close()
    if (died === '')
      await this.#thread.close(Math.max(0, SHUTDOWN_MS - (performance.now() - since)))
    this.#log.info('stopped', hanging.length > 0 ? { hanging } : {})
    this.#options.notifier.close()
    return died === '' ? 0 : 1
  }

  async #sayReady(): Promise<void> {
    // Until then the old daemon answers with its cache.
    if (this.#options.handover) await within(RESTORE_MS, this.#cacheSnapshot.read)
    const took = Math.round(process.uptime() * 1000)
    this.#log.info('ready', { addresses: this.#readiness.listen.map(showEndpoint), took })
    await this.#options.notifier.ready(this.#answering())
    // If prom-client cannot be loaded, each scrape reports it.
    await this.#metrics.prepare().catch(() => {})
    relax()
  }

  #answering(): string {
    return `answering on ${this.#readiness.listen.map(l => l.address).join(' ')}`
  }

  #reloaded({ outcome, applied, needsRestart, error }: ReloadOutcome): void {
    const { log } = this.#view
    if (outcome === 'refused')
      log('error', 'reload refused, the old configuration stays', { err: error })
    else log('info', 'reloaded', needsRestart.length > 0 ? { applied, needsRestart } : { applied })
    void this.#options.notifier.ready(this.#answering())
  }

  /** Signals, and errors that nobody caught. */
  #listenToProcess(): void {
    process.on('SIGHUP', () => void this.#reloader.reload())
    process.on('SIGUSR1', () => void this.#view.summary())
    process.on('SIGUSR2', () => void this.#view.flush())
    process.on('uncaughtException', this.#onBug)
    process.on('unhandledRejection', this.#onBug)
  }

  /** A bug in a part ends the part's current work, not DNS, which runs in the other thread. */
  readonly #onBug = (er: unknown): void => {
    this.#view.bug(er)
    this.#log.error('internal error of a part, DNS goes on', {
      err: messageOf(er),
      stack: er instanceof Error ? er.stack : undefined,
    })
  }
}
