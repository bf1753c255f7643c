/**
 * `spartan mesos-dns`: the server for the masters as a program. Reads the
 * configuration, serves until it is told to stop, and tells the service
 * manager how it stands.
 */
import { readFileSync } from 'node:fs'
import { lookup } from 'node:dns/promises'
import { networkInterfaces } from 'node:os'
import { messageOf } from '../error.ts'
import { createLog, type Log } from '../log.ts'
import { Notifier } from '../ops/systemd.ts'
import { plainQuery } from '../resolve/question.ts'
import { version } from '../version.ts'
import { TYPE } from '../wire/codes.ts'
import { nameWire } from '../wire/name.ts'
import { nameservers, readConfig, type ReadConfig } from './config.ts'
import { mastersHttp } from './credentials.ts'
import { staticMasters } from './master-list.ts'
import { MesosDnsServer, type ServerMeans } from './server.ts'
import { ZkMasters } from './zk-masters.ts'

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
  let server: MesosDnsServer
  let log: Log
  try {
    const read = readConfig(options.configPath, localResolvers)
    log = options.log ?? createLog('info', { part: 'mesos-dns' })
    server = created(read, log, options.io)
  } catch (er) {
    process.stderr.write(`${messageOf(er)}\n`)
    return 2
  }
  const notifier = await Notifier.open(process.env)
  let stop = (): void => {}
  // a signal's name is no reason to have died
  const told = new Promise<void>(resolve => (stop = () => resolve()))
  const signals = ['SIGTERM', 'SIGINT'] as const
  if (options.until) void options.until.then(stop, stop)
  else for (const signal of signals) process.on(signal, stop)
  log.info('starting', { version: version(), config: options.configPath, pid: process.pid })
  server.start()
  void server.ready.then(() => {
    log.info('ready')
    return notifier.ready('serving')
  })
  const watchdog = feed(server, notifier)
  const died = await Promise.race([told, server.ended])
  clearInterval(watchdog)
  for (const signal of signals) process.off(signal, stop)
  if (typeof died === 'string') log.error('the data thread died', { err: died })
  else log.info('stopping')
  await notifier.stopping('answering the last queries')
  await server.close(typeof died === 'string' ? 0 : DRAIN_MS)
  notifier.close()
  return typeof died === 'string' ? 1 : 0
}

const created = (
  { settings, warnings }: ReadConfig,
  log: Log,
  io: ServerMeans['io'],
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
    http: mastersHttp(settings),
    masters,
    resolve: async host => (await lookup(host, { all: true })).map(({ address }) => address),
    random: Math.random,
    ...(io === undefined ? {} : { io }),
  })
}

/** The watchdog hears of answers, not of time passing; undefined if there is none. */
const feed = (server: MesosDnsServer, notifier: Notifier): NodeJS.Timeout | undefined => {
  if (notifier.watchdogMs === 0) return undefined
  const question = plainQuery(nameWire('leader.mesos') ?? Buffer.alloc(1), TYPE.A)
  return setInterval(() => {
    server.ask(question).then(
      () => notifier.watchdog(),
      () => {},
    )
  }, notifier.watchdogMs / 3)
}
