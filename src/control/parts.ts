/** Starts, reloads, shows and closes all parts of the daemon. */
import type { Log } from '../base/log.ts'
import type { Reason } from '../boundary/health.ts'
import type { Milliseconds } from '../boundary/messages.ts'
import type { Config } from '../config/config.ts'
import { planReload, type ReloadPlan } from '../config/reload-plan.ts'
import type { Route } from '../http/route.ts'
import type { Metrics } from '../ops/metrics.ts'
import type { PartStatus } from '../ops/status.ts'
import type { Part } from './part.ts'
import { Supervised } from './supervised.ts'

export type PartsOptions = { readonly log: Log; readonly random: () => number }

export class Parts {
  readonly #options: PartsOptions
  readonly #all: Supervised[] = []

  constructor(options: PartsOptions) {
    this.#options = options
  }

  /** Call before `start`. Parts are started and shown in this order. */
  add(...parts: readonly Part[]): void {
    for (const part of parts)
      this.#all.push(new Supervised({ ...this.#options, part, now: Date.now }))
  }

  /** Starts all parts. Resolves after the first attempt of each; DNS does not wait for it. */
  async start(config: Config): Promise<void> {
    await Promise.all(this.#all.map(one => one.start(config)))
  }

  /**
   * Reloads every part whose keys have changed, one after the other. Never rejects: a part that fails is retried,
   * and shown as failed until it runs.
   * @param always names of parts that are included although none of their keys has changed
   * @param use called with the new configuration before the first part is reloaded
   */
  async reload(
    running: Config,
    wanted: Config,
    always: readonly string[] = [],
    use: (next: Config) => void = () => {},
  ): Promise<ReloadPlan> {
    const first = planReload(running, wanted)
    const refused = this.#all.flatMap(({ part }) =>
      (part.needsRestart?.(running, wanted, keysOf(first, part.name)) ?? []).slice(),
    )
    const plan = planReload(running, wanted, refused)
    use(plan.next)
    for (const one of this.#all)
      if (keysOf(plan, one.part.name).length > 0 || always.includes(one.part.name))
        await one.reload(running, plan.next)
    return plan
  }

  status(): PartStatus[] {
    return this.#all.map(one => one.status)
  }

  trouble(): Reason[] {
    return this.#all.flatMap(one => one.trouble())
  }

  routes(): Route[] {
    return this.#all.flatMap(({ part }) => part.routes?.() ?? [])
  }

  metrics(to: Metrics): void {
    for (const { part } of this.#all) part.metrics?.(to)
  }

  /** Lets all parts write what the next process reads. Resolves after `ms` at the latest; never rejects. */
  async save(ms: Milliseconds): Promise<void> {
    await Promise.allSettled(this.#all.map(one => one.save(ms)))
  }

  /** Closes all parts at the same time; resolves after `ms` at the latest to the names of those that hang. */
  async close(ms: Milliseconds): Promise<string[]> {
    const closed = await Promise.all(this.#all.map(one => one.close(ms)))
    return this.#all.filter((_, i) => !closed[i]).map(one => one.part.name)
  }
}

const keysOf = (plan: ReloadPlan, name: string): string[] =>
  [...plan.applied].filter(([, of]) => of.some(owner => owner === name)).map(([key]) => key)
