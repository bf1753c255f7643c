/**
 * `nft monitor` as a child process, always running: started again when it ends, and replaced when it has grown,
 * because nft 1.0.6 keeps every element that was ever added to a map (660 octets each).
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { toolEnv } from './run-tool.ts'
import { MonitorReader, type Seen } from './watch.ts'

export type MonitorEvents = {
  /** A transaction by any program, this one included. */
  readonly onSeen: (seen: Seen) => void
  /** For a moment nobody watched: changes may have been missed. */
  readonly onGap: () => void
  /** It ended by itself and is started again after a second; with its error output. */
  readonly onEnd: (error: string) => void
}

const RESTART_MS = 1_000
const MONITOR = ['nft', 'monitor'] as const
/**
 * The kernel kills the monitor with this process. A broken pipe would not end it after a kill -9, because it writes
 * only when something changes. The filter of spartan-balance.service forbids setpriv; there, systemd ends the monitor.
 */
const BIND = ['setpriv', '--pdeathsig', 'KILL'] as const
/** Limit of its error output that is kept. */
const MOST_ERROR = 1_000
/** Memory that it may take, in KiB; twice what it has after its first transaction, if that is more. */
const MOST_MEMORY = 48 * 1024

/** Resident memory of a process in KiB; 0 if the kernel does not tell. */
const residentOf = (pid: number | undefined): number => {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1')
    return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0)
  } catch {
    return 0
  }
}

export class Monitor {
  readonly #events: MonitorEvents
  readonly #most: number
  /** Whether the monitor is bound to this process; false where setpriv is missing or forbidden. */
  #bound = true
  #child: ChildProcess | undefined
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(events: MonitorEvents, most = MOST_MEMORY) {
    this.#events = events
    this.#most = most
  }

  start(): void {
    if (this.#closed) return
    const [command = '', ...args] = this.#bound ? [...BIND, ...MONITOR] : MONITOR
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: toolEnv(),
    })
    this.#child = child
    let error = ''
    child.stderr.setEncoding('utf8').on('data', (part: string) => {
      if (error.length < MOST_ERROR) error += part
    })
    const grown = this.#growth(child.pid)
    let [ended, replaced] = [false, false]
    const reader = new MonitorReader()
    createInterface({ input: child.stdout }).on('line', line => {
      const seen = reader.line(line)
      if (!seen || this.#closed) return
      this.#events.onSeen(seen)
      if (grown()) {
        replaced = true
        child.kill('SIGKILL')
      }
    })
    const again = (cannotRun?: unknown): void => {
      if (ended || this.#closed) return
      ended = true
      if (this.#bound && (cannotRun instanceof Error || error.startsWith(BIND[0]))) {
        this.#bound = false
        return this.start()
      }
      if (replaced) return this.#restart()
      this.#events.onEnd(error.trim().split('\n')[0] ?? '')
      this.#timer = setTimeout(() => this.#restart(), RESTART_MS)
    }
    child.once('error', again)
    child.once('close', () => again())
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#child?.kill('SIGKILL')
  }

  #restart(): void {
    this.start()
    this.#events.onGap()
  }

  /** Whether a monitor has grown too large, asked after each transaction. */
  #growth(pid: number | undefined): () => boolean {
    let most = 0
    return () => {
      const now = residentOf(pid)
      if (most === 0) most = Math.max(this.#most, 2 * now)
      return now > most
    }
  }
}
