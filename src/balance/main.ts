/**
 * The process of `spartan balance`: follows the VIP table of the daemon on this host and programs the kernel. The
 * rules stay when it ends, so that connections to VIPs continue; the next start replaces the rules in one
 * transaction. Only `--cleanup` removes them.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Backoff } from '../base/backoff.ts'
import { messageOf } from '../base/error.ts'
import { tune } from '../base/heap.ts'
import { createLog } from '../base/journal.ts'
import type { Log } from '../base/log.ts'
import { version } from '../base/version.ts'
import type { Config } from '../config/config.ts'
import { askDaemon } from '../http/admin-client.ts'
import { followDaemon } from '../http/admin-stream.ts'
import type { FeedLine } from '../vip/feed.ts'
import { DEFAULT_RANGE_V4, DEFAULT_RANGE_V6 } from '../vip/hash/vip-address.ts'
import { Balancer } from './balancer.ts'
import { hostNotes, probeFeatures } from './features.ts'
import { forgetPrefix, NftKernel } from './kernel.ts'
import { prefixesOf } from './prefixes.ts'
import { Received, type ReceivedTable } from './received.ts'
import { bridges, removeRoutes, Routes } from './routes.ts'
import { removeAll, type Layout } from './ruleset.ts'
import { runTool } from './run-tool.ts'

/** Interval of checks, so that changes without an event are found within 30 s. */
const CHECK_MS = 25_000

const layoutOf = ({ vips, balance }: Config): Layout => {
  const { range = DEFAULT_RANGE_V4, range6 = DEFAULT_RANGE_V6, enableIpv6 = true } = vips ?? {}
  return {
    prefixes: { 4: prefixesOf(range.min, range.max), 6: prefixesOf(range6.min, range6.max) },
    affinity: balance.affinity,
    ipv6: enableIpv6,
  }
}

/** Removes tables, routes and UDP flows; returns the exit status. */
export const cleanUp = async (config: Config): Promise<number> => {
  const { status, error } = await runTool('nft', ['-f', '-'], removeAll())
  await removeRoutes()
  const { prefixes } = layoutOf(config)
  for (const prefix of [...prefixes[4], ...prefixes[6]]) await forgetPrefix(prefix)
  if (status === 0) return 0
  process.stderr.write(`spartan: the rules cannot be taken away: ${error}\n`)
  return 1
}

/** Runs until a signal; returns the exit status. */
export const runBalancer = async (config: Config): Promise<number> => {
  const log = createLog(config.log.level, { node: config.node, part: 'balance' })
  if (config.admin.socket === '') {
    log.error('admin.socket is not configured, and the VIPs come over it')
    return 2
  }
  const layout = layoutOf(config)
  const features = await probeFeatures(layout)
  for (const missing of features.missing) log.warn('this host lacks something', { what: missing })
  if (!features.works) {
    log.error('VIPs cannot be balanced on this host', { missing: features.missing })
    return 1
  }
  tune()
  log.info('starting', { version: version(), pid: process.pid })
  const stop = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort())
  await new Balance(
    config,
    { ...layout, ipv6: layout.ipv6 && features.ipv6 },
    features.missing,
    log,
  ).run(stop.signal)
  log.info('stopped, the rules stay')
  return 0
}

class Balance {
  readonly #socket: string
  readonly #layout: Layout
  readonly #missing: readonly string[]
  readonly #log: Log
  readonly #received = new Received()
  readonly #kernel: NftKernel
  readonly #balancer: Balancer
  readonly #routes = new Routes()
  #routed = ''
  #notes: readonly string[] = []
  /** Rules of an earlier run are in the kernel: only a complete table may replace them. */
  #adopting = false
  #version = ''
  #reporting = false
  #reportAgain = false

