/** The daemon's view of itself: health, status, values for metrics, and the list of recent events. */
import { judge, type Health, type Reason } from '../boundary/health.ts'
import { messageOf } from '../base/error.ts'
import type { Level, Log } from '../base/log.ts'
import { version } from '../base/version.ts'
import type { ControlPlane } from '../control/control-plane.ts'
import type { Parts } from '../control/parts.ts'
import type { LoopLag } from '../ops/loop-lag.ts'
import type { MainReadings } from '../ops/metrics.ts'
import { Events, Recent } from '../ops/recent.ts'
import { gatherStatus, type Status } from '../ops/status.ts'
import { DataWatch } from './data-watch.ts'
import type { Drills } from './drill.ts'
import type { DataThread } from './data-thread-host.ts'
import type { Readiness } from './readiness.ts'
import type { Reloader } from './reloader.ts'

/** How long a bug is shown as a problem. */
const BUG_MS = 15 * 60_000

export type SelfViewOptions = {
  readonly node: string
  readonly journal: Log
  readonly drills: Drills
  readonly cacheSnapshot: { readonly failures: number }
  readonly counters: Float64Array
  readonly thread: DataThread
  readonly control: ControlPlane
  readonly parts: Parts
  readonly reloader: Reloader
  readonly readiness: Readiness
  /** The number of addresses that it listens on. */
  readonly servers: number
}

export class SelfView {
  /** True after SIGTERM. */
  stopping = false
  readonly #options: SelfViewOptions
  readonly #startedAt = Date.now()
  readonly #events = new Events()
  readonly #recent: Recent
  readonly #data: DataWatch
  #bug: { readonly at: number; readonly why: string } | undefined

  constructor(options: SelfViewOptions) {
    this.#options = options
    this.#recent = new Recent(options.counters, performance.now(), {
      cells: () => {
        const labels = options.control.routing.snapshot?.labels ?? []
        // Only our own self-queries are in the zone `spartan`.
        return { servers: options.servers, zones: labels.length, own: labels.indexOf('spartan') }
      },
    })
    this.#data = new DataWatch({
      recent: this.#recent,
      ask: () => options.thread.status(),
      answeredAt: () => options.readiness.answeredAt,
    })
  }

  /** How late the timers of this thread fire. */
  get loopLag(): LoopLag {
    return this.#data.loopLag
  }

  start(): void {
    this.#data.start()
  }

  close(): void {
    this.#data.close()
  }

  /** Reports a change of state in the log and in the list on the status page. */
  readonly log = (level: Level, msg: string, fields: Record<string, unknown> = {}): void => {
    this.#options.journal[level](msg, fields)
    if (level === 'debug') return
    const words = Object.entries(fields).map(
      ([k, v]) => `${k} ${typeof v === 'string' ? v : JSON.stringify(v)}`,
    )
    this.#events.add(Date.now(), level, [msg, ...words].join(', '))
  }

  /** Records an uncaught error. */
  bug(er: unknown): void {
    this.#bug = { at: Date.now(), why: messageOf(er) }
  }

  /** Asks the data thread for its status, for a second at most; never rejects. */
  async look(): Promise<void> {
    await this.#data.look()
  }

  async health(): Promise<Health> {
    await this.#data.look()
    return this.#judge()
  }

  #judge(): Health {
    const { control, parts, readiness, reloader } = this.#options
    const masters = control.masters.view()
    const notes: Reason[] = parts.trouble()
    if (this.#bug && Date.now() - this.#bug.at < BUG_MS)
      notes.push({ name: 'internal error', detail: this.#bug.why })
    return judge({
      listen: readiness.listen,
      data: this.#data.status,
      silence: this.#data.silence,
      selfQueries: readiness.latest,
      stopping: this.stopping,
      reloadError: reloader.status.error,
      masters: masters && {
        count: masters.list.length,
        age: masters.at === 0 ? 0 : Date.now() - masters.at,
        error: masters.error,
      },
      notes,
    })
  }

  status(): Promise<Status> {
    const { node, control, parts, readiness, reloader } = this.#options
    return gatherStatus(
      {
        node,
        version: version(),
        startedAt: this.#startedAt,
        data: () => this.#data.look(),
        health: () => this.#judge(),
        config: () => reloader.status,
        parts: () => parts.status(),
        snapshot: () => ({
          number: control.routing.snapshot?.number ?? 0,
          at: control.routing.at,
        }),
        listen: () => readiness.addresses(),
        masters: () => control.masters.view(),
        routes: () => control.routeList(),
        zones: () => control.zones.sources(),
        gossip: () => control.gossip.view(),
        mesos: () => control.mesos.view(),
        vips: () => control.vips.view(),
        recent: this.#recent,
        events: this.#events,
      },
      Date.now(),
      performance.now(),
    )
  }

  /** The data of the plots on the status page. */
  history(): ReturnType<Recent['history']> {
    const { upstreams } = this.#options.control.routing
    return this.#recent.history(Date.now(), performance.now(), upstreams)
  }

  /** Empties the cache, for an operator's signal. */
  async flush(): Promise<void> {
    try {
      this.log('info', 'cache flushed', { entries: await this.#options.thread.flush('') })
    } catch (er) {
      this.log('warn', 'cache not flushed', { err: messageOf(er) })
    }
  }

  /** Writes the status to the log. */
  async summary(): Promise<void> {
    const status = await this.status()
    this.#options.journal.info('summary', {
      status: { ...status, events: undefined, qps: undefined },
    })
  }

  readings(): MainReadings {
    const { cacheSnapshot, control, drills, parts, readiness, reloader } = this.#options
    const masters = control.masters.view()
    const { snapshot, at } = control.routing
    const health = this.#judge()
    return {
      ready: health.ready,
      degraded: health.degraded,
      ...(snapshot ? { snapshot: { number: snapshot.number, at: at / 1000 } } : {}),
      ...(masters ? { masters: { count: masters.list.length, at: masters.at / 1000 } } : {}),
      parts: parts
        .status()
        .filter(({ state }) => state !== 'off')
        .map(({ name, state }) => ({ name, up: state === 'running' })),
      snapshotFailures: cacheSnapshot.failures,
      drills: drills.running.map(({ target }) => target),
      needsRestart: reloader.status.needsRestart.length,
      reloads: reloader.reloads,
      reloadsFailed: reloader.refused,
      selfQueriesFailed: readiness.failed,
      data: this.#data.status,
    }
  }
}
