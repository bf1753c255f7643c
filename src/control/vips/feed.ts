/**
 * The VIP table as a stream of changes for the balancer (vip/feed.ts), and the balancers' reports. Each change of
 * the table has a number, and each VIP the number of its last change, so that a reader that reconnects only gets
 * what it missed. Removed VIPs are remembered up to a limit; a reader that was away for longer gets the whole table.
 */
import { randomBytes } from 'node:crypto'
import { familyOf } from '../../base/ip.ts'
import type { BalanceAck, BalanceReport, FeedBackend, FeedVersion } from '../../vip/feed.ts'
import { vipKey, type Backend, type Protocol } from '../../vip/record.ts'
import type { ShownVip } from '../../vip/table.ts'

/** The actual address of a backend on this agent, by 'tcp 10.0.0.1 31000'. */
export type LocalBackends = ReadonlyMap<string, { readonly ip: string; readonly port: number }>

export const localKey = (protocol: Protocol, ip: string, port: number): string =>
  `${protocol} ${ip} ${port}`

/** The VIP service's current table. */
export type FeedTable = {
  readonly vips: readonly ShownVip[]
  readonly local: LocalBackends
  /** False while the daemon does not know all VIPs yet. */
  readonly loaded: boolean
  /** Addresses of this agent; '' for none. */
  readonly own4: string
  readonly own6: string
}

/** Limit of removed VIPs that are remembered. */
const DROPPED = 10_000
/** Limit of lines in one piece of a stream. */
const PIECE = 500
/** How often an idle stream sends a line, because the admin server closes silent connections after 30 s. */
const ALIVE_MS = 10_000

type Held = {
  readonly vip: ShownVip
  readonly local: LocalBackends
  readonly text: string
  readonly at: number
}
type Session = { acked: number; report: BalanceReport | undefined; since: number }

/** The last report of a connected balancer. */
export type Connected = {
  /** Number of the table that it has programmed. */
  readonly acked: number
  readonly report: BalanceReport
  /** Unix milliseconds of its first report. */
  readonly since: number
}

export class VipFeed {
  readonly #epoch = randomBytes(6).toString('hex')
  readonly #now: () => number
  readonly #held = new Map<string, Held>()
  readonly #dropped = new Map<string, number>()
  readonly #sessions = new Map<string, Session>()
  readonly #waiting = new Set<() => void>()
  readonly #listeners = new Set<() => void>()
  #table: FeedTable = { vips: [], local: new Map(), loaded: false, own4: '', own6: '' }
  /** Number of the last change, and of the oldest change that is remembered. */
  #number = 0
  #floor = 0
  /** No balancer has read the table yet, so nothing was computed from it. */
  #idle = true

  /** `now` in Unix milliseconds. */
  constructor(now: () => number = Date.now) {
    this.#now = now
  }

  /** Called when a balancer connects, reports or disconnects. */
  onBalancer(listener: () => void): void {
    this.#listeners.add(listener)
  }

