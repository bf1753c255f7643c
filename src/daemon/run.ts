/**
 * The life of the process that `spartan run` is: reads the configuration, runs
 * the daemon, and ends in bounded time with a status, whatever hangs. Signals
 * are heard from the first moment.
 */
import { createLog } from '../base/journal.ts'
import { hostAddresses } from '../control/host/host-addresses.ts'
import { readConfigAside } from '../config/aside.ts'
import type { Config } from '../config/config.ts'
import { loadExit } from '../ops/socket-calls.ts'
import { Notifier } from '../ops/systemd.ts'
import { Daemon } from './daemon.ts'
import type { DataThread } from './data-thread-host.ts'
import { inherit } from './inherit.ts'
import { complaint } from './reloader.ts'

export type RunOptions = {
  readonly configPath: string
  /** What is in that file, when somebody has begun to read it already. */
  readonly reading?: Promise<Config>
  /** Its data thread, when somebody has begun to load that already. */
  readonly thread?: DataThread
}

/** From SIGTERM to the end of the process, whatever hangs. */
const STOP_MS = 2_900

/** Runs until a signal or a failure ends it; the exit status. */
export const runDaemon = async ({ configPath, reading, thread }: RunOptions): Promise<number> => {
  const stop = new Promise<void>(resolve => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve())
  })
  const stopped = stop.then(() => 'stopped' as const)
  void stop.then(endInTime)
  let config: Config | 'stopped'
  try {
    config = await Promise.race([stopped, reading ?? readConfigAside(configPath)])
  } catch (er) {
    process.stderr.write(`${complaint(configPath, er)}\n`)
    return 2
  }
  // Whatever holds up the reading must not hold up the end.
  if (config === 'stopped') return exitNow(0)
  const log = createLog(config.log.level, { node: config.node })
  const notifier = await Notifier.open(process.env)
  const listen = config.listen.addresses.flatMap(at => hostAddresses(at))
  const inherited = await inherit(listen, log)
  const daemon = new Daemon({ config, configPath, thread, log, notifier, listen, inherited })
  const { status, hanging } = await daemon.run(stop)
  return hanging.length > 0 ? exitNow(status) : status
}

/** Ends the process when it has not ended by itself in time; that is a failure. */
const endInTime = (): void => {
  setTimeout(() => {
    process.stderr.write(`spartan: still not ended after ${STOP_MS} ms, ended by force\n`)
    void exitNow(1)
  }, STOP_MS).unref()
}

const exitNow = async (status: number): Promise<number> => {
  const exit = await loadExit()
  exit(status)
  return status
}
