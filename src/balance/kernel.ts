/**
 * The balancer's access to the kernel: nft transactions, removal of UDP flows, and news of changes that other
 * programs made to the rules. All decisions are in balancer.ts.
 */
import { readFileSync } from 'node:fs'
import { Monitor } from './monitor.ts'
import type { Flow } from './services.ts'
import { nftFamily, TABLE } from './ruleset.ts'
import { runTool } from './run-tool.ts'
import type { Family } from './services.ts'

export type ForeignChange =
  | { readonly kind: 'changed'; readonly by: string; readonly what: string }
  | { readonly kind: 'unseen' }
  /** Our tables were changed, by ourselves or by another program at that moment. */
  | { readonly kind: 'perhaps' }

export interface Kernel {
  /** Runs an nft script as one transaction; returns '' or the error. */
  apply(text: string): Promise<string>
  /** Which of our tables exist. */
  tables(): Promise<readonly Family[]>
  /** A map of ours as nft prints it; undefined on failure. */
  list(family: Family, map: string): Promise<string | undefined>
  /** The tracked connections of a family as conntrack prints them; '' if they are unknown or too many to list. */
  flows(family: Family): Promise<string>
  /** Removes UDP flows; returns how many there were. */
  forget(flows: readonly Flow[]): Promise<number>
}

/** Limit of conntrack commands that run at the same time. */
const AT_ONCE = 4
/** Limit of our own processes that are remembered because the monitor may still report them. */
const REMEMBERED = 64
/** How long the report of our own transaction may take. */
const REPORT_MS = 300
/** Listing more connections than this would cost more than their count is worth. */
const MOST_FLOWS = 50_000

/** Number of tracked connections; 0 if the kernel does not tell. */
const trackedFlows = (): number => {
  try {
    return Number(readFileSync('/proc/sys/net/netfilter/nf_conntrack_count', 'latin1')) || 0
  } catch {
    return 0
  }
}

export class NftKernel implements Kernel {
  readonly #monitor: Monitor
  readonly #own = new Set<number>()
  /** Whether process ids in reports can be compared with ours; false in a container with its own PID namespace. */
  #comparable = false
  #applying = 0
  #appliedAt = -Infinity

  /** `onEnd` gets the error output of a monitor that ended; it is started again. */
  constructor(onForeign: (change: ForeignChange) => void, onEnd: (error: string) => void) {
    this.#monitor = new Monitor({
      onSeen: seen => {
        if (seen.kind === 'other' || this.#isOwn(seen.pid)) return
        if (!this.#mayBeOwn()) onForeign(seen)
        else if (seen.kind === 'changed') onForeign({ kind: 'perhaps' })
      },
      onGap: () => onForeign({ kind: 'unseen' }),
      onEnd,
    })
  }

  /** Watches until closed. Changes that may have been missed count as a change. */
  watch(): void {
    this.#monitor.start()
  }

  close(): void {
    this.#monitor.close()
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

  async flows(family: Family): Promise<string> {
    if (trackedFlows() > MOST_FLOWS) return ''
    const { out } = await runTool('conntrack', ['-L', '-f', `ipv${family}`])
    return out
  }

  async forget(flows: readonly Flow[]): Promise<number> {
    let forgotten = 0
    const queue = [...flows]
    const work = async (): Promise<void> => {
      for (let flow = queue.shift(); flow; flow = queue.shift()) {
        const { address, port, to, toPort } = flow
        const family = address.includes(':') ? ['-f', 'ipv6'] : []
        // Exit status 1 means that no flow matched.
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
    if (!this.#own.has(pid)) return false
    this.#comparable = true
    return true
  }

  #mayBeOwn(): boolean {
    if (this.#comparable) return false
    return this.#applying > 0 || performance.now() - this.#appliedAt < REPORT_MS
  }
}

/** Removes the flows of a whole prefix from conntrack as far as possible: for `--cleanup`. */
export const forgetPrefix = async (prefix: string): Promise<void> => {
  const family = prefix.includes(':') ? ['-f', 'ipv6'] : []
  await runTool('conntrack', ['-D', ...family, '-p', 'udp', '--orig-dst', prefix])
}

export type Probe = { readonly works: boolean; readonly why: string }

/** Whether the kernel and nft accept this script. Changes nothing. */
export const probe = async (text: string): Promise<Probe> => {
  const { status, error } = await runTool('nft', ['-c', '-f', '-'], text)
  return { works: status === 0, why: error }
}