  /** The balancer that has programmed the newest table; undefined if none is connected. */
  get connected(): Connected | undefined {
    let best: Connected | undefined
    for (const { acked, report, since } of this.#sessions.values())
      if (report && (!best || acked > best.acked)) best = { acked, report, since }
    return best
  }

  get number(): number {
    return this.#number
  }

  /** The number of a VIP's last change; 0 if it is not in the table. */
  changedAt(key: string): number {
    return this.#held.get(key)?.at ?? 0
  }

  /** Updates the table; returns the number of its last change. */
  offer(table: FeedTable): number {
    const before = this.#table
    this.#table = table
    if (this.#idle) return this.#number
    const at = this.#number + 1
    const moved = before.own4 !== table.own4 || before.own6 !== table.own6
    if (this.#update(table, at, moved) || moved || before.loaded !== table.loaded) {
      this.#number = at
      for (const wake of [...this.#waiting]) wake()
    }
    return this.#number
  }

  /** Handles a balancer's report. False if its stream is not open. */
  acknowledge({ session, version, report }: BalanceAck): boolean {
    const known = this.#sessions.get(session)
    if (!known) return false
    const [epoch, digits = ''] = version.split('-')
    if (epoch === this.#epoch && /^\d{1,15}$/.test(digits))
      known.acked = Math.max(known.acked, Math.min(Number(digits), this.#number))
    if (!known.report) known.since = this.#now()
    known.report = report
    this.#tell()
    return true
  }

  /** Lines after the version `since` ('' for all), until `gone` is aborted. */
  async *lines(since: string, gone: AbortSignal): AsyncGenerator<string> {
    this.#wake()
    const session = randomBytes(6).toString('hex')
    this.#sessions.set(session, { acked: -1, report: undefined, since: 0 })
    try {
      yield line({ session })
      let sent = this.#resumed(since)
      while (!gone.aborted) {
        if (sent < this.#number) {
          const number = this.#number
          const pieces = [...this.#changes(sent)]
          for (const piece of pieces) yield piece
          sent = number
        } else if (!(await this.#change(gone))) yield line({ alive: true })
      }
    } finally {
      const had = this.#sessions.get(session)?.report
      this.#sessions.delete(session)
      if (had) this.#tell()
    }
  }

  #tell(): void {
    for (const listener of this.#listeners) listener()
  }

  /** The first reader is here: computes the table, which was only remembered so far. */
  #wake(): void {
    if (!this.#idle) return
    this.#idle = false
    this.#number = 1
    this.#update(this.#table, 1)
  }

  /** The number after which to continue; -1 if the reader must start from the beginning. */
  #resumed(since: string): number {
    const [epoch, digits = ''] = since.split('-')
    const number = /^\d{1,15}$/.test(digits) ? Number(digits) : -1
    return epoch === this.#epoch && number >= this.#floor && number <= this.#number ? number : -1
  }

  /** Whether anything differs from the remembered table. */
  #update({ vips, local, own4, own6 }: FeedTable, at: number, all = false): boolean {
    let changed = false
    const present = new Set<string>()
    for (const vip of vips) {
      const key = vipKey(vip)
      present.add(key)
      const had = this.#held.get(key)
      // The records and the container addresses keep their identity while they do not change.
      if (
        had &&
        !all &&
        had.local === local &&
        had.vip.backends === vip.backends &&
        had.vip.address4 === vip.address4 &&
        had.vip.address6 === vip.address6
      )
        continue
      const text = line({ set: feedVip(key, vip, local, [own4, own6]) })
      const same = had?.text === text
      this.#held.set(key, { vip, local, text, at: same ? had.at : at })
      this.#dropped.delete(key)
      changed ||= !same
    }
    if (present.size === this.#held.size) return changed
    for (const key of this.#held.keys()) {
      if (present.has(key)) continue
      this.#held.delete(key)
      this.#dropped.set(key, at)
      changed = true
    }
    for (const [key, number] of this.#dropped) {
      if (this.#dropped.size <= DROPPED) break
      this.#dropped.delete(key)
      this.#floor = Math.max(this.#floor, number)
    }
    return changed
  }

  /** All changes after a number, in pieces of many lines, followed by the version. */
  *#changes(after: number): Generator<string> {
    let lines = after < 0 ? [line({ reset: true })] : []
    for (const { text, at } of this.#held.values()) {
      if (at <= after) continue
      lines.push(text)
      if (lines.length < PIECE) continue
      yield lines.join('')
      lines = []
    }
    if (after >= 0)
      for (const [key, at] of this.#dropped) if (at > after) lines.push(line({ drop: key }))
    const { loaded, own4, own6 } = this.#table
    const version: FeedVersion = { version: `${this.#epoch}-${this.#number}`, loaded, own4, own6 }
    lines.push(line(version))
    yield lines.join('')
  }

  /** True when the table has changed, false when an idle line is due. */
  #change(gone: AbortSignal): Promise<boolean> {
    return new Promise(resolve => {
      const end = (changed: boolean): void => {
        clearTimeout(timer)
        this.#waiting.delete(wake)
        gone.removeEventListener('abort', wake)
        resolve(changed)
      }
      const wake = (): void => end(true)
      const timer = setTimeout(() => end(false), ALIVE_MS).unref()
      this.#waiting.add(wake)
      gone.addEventListener('abort', wake)
    })
  }
}

const line = (value: unknown): string => `${JSON.stringify(value)}\n`

const feedVip = (
  key: string,
  { name, protocol, port, address4, address6, backends }: ShownVip,
  local: LocalBackends,
  own: readonly string[],
) => ({
  key,
  name,
  protocol,
  port,
  addresses: [address4, address6].filter(Boolean),
  backends: backends.map(backend => feedBackend(protocol, backend, local, own)),
})

const feedBackend = (
  protocol: Protocol,
  { ip, port, weight }: Backend,
  local: LocalBackends,
  own: readonly string[],
): FeedBackend => {
  const there = local.get(localKey(protocol, ip, port))
  const elsewhere = there && (there.ip !== ip || there.port !== port)
  return {
    ip,
    port,
    weight,
    ...(elsewhere && familyOf(there.ip) === familyOf(ip) ? { via: there } : {}),
    ...(there || own.includes(ip) ? { local: true as const } : {}),
  }
}
