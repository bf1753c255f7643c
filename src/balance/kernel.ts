/**
 * The kernel as the balancer uses it: transactions of nft, UDP flows to
 * forget, and a watch for changes by others. Thin; what is done is decided in
 * balancer.ts.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Flow } from './services.ts'
import { nftFamily, TABLE } from './ruleset.ts'
import { runTool } from './run-tool.ts'
import type { Family } from './services.ts'
import { MonitorReader } from './watch.ts'

export type ForeignChange =
  | { readonly kind: 'changed'; readonly by: string; readonly what: string }
  | { readonly kind: 'unseen' }

export interface Kernel {
  /** Applies a text of nft as one transaction; '' or what is wrong. */
  apply(text: string): Promise<string>
  /** Which of our tables exist. */
  tables(): Promise<readonly Family[]>
  /** A map of ours as nft lists it; undefined if that fails. */
  list(family: Family, map: string): Promise<string | undefined>
  /** Forgets UDP flows; how many there were. */
  forget(flows: readonly Flow[]): Promise<number>
}

/** Calls of conntrack at a time. */
const AT_ONCE = 4
/** Own processes that the monitor may still report. */
const REMEMBERED = 64
/** After a transaction of ours its report may take this long. */
const REPORT_MS = 300
const RESTART_MS = 1_000

export class NftKernel implements Kernel {
  readonly #onForeign: (change: ForeignChange) => void
  readonly #own = new Set<number>()
  #monitor: ChildProcess | undefined
  #timer: NodeJS.Timeout | undefined
  #closed = false
  /** Whether process ids in reports are those that we see; not so in a container with its own. */
  #comparable = false
  #applying = 0
  #appliedAt = -Infinity

  constructor(onForeign: (change: ForeignChange) => void) {
    this.#onForeign = onForeign
  }

  /** Watches until closed. A monitor that ends is started again, and what it missed counts as a change. */
  watch(): void {
    if (this.#closed) return
    const reader = new MonitorReader()
    // The kernel ends it with this process: a monitor writes nothing while nothing
    // changes, so a broken pipe would not end it after a kill -9.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'nft', 'monitor'], {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { ...process.env, LC_ALL: 'C', PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
    })
    this.#monitor = child
    createInterface({ input: child.stdout }).on('line', line => {
      const seen = reader.line(line)
      if (!seen || seen.kind === 'other' || this.#isOwn(seen.pid)) return
      this.#onForeign(seen)
    })
    let ended = false
    const again = (): void => {
      if (ended || this.#closed) return
      ended = true
      this.#timer = setTimeout(() => {
        this.watch()
        this.#onForeign({ kind: 'unseen' })
      }, RESTART_MS)
    }
    child.once('error', again)
    child.once('exit', again)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#monitor?.kill('SIGKILL')
  }

  async apply(text: string): Promise<string> {
    this.#applying++
    try {
      const { status, error } = await runTool('nft', ['-f', '-'], text, pid => this.#remember(pid))
      return status === 0 ? '' : error || `nft ended with ${status}`
    } finally {
      this.#applying--
      this.#appliedAt = performance.now()
    }
  }

  async tables(): Promise<readonly Family[]> {
    const { out } = await runTool('nft', ['list', 'tables'])
    const lines = new Set(out.split('\n').map(line => line.trim()))
    return ([4, 6] as const).filter(family => lines.has(`table ${nftFamily(family)} ${TABLE}`))
  }

  async list(family: Family, map: string): Promise<string | undefined> {
    const { status, out } = await runTool('nft', ['list', 'map', nftFamily(family), TABLE, map])
    return status === 0 ? out : undefined
  }

  async forget(flows: readonly Flow[]): Promise<number> {
    let forgotten = 0
    const queue = [...flows]
    const work = async (): Promise<void> => {
      for (let flow = queue.shift(); flow; flow = queue.shift()) {
        const { address, port, to, toPort } = flow
        const family = address.includes(':') ? ['-f', 'ipv6'] : []
        // Its status 1 says that nothing matched.
        const { error } = await runTool('conntrack', [
          ...['-D', ...family, '-p', 'udp', '--orig-dst', address],
          ...[
            '--orig-port-dst',
            String(port),
            '--reply-src',
            to,
            '--reply-port-src',
            String(toPort),
          ],
        ])
        forgotten += Number(/(\d+) flow entries have been deleted/.exec(error)?.[1] ?? 0)
      }
    }
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, flows.length) }, work))
    return forgotten
  }

  #remember(pid: number): void {
    this.#own.add(pid)
    for (const old of this.#own) {
      if (this.#own.size <= REMEMBERED) break
      this.#own.delete(old)
    }
  }

  #isOwn(pid: number): boolean {
    if (this.#own.has(pid)) return (this.#comparable = true)
    return (
      !this.#comparable && (this.#applying > 0 || performance.now() - this.#appliedAt < REPORT_MS)
    )
  }
}

/** Takes flows of a whole prefix out of conntrack, as far as that works: for `--cleanup`. */
export const forgetPrefix = async (prefix: string): Promise<void> => {
  const family = prefix.includes(':') ? ['-f', 'ipv6'] : []
  await runTool('conntrack', ['-D', ...family, '-p', 'udp', '--orig-dst', prefix])
}

export type Probe = { readonly works: boolean; readonly why: string }

/** Whether the kernel and nft can hold this text; nothing is changed. */
export const probe = async (text: string): Promise<Probe> => {
  const { status, error } = await runTool('nft', ['-c', '-f', '-'], text)
  return { works: status === 0, why: error }
}
