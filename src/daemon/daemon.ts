/**
 * The daemon: starts and stops the planes and the ops servers, in an order
 * that it explains. Up: the data thread first, so that DNS answers although
 * nothing else works yet; then what it should know; then who watches it.
 * Down: the other way, with clients served until the last.
 */
import { closeSync } from 'node:fs'
import type { DataStatus, DataThreadStart, Endpoint, Up } from '../boundary/messages.ts'
import { problemsOf, readHost, showEndpoint, showProblem, type Config } from '../config/config.ts'
import { readConfigAside } from '../config/aside.ts'
import { ControlPlane } from '../control/control-plane.ts'
import { CacheSnapshot } from './cache-snapshot.ts'
import { resolveBy } from '../control/feeds/resolve-by.ts'
import { DataThread } from './data-thread-host.ts'
import { messageOf } from '../base/error.ts'
import { countersMemory, countersOver } from '../boundary/counters.ts'
import { optimise, relax } from '../base/heap.ts'
import { createLog } from '../base/journal.ts'
import type { Log } from '../base/log.ts'
import { AdminServer, isLoopback } from '../ops/admin.ts'
import { daemonRoutes } from '../ops/daemon-routes.ts'
import { judge, type Health } from '../boundary/health.ts'
import { createMetrics, serverLabel, type Metrics } from '../ops/metrics.ts'
import { opsRoutes } from '../ops/ops-routes.ts'
import { Events, Recent, SAMPLE_MS } from '../ops/recent.ts'
import { gatherStatus, type Status } from '../ops/status.ts'
import { inheritedSockets, matchInherited, type Inherited } from '../ops/listen-fds.ts'
import { Notifier } from '../ops/systemd.ts'
import { hostAddresses } from '../control/host/host-addresses.ts'
import { ownAddress } from '../control/host/own-address.ts'
import { Readiness } from './readiness.ts'
import { version } from '../base/version.ts'

export type RunOptions = {
  readonly configPath: string
  /** What is in that file, when somebody has begun to read it already. */
  readonly reading?: Promise<Config>
  /** Its data thread, when somebody has begun to load that already. */
  readonly thread?: DataThread
  /** Resolves when the daemon should stop; default: SIGTERM or SIGINT. */
  readonly until?: Promise<unknown>
  /** Its log; default: JSON lines on standard output. */
  readonly log?: Log
}

/** How long queries may go on after SIGTERM. */
const DRAIN_MS = 2_000
const RETRANSMIT_MS = [250, 750]
const STATUS_MS = 1_000

/** Runs until told to stop; the exit status. */
export const runDaemon = async (options: RunOptions): Promise<number> => {
  let config: Config
  try {
    config = await (options.reading ?? readConfigAside(options.configPath))
  } catch (er) {
    process.stderr.write(`${complaint(options.configPath, er)}\n`)
    return 2
  }
  const log = options.log ?? createLog(config.log.level, { node: config.node })
  const notifier = await Notifier.open(process.env)
  const listen = config.listen.addresses.flatMap(at => hostAddresses(at))
  const inherited = await inherit(listen, log)
  const daemon = new Daemon(config, options, log, notifier, listen, inherited)
  return daemon.run()
}

/** The sockets systemd holds for us, as far as they fit the configuration; the rest is reported and closed. */
const inherit = async (listen: readonly Endpoint[], log: Log): Promise<readonly Inherited[]> => {
  const { sockets, problems } = await inheritedSockets(process.env)
  for (const { fd, error } of problems)
    log.warn('a descriptor that was passed cannot be used', { fd, err: error })
  if (sockets.length === 0) return []
  const { use, extra, missing } = matchInherited(sockets, listen)
  for (const { fd, address, port, transport } of extra) {
    log.warn('a socket that was passed is not in listen.addresses; it is closed', {
      address,
      port,
      transport,
    })
    closeSync(fd)
  }
  for (const { address, port, transport } of missing)
    log.warn('no socket was passed for this address; it is bound here', {
      address,
      port,
      transport,
    })
  return use.map(({ fd, address, port, transport }) => ({ fd, address, port, transport }))
}

