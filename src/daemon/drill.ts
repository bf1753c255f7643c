/**
 * Drills: for a limited time, this agent behaves as if its masters, its external upstreams, or all other members of
 * the gossip were lost. They are met with silence, as behind a firewall; everything else goes on. So operators can
 * see an outage before one comes. A drill ends by itself, on request, and with the daemon.
 */
import type { Level } from '../base/log.ts'
import type { Reason } from '../boundary/health.ts'
import { DRILLS, type DrillTarget, type Milliseconds } from '../boundary/messages.ts'
import type { Config } from '../config/config.ts'
import type { Part } from '../control/part.ts'
import type { AdminResponse, Route } from '../http/route.ts'

/** A longer drill must be asked for again. */
const MOST_SECONDS = 3_600

export type DrillsOptions = {
  readonly config: () => Config
  readonly send: (message: { type: 'drill'; target: DrillTarget; ms: Milliseconds }) => void
  /** Cuts the gossip off, or reconnects it. */
  readonly severGossip: (severed: boolean) => void
  readonly log: (level: Level, msg: string, fields: Record<string, unknown>) => void
  /** Unix milliseconds. */
  readonly now: () => number
}

/** A running drill. */
export type DrillStatus = {
  readonly target: DrillTarget
  /** Unix milliseconds. */
  readonly until: number
  readonly secondsLeft: number
}

const LOST: Readonly<Record<DrillTarget, string>> = {
  masters: 'the masters',
  upstreams: 'the upstreams',
  gossip: 'the other members of the gossip',
}

type Running = { readonly until: number; readonly timer: NodeJS.Timeout }

export class Drills implements Part {
  readonly name = 'drills'
  readonly #options: DrillsOptions
  readonly #running = new Map<DrillTarget, Running>()

  constructor(options: DrillsOptions) {
    this.#options = options
  }

  start(): void {}

  close(): void {
    for (const target of [...this.#running.keys()]) this.#end(target, 'the daemon stops')
  }

  get running(): DrillStatus[] {
    const now = this.#options.now()
    return [...this.#running].map(([target, { until }]) => ({
      target,
      until,
      secondsLeft: Math.max(0, Math.ceil((until - now) / 1000)),
    }))
  }

  status(): Reason[] {
    return this.running.map(({ target, secondsLeft }) => ({
      name: 'drill',
      detail: `${LOST[target]} count as lost, for ${secondsLeft} s more (spartan drill stop ends it)`,
    }))
  }

  routes(): Route[] {
    const shown = (): AdminResponse => ({ json: { drills: this.running } })
    return [
      { method: 'GET', path: '/v1/drill', handle: shown },
      {
        method: 'POST',
        path: '/v1/drill',
        handle: ({ body }) => {
          const { target, seconds } = (body ?? {}) as { target?: unknown; seconds?: unknown }
          const problem = this.begin(target, seconds)
          return problem === '' ? shown() : { status: 400, json: { error: problem } }
        },
      },
      {
        method: 'POST',
        path: '/v1/drill/stop',
        handle: () => {
          const drills = this.running
          for (const { target } of drills) this.#end(target, 'stopped')
          return { json: { stopped: drills.map(({ target }) => target) } }
        },
      },
    ]
  }

  /** Begins a drill, or changes the end of a running one. Returns what is wrong with the request, '' if nothing is. */
  begin(target: unknown, seconds: unknown): string {
    const known = DRILLS.find(one => one === target)
    if (!known) return `a drill is one of ${DRILLS.join(', ')}`
    if (typeof seconds !== 'number' || !(seconds >= 1 && seconds <= MOST_SECONDS))
      return `a drill takes 1 to ${MOST_SECONDS} seconds`
    const missing = this.#missing(known)
    if (missing !== '') return missing
    const { log, now } = this.#options
    clearTimeout(this.#running.get(known)?.timer)
    const ms = Math.round(seconds * 1000)
    const timer = setTimeout(() => this.#end(known, 'its time is over'), ms).unref()
    this.#running.set(known, { until: now() + ms, timer })
    this.#apply(known, ms)
    log('warn', `a drill begins: ${LOST[known]} count as lost`, { drill: known, seconds })
    return ''
  }

  #missing(target: DrillTarget): string {
    const { gossip, masters, upstreams, forwardZones } = this.#options.config()
    const there = {
      masters: masters !== undefined,
      upstreams: upstreams.length > 0 || Object.keys(forwardZones).length > 0,
      gossip: gossip !== undefined,
    }
    return there[target] ? '' : `no ${target} can be lost: none is configured`
  }

  #end(target: DrillTarget, why: string): void {
    const running = this.#running.get(target)
    if (!running) return
    clearTimeout(running.timer)
    this.#running.delete(target)
    this.#apply(target, 0)
    this.#options.log('warn', `a drill ends: ${LOST[target]} are asked again`, {
      drill: target,
      why,
    })
  }

  #apply(target: DrillTarget, ms: Milliseconds): void {
    if (target === 'gossip') this.#options.severGossip(ms > 0)
    else this.#options.send({ type: 'drill', target, ms })
  }
}