  constructor(config: Config, layout: Layout, missing: readonly string[], log: Log) {
    this.#socket = config.admin.socket
    this.#layout = layout
    this.#missing = missing
    this.#log = log
    this.#kernel = new NftKernel(
      change => this.#balancer.foreign(change),
      err =>
        log.warn('nft monitor ended and is started again; meanwhile a flush may be missed', {
          err,
        }),
    )
    this.#balancer = new Balancer({
      kernel: this.#kernel,
      layout,
      prefer: config.balance.prefer,
      log,
      now: () => performance.now(),
      links: bridges,
      onSync: version => {
        this.#version = version ?? ''
        this.#report()
      },
    })
  }

  async run(stop: AbortSignal): Promise<void> {
    this.#adopting = (await this.#kernel.tables()).length > 0
    this.#kernel.watch()
    this.#tellNotes()
    const timer = setInterval(() => void this.#check(), CHECK_MS)
    await this.#follow(stop)
    clearInterval(timer)
    this.#kernel.close()
    await this.#balancer.close()
  }

  async #follow(stop: AbortSignal): Promise<void> {
    const backoff = new Backoff({ minMs: 200, maxMs: 2_000, random: Math.random })
    let logged = ''
    while (!stop.aborted) {
      try {
        const since = encodeURIComponent(this.#received.since)
        await followDaemon(
          this.#socket,
          `/v1/vips/changes?since=${since}`,
          text => {
            logged = ''
            backoff.reset()
            this.#line(text)
          },
          stop,
        )
      } catch (er) {
        // The daemon restarts at times; the rules stay unchanged meanwhile.
        if (logged !== messageOf(er))
          this.#log.warn('no VIPs from the daemon, the rules stay', { err: messageOf(er) })
        logged = messageOf(er)
      }
      this.#received.broken()
      await sleep(backoff.next(), undefined, { signal: stop }).catch(() => {})
    }
  }

  #line(text: string): void {
    if (!this.#received.take(JSON.parse(text) as FeedLine)) return
    const { table } = this.#received
    if (!table || (this.#adopting && !table.loaded)) return
    this.#adopting = false
    this.#balancer.take(table)
    void this.#route(table)
  }

  /** Routes depend on this agent's addresses and the numeric VIPs. */
  async #route({ vips, own4, own6 }: ReceivedTable, again = false): Promise<void> {
    const single = [...vips.values()]
      .filter(({ name }) => name === '')
      .flatMap(({ addresses }) => addresses)
    const wanted = JSON.stringify([own4, own6, single])
    if (wanted === this.#routed && !again) return
    this.#routed = wanted
    const { prefixes, ipv6 } = this.#layout
    const notes = await this.#routes.ensure({
      prefixes: [...prefixes[4], ...(ipv6 ? prefixes[6] : [])],
      single: [...new Set(single)],
      own4,
      own6,
    })
    this.#tellNotes(notes)
  }

  async #check(): Promise<void> {
    await this.#balancer.check()
    const { table } = this.#received
    if (table && !this.#adopting) await this.#route(table, true)
    this.#report()
  }

  #tellNotes(routes: readonly string[] = []): void {
    const notes = [...this.#missing, ...hostNotes(), ...routes]
    for (const note of notes)
      if (!this.#notes.includes(note)) this.#log.warn('of this host', { note })
    this.#notes = notes
  }

  /** Reports the kernel's state to the daemon. One report at a time; a newer one replaces the waiting one. */
  #report(): void {
    this.#reportAgain = true
    if (!this.#reporting) void this.#send()
  }

  async #send(): Promise<void> {
    this.#reporting = true
    while (this.#reportAgain && this.#received.session !== '') {
      this.#reportAgain = false
      const { session } = this.#received
      const body = { session, version: this.#version, report: this.#balancer.report(this.#notes) }
      const target = { socket: this.#socket, listen: undefined }
      await askDaemon(target, { method: 'POST', path: '/v1/vips/programmed', body }).catch(
        (er: unknown) => this.#log.debug('the daemon took no report', { err: messageOf(er) }),
      )
    }
    this.#reporting = false
  }
}
