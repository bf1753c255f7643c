/**
 * The interface of a part of the daemon that may fail without affecting DNS: a source of data (masters, Mesos, VIPs,
 * gossip), a zone, or a server for operators. parts.ts starts, reloads, shows and closes all parts.
 */
import type { Config } from '../config/config.ts'
import type { Reason } from '../boundary/health.ts'
import type { Route } from '../http/route.ts'
import type { Metrics } from '../ops/metrics.ts'

export interface Part {
  /** Its name in the log, in the status and in config/applies.ts. */
  readonly name: string
  /** Whether the configuration asks for the part. Without this method it always runs. */
  wanted?(config: Config): boolean
  /**
   * Starts the part. If it throws, the error is reported and it is called again later; then it must cope with what
   * the failed call left.
   */
  start(config: Config): Promise<void> | void
  /**
   * Changes to another configuration; called when a key of this part has changed. Without this method the part is
   * closed and started again.
   */
  reload?(before: Config, after: Config): Promise<void> | void
  /** Those of the changed keys that it cannot apply while it runs. */
  needsRestart?(before: Config, after: Config, keys: readonly string[]): readonly string[]
  /** Writes what the next process reads, now. */
  save?(): Promise<void>
  /** Stops everything; `start` may follow. Also called when a start failed or hangs. */
  close(): Promise<void> | void
  /** Problems of a running part. */
  status?(): readonly Reason[]
  /** Its routes on the admin server. */
  routes?(): readonly Route[]
  /** Registers its metric families; called once. */
  metrics?(to: Metrics): void
}
