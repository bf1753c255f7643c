/**
 * `spartan mesos-dns`: the server for the masters as a program. Reads the
 * configuration, serves until it is told to stop, and tells the service
 * manager how it stands.
 */
import { readFileSync } from 'node:fs'
import { lookup } from 'node:dns/promises'
import { networkInterfaces } from 'node:os'
import { messageOf } from '../base/error.ts'
import { createLog } from '../base/journal.ts'
import type { Log } from '../base/log.ts'
import { Notifier } from '../ops/systemd.ts'
import { plainQuery } from '../wire/question.ts'
import { version } from '../base/version.ts'
import { TYPE } from '../wire/codes.ts'
import { nameWire } from '../wire/name.ts'
import { bindTrouble } from './bindable.ts'
import { nameservers, readConfig, type ReadConfig } from './config.ts'
import { mastersHttp } from './credentials.ts'
import { staticMasters } from '../mesos/master-list.ts'
import { MesosDnsServer, type ServerMeans } from './server.ts'
import { ZkMasters } from '../mesos/zookeeper/masters.ts'

export type MesosDnsOptions = {
  readonly configPath: string
  /** Resolves when it should stop; default: SIGTERM or SIGINT. */
  readonly until?: Promise<unknown>
  /** Its log; default: JSON lines on standard output. */
  readonly log?: Log
  readonly io?: ServerMeans['io']
}

/** How long queries may go on after SIGTERM. */
const DRAIN_MS = 2_000

/** The nameservers that this host would ask, itself left out. */
const localResolvers = (): readonly string[] => {
  const own = Object.values(networkInterfaces()).flatMap(list => (list ?? []).map(of => of.address))
  try {
    return nameservers(readFileSync('/etc/resolv.conf', 'utf8'), new Set(own))
  } catch {
    return []
  }
}

/** Runs until told to stop; the exit status: 0 done, 1 failed, 2 a configuration that cannot be used. */
export const runMesosDns = async (options: MesosDnsOptions): Promise<number> => {
  let read: ReadConfig
  try {
    read = readConfig(options.configPath, localResolvers)
  } catch (er) {
    process.stderr.write(`${messageOf(er)}\n`)
    return 2
  }
  const log = options.log ?? createLog('info', { part: 'mesos-dns' })
  const program = new Program(options, log, await Notifier.open(process.env))
  return program.run(read)
}

/** The running program: one server, and while another configuration comes in, a second. */
class Program {
  readonly #options: MesosDnsOptions
  readonly #log: Log
  readonly #notifier: Notifier
  #server: MesosDnsServer | undefined
  /** The server of a newer configuration that has no state yet. */
  #next: MesosDnsServer | undefined
  #end: (why: string | undefined) => void = () => {}
  #reloads = { reloads: 0, refused: 0, error: '' }

  constructor(options: MesosDnsOptions, log: Log, notifier: Notifier) {
    this.#options = options
    this.#log = log
    this.#notifier = notifier
  }

  async run(read: ReadConfig): Promise<number> {
    const { until, configPath } = this.#options
    const log = this.#log
    const ended = new Promise<string | undefined>(resolve => (this.#end = resolve))
    // a signal's name is no reason to have died
    const stop = (): void => this.#end(undefined)
    const reload = (): void => this.#reload()
    const signals = ['SIGTERM', 'SIGINT'] as const
    if (until) void until.then(stop, stop)
    else for (const signal of signals) process.on(signal, stop)
    process.on('SIGHUP', reload)
    log.info('starting', { version: version(), config: configPath, pid: process.pid })
    try {
      this.#server = this.#serve(read, async () => true)
    } catch (er) {
      process.stderr.write(`${messageOf(er)}\n`)
      return 2
    }
    void this.#server.ready.then(() => {
      log.info('ready')
      return this.#notifier.ready('serving')
    })
    const watchdog = this.#feed()
    const died = await ended
    clearInterval(watchdog)
    process.off('SIGHUP', reload)
    for (const signal of signals) process.off(signal, stop)
    if (died !== undefined) log.error('the data thread died', { err: died })
    else log.info('stopping')
    await this.#notifier.stopping('answering the last queries')
    await Promise.all([this.#server.close(died === undefined ? DRAIN_MS : 0), this.#next?.close()])
    this.#notifier.close()
    return died === undefined ? 0 : 1
  }

  /**
   * Another configuration. Its server first learns a state of its own; then
   * the old one stops and it listens in its place, within milliseconds. If it
   * could not listen, the old one stays.
   */
  #reload(): void {
    const log = this.#log
    let read: ReadConfig
    let next: MesosDnsServer
    this.#reloads.reloads++
    try {
      read = readConfig(this.#options.configPath, localResolvers)
      next = this.#serve(read, () => this.#takeOver(next))
    } catch (er) {
      this.#refused(messageOf(er))
      return
    }
    log.info('reloading; what is served stays until the new configuration has a state')
    void this.#next?.close()
    this.#next = next
    void next.ready.then(() => {
      this.#reloads.error = ''
      log.info('reloaded')
    })
  }

  #refused(why: string): void {
    this.#reloads.refused++
    this.#reloads.error = why
    this.#log.error('reload refused, the old configuration stays', { err: why })
  }

  /** The old server stops, but only if the next one can listen. */
  async #takeOver(next: MesosDnsServer): Promise<boolean> {
    const old = this.#server
    const trouble = old ? await bindTrouble(next.places, old.places) : ''
    if (next !== this.#next) return false
    this.#next = undefined
    if (trouble !== '') {
      this.#refused(trouble)
      void next.close(0)
      return false
    }
    this.#server = next
    await old?.close(0)
    return true
  }

  #serve(read: ReadConfig, takeOver: () => Promise<boolean>): MesosDnsServer {
    const { io } = this.#options
    const server = created(read, this.#log, {
      takeOver,
      reloads: () => this.#reloads,
      ...(io === undefined ? {} : { io }),
    })
    void server.ended.then(why => {
      if (why === undefined) return
      if (server !== this.#next) return this.#end(why)
      this.#next = undefined
      this.#log.error('the new configuration died before it served; the old one stays', {
        err: why,
      })
      void server.close(0)
    })
    server.start()
    return server
  }

  /** The watchdog hears of answers, not of time passing; undefined if there is none. */
  #feed(): NodeJS.Timeout | undefined {
    const notifier = this.#notifier
    if (notifier.watchdogMs === 0) return undefined
    const question = plainQuery(nameWire('leader.mesos') ?? Buffer.alloc(1), TYPE.A)
    return setInterval(() => {
      this.#server?.ask(question).then(
        () => notifier.watchdog(),
        () => {},
      )
    }, notifier.watchdogMs / 3)
  }
}

const created = (
  { settings, warnings }: ReadConfig,
  log: Log,
  means: Pick<ServerMeans, 'takeOver' | 'reloads' | 'io'>,
): MesosDnsServer => {
  for (const warning of warnings) log.warn(warning)
  const masters =
    settings.zk === ''
      ? staticMasters(settings.masters)
      : new ZkMasters({
          url: settings.zk,
          fallback: settings.masters,
          detectionMs: settings.zkDetectionMs,
          log,
          random: Math.random,
        })
  return new MesosDnsServer(settings, {
    log,
    version: version(),
    http: mastersHttp(settings, log),
    masters,
    ...means,
    resolve: async host => (await lookup(host, { all: true })).map(({ address }) => address),
    random: Math.random,
  })
}
