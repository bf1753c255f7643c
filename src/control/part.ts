/**
 * A part of the daemon that may fail without taking DNS with it: a source of
 * knowledge (masters, Mesos, VIPs, gossip), a zone, a server for operators.
 * Each is started, reloaded, shown and closed in the same way (parts.ts).
 */
import type { Config } from '../config/config.ts'
import type { Reason } from '../boundary/health.ts'
import type { Route } from '../http/route.ts'
import type { Metrics } from '../ops/metrics.ts'

export interface Part {
  /** As it is called in the log, in the status and in config/applies.ts. */
  readonly name: string
  /** False while the configuration does not ask for it. Without this method it always runs. */
  wanted?(config: Config): boolean
  /**
   * Begins with this configuration. What it throws is reported, and it is
   * called again later; it may then find what an earlier call left half done.
   */
  start(config: Config): Promise<void> | void
  /**
   * Goes over to another configuration; called when a key of its own has
   * changed. Without this method the part is closed and started again.
   */
  reload?(before: Config, after: Config): Promise<void> | void
  /** Of these changed keys those that it cannot apply while it runs. */
  needsRestart?(before: Config, after: Config, keys: readonly string[]): readonly string[]
  /** Ends all that it does; `start` may follow. Called also when a start failed or hangs. */
  close(): Promise<void> | void
  /** What is wrong with it although it runs. */
  status?(): readonly Reason[]
  /** What can be asked for over the admin server. */
  routes?(): readonly Route[]
  /** Hands over its metric families, once. */
  metrics?(to: Metrics): void
}
