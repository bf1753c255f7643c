/**
 * The process of `spartan run`: reads the configuration, runs the daemon, and ends in bounded time with an exit
 * status, even if something hangs. Signals are handled from the first moment.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { createLog } from '../base/journal.ts'
import { readConfigAside } from '../config/aside.ts'
import type { Config } from '../config/config.ts'
import { loadExit } from '../ops/socket-calls.ts'
import { Notifier } from '../ops/systemd.ts'
import { Daemon } from './daemon.ts'
import type { DataThread } from './data-thread-host.ts'
import { handoverFolder, prepareHandover } from './handover.ts'
import { inherit } from './inherit.ts'
import { complaint } from './reloader.ts'

export type RunOptions = {
  readonly configPath: string
  /** The content of that file, if reading has already begun. */
  readonly reading?: Promise<Config>
  /** The data thread, if it has already been started. */
  readonly thread?: DataThread
  /** Answer only while another daemon restarts (handover.ts). */
  readonly handover?: boolean
}

/** Pause after a configuration that cannot be used, under a service manager. */
const REFUSED_MS = 5_000
/** Limit of the time from SIGTERM to the end of the process. */
const STOP_MS = 2_900

/** Runs until a signal or a failure; returns the exit status. */
export const runDaemon = async ({
  configPath,
  reading,
  thread,
  handover = false,
}: RunOptions): Promise<number> => {
  const stop = new Promise<void>(resolve => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve())
  })
  // koffi takes 10 ms to load, which pass here while the configuration is read.
  void loadExit()
  const stopped = stop.then(() => 'stopped' as const)
  void stop.then(endInTime)
  let config: Config | 'stopped'
  try {
    config = await Promise.race([stopped, reading ?? readConfigAside(configPath)])
  } catch (er) {
    process.stderr.write(`${complaint(configPath, er)}\n`)
    // The service manager would start us again at once.
    if (process.env['NOTIFY_SOCKET'] && !handover) await Promise.race([stopped, pause(REFUSED_MS)])
    return 2
  }
  // A read that hangs must not delay the end.
  if (config === 'stopped') return exitNow(0)
  const log = createLog(config.log.level, { node: config.node })
  if (handover) config = await prepareHandover(config, handoverFolder(process.env), log)
  const notifier = await Notifier.open(process.env)
  const listening = await inherit(config, log)
  const daemon = new Daemon({ config, configPath, thread, log, notifier, handover, ...listening })
  // Node would spend some more time on its own end, while nobody answers.
  return exitNow(await daemon.run(stop))
}

/** Ends the process if it has not ended in time; that counts as a failure. */
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