/** Every problem of a configuration on a line of its own, as compilers print them. */
const complaint = (path: string, er: unknown): string =>
  problemsOf(er)
    .map(problem => showProblem(path, problem))
    .join('\n') || `${path}: ${messageOf(er)}`

class Daemon {
  #config: Config
  readonly #path: string
  readonly #log: Log
  readonly #until: Promise<unknown> | undefined
  readonly #startedAt = Date.now()
  readonly #memory = countersMemory()
  readonly #counters = countersOver(this.#memory)
  readonly #events = new Events()
  readonly #recent = new Recent(this.#counters, performance.now(), {
    // Only our own queries to ourselves ask in this zone.
    own: () => this.#control.snapshot?.labels.indexOf('spartan') ?? -1,
  })
  readonly #notifier: Notifier
  readonly #inherited: readonly Inherited[]
  readonly #readiness: Readiness
  readonly #control: ControlPlane
  readonly #thread: DataThread
  readonly #admin: AdminServer
  readonly #metrics: Metrics
  readonly #cacheSnapshot: CacheSnapshot
  readonly #timers: NodeJS.Timeout[] = []
  #data: DataStatus | undefined
  #dataAt = performance.now()
  #configAt = Date.now()
  #reloads = 0
  #reloadsFailed = 0
  #reloadError = ''
  #reloading: Promise<void> = Promise.resolve()
  #stopping = false
  #stop: () => void = () => {}

  constructor(
    config: Config,
    options: RunOptions,
    log: Log,
    notifier: Notifier,
    listen: Endpoint[],
    inherited: readonly Inherited[],
  ) {
    this.#config = config
    this.#path = options.configPath
    this.#until = options.until
    this.#log = log
    this.#notifier = notifier
    this.#readiness = new Readiness(listen, {
      watchdogMs: notifier.watchdogMs,
      onReady: () => void this.#sayReady(),
      onAnswer: () => void this.#notifier.watchdog(),
    })
    this.#inherited = inherited
    this.#thread = options.thread ?? new DataThread()
    this.#thread.begin(this.#dataStart(listen), message => this.#receive(message))
    this.#control = new ControlPlane(config, listen, {
      log: this.#log,
      random: Math.random,
      caughtUp: () => this.#thread.caughtUp(),
      send: message => this.#thread.send(message),
      resolve: resolveBy(wire => this.#thread.ask(wire)),
      ownAddress,
      attached: () => readHost().networks,
    })
    this.#cacheSnapshot = new CacheSnapshot(config.cache.snapshot, this.#thread, this.#log)
    this.#metrics = createMetrics({
      prefix: config.metrics.prefix,
      counters: this.#counters,
      servers: listen.map(l => serverLabel(l.address, l.port)),
      zones: () => this.#control.snapshot?.labels ?? [],
      upstreams: () => this.#control.upstreams,
      version: version(),
      extra: () => this.#readings(),
    })
    this.#control.register(this.#metrics)
    this.#admin = new AdminServer({
      log: this.#log.child({ part: 'admin' }),
      names: [config.node],
      routes: [
        ...opsRoutes({
          metrics: this.#metrics,
          health: () => this.#health(this.#data),
          status: () => this.#status(),
          history: () =>
            this.#recent.history(Date.now(), performance.now(), this.#control.upstreams),
        }),
        ...daemonRoutes(this.#thread),
        ...this.#control.routes(),
      ],
    })
  }

  async run(): Promise<number> {
    this.#log.info('starting', { version: version(), config: this.#path, pid: process.pid })
    const stopped = new Promise<void>(resolve => (this.#stop = resolve))
    this.#signals(true)
    void this.#until?.then(() => this.#stop())
    this.#control.start()
    await this.#cacheSnapshot.restore()
    await this.#openAdmin()
    this.#every(SAMPLE_MS, () => this.#recent.sample(performance.now()))
    this.#every(STATUS_MS, () => this.#look())
    this.#readiness.start()
    const died = await Promise.race([stopped, this.#thread.ended])
    return typeof died === 'string' ? this.#die(died) : this.#shutDown()
  }

  // Down.

  async #shutDown(): Promise<number> {
    this.#stopping = true
    this.#log.info('stopping')
    this.#readiness.close()
    void this.#notifier.stopping('answering the last queries')
    for (const timer of this.#timers) clearInterval(timer)
    await this.#cacheSnapshot.save()
    // Peers are told first, so that they stop sending clients here while we still answer.
    await this.#control.close()
    await this.#thread.close(DRAIN_MS)
    await this.#admin.close()
    this.#signals(false)
    this.#log.info('stopped')
    this.#notifier.close()
    return 0
  }

  async #die(why: string): Promise<number> {
    this.#log.error('the data thread died', { err: why })
    for (const timer of this.#timers) clearInterval(timer)
    await this.#admin.close()
    this.#signals(false)
    return 1
  }

  // What the data thread says.

  #receive(message: Up): void {
    switch (message.type) {
      case 'listening': {
        const { address, port, transport, inherited } = message
        this.#readiness.bound(message)
        this.#say('info', 'listening', {
          address,
          port,
          transport,
          ...(inherited ? { inherited } : {}),
        })
        break
      }
      case 'bindFailed':
        this.#say('warn', 'cannot bind, will try again', {
          address: message.address,
          port: message.port,
          transport: message.transport,
          err: message.error,
        })
        break
      case 'log':
        this.#say(message.level, message.msg, message.fields)
        break
      default:
    }
  }

  /** A change of state: a line in the log and one in the status page's list. */
  #say(
    level: 'debug' | 'info' | 'warn' | 'error',
    msg: string,
    fields: Record<string, unknown> = {},
  ): void {
    this.#log[level](msg, fields)
    if (level === 'debug') return
    const words = Object.entries(fields).map(
      ([k, v]) => `${k} ${typeof v === 'string' ? v : JSON.stringify(v)}`,
    )
    this.#events.add(Date.now(), level, [msg, ...words].join(', '))
  }

  // What is known of ourselves.

  async #sayReady(): Promise<void> {
    optimise()
    // /readyz must agree with what is said here.
    await this.#look()
    const took = Math.round(process.uptime() * 1000)
    this.#log.info('ready', { addresses: this.#readiness.listen.map(showEndpoint), took })
    await this.#notifier.ready(this.#answering())
    // If it cannot be loaded, each scrape says so.
    await this.#metrics.prepare().catch(() => {})
    relax()
  }

  #answering(): string {
    return `answering on ${this.#readiness.listen.map(l => l.address).join(' ')}`
  }

  async #look(): Promise<void> {
    try {
      this.#data = await this.#thread.status()
      this.#dataAt = performance.now()
    } catch {
      // Its silence is what the health judges by.
    }
  }

  #health(data: DataStatus | undefined): Health {
    const masters = this.#control.mastersStatus()
    return judge({
      listen: this.#readiness.listen,
      data,
      dataAge: performance.now() - this.#dataAt,
      selfQueries: this.#readiness.latest,
      stopping: this.#stopping,
      reloadError: this.#reloadError,
      masters: masters && {
        count: masters.list.length,
        age: masters.at === 0 ? 0 : Date.now() - masters.at,
        error: masters.error,
      },
      notes: this.#control.notes(),
    })
  }

  #status(): Promise<Status> {
    return gatherStatus(
      {
        node: this.#config.node,
        version: version(),
        startedAt: this.#startedAt,
        data: async () => {
          await this.#look()
          return this.#data
        },
        health: data => this.#health(data),
        config: () => ({ file: this.#path, loadedAt: this.#configAt, error: this.#reloadError }),
        snapshot: () => ({
          number: this.#control.snapshot?.number ?? 0,
          at: this.#control.snapshot?.at ?? 0,
        }),
        listen: () => this.#readiness.addresses(),
        masters: () => this.#control.mastersStatus(),
        routes: () => this.#control.routeList(),
        zones: () => this.#control.zoneSources(),
        gossip: () => this.#control.gossipStatus(),
        recent: this.#recent,
        events: this.#events,
      },
      Date.now(),
      performance.now(),
    )
  }

  #readings() {
    const masters = this.#control.mastersStatus()
    const snapshot = this.#control.snapshot
    const health = this.#health(this.#data)
    return {
      ready: health.ready,
      degraded: health.degraded,
      ...(snapshot ? { snapshot: { number: snapshot.number, at: snapshot.at / 1000 } } : {}),
      ...(masters ? { masters: { count: masters.list.length, at: masters.at / 1000 } } : {}),
      reloads: this.#reloads,
      reloadsFailed: this.#reloadsFailed,
      selfQueriesFailed: this.#readiness.failed,
      data: this.#data,
    }
  }

  async #openAdmin(): Promise<void> {
    const { listen, socket } = this.#config.admin
    if (listen && !isLoopback(listen.address)) {
      this.#say('warn', 'the admin server can be read from other hosts', {
        address: listen.address,
      })
    }
    for (const where of [
      ...(listen ? [listen] : []),
      ...(socket === '' ? [] : [{ path: socket }]),
    ]) {
      try {
        const at = await this.#admin.listen(where)
        this.#log.info(
          'admin',
          'path' in at ? { socket: at.path } : { address: at.address, port: at.port },
        )
      } catch (er) {
        // DNS does not depend on it.
        this.#say('error', 'the admin server cannot listen', { err: messageOf(er) })
      }
    }
  }

  // Signals.

  #signals(on: boolean): void {
    const listen = on ? process.on.bind(process) : process.off.bind(process)
    listen('SIGTERM', this.#onStop)
    listen('SIGINT', this.#onStop)
    listen('SIGHUP', this.#onReload)
    listen('SIGUSR1', this.#onSummary)
    listen('SIGUSR2', this.#onFlush)
  }

  readonly #onStop = (): void => this.#stop()

  /** One after the other: of two reloads the later one's file is what stays. */
  readonly #onReload = (): void => {
    this.#reloading = this.#reloading.then(() => this.#reload())
  }

  async #reload(): Promise<void> {
    if (this.#stopping) return
    void this.#notifier.reloading()
    this.#reloads++
    try {
      const config = await readConfigAside(this.#path)
      if (this.#stopping) return
      this.#control.reload(config)
      const fixed =
        JSON.stringify([
          this.#config.listen,
          this.#config.io,
          this.#config.admin,
          this.#config.cache,
        ]) !== JSON.stringify([config.listen, config.io, config.admin, config.cache])
      this.#config = config
      this.#configAt = Date.now()
      this.#reloadError = ''
      this.#say(
        'info',
        'reloaded',
        fixed ? { note: 'listen, io, admin and cache need a restart' } : {},
      )
    } catch (er) {
      this.#reloadsFailed++
      this.#reloadError = complaint(this.#path, er)
      this.#say('error', 'reload refused, the old configuration stays', { err: this.#reloadError })
    }
    void this.#notifier.ready(this.#answering())
  }

  readonly #onSummary = (): void => {
    void this.#status().then(status =>
      this.#log.info('summary', { status: { ...status, events: undefined, qps: undefined } }),
    )
  }

  readonly #onFlush = (): void => {
    void this.#thread
      .flush('')
      .then(count => this.#say('info', 'cache flushed', { entries: count }))
      .catch((er: unknown) => this.#say('warn', 'cache not flushed', { err: messageOf(er) }))
  }

  #every(ms: number, work: () => void): void {
    this.#timers.push(setInterval(work, ms).unref())
  }

  #dataStart(listen: readonly Endpoint[]): DataThreadStart {
    const { cache, race, limits, io, node, identity } = this.#config
    return {
      node,
      version: version(),
      io,
      listen,
      inherited: this.#inherited,
      counters: this.#memory,
      cache,
      tcp: { maxConnections: limits.tcpConnections, idle: limits.tcpIdle },
      race: { ...race, retransmit: RETRANSMIT_MS },
      maxInFlight: limits.inFlight,
      identity,
    }
  }
}
