/**
 * The environment of a bench: its own loopback addresses, a folder for the servers' files, and one core for each
 * side if the machine has two.
 */
import { execFileSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Endpoint } from '../../src/boundary/messages.ts'

/** The environment of one server. */
export type Place = {
  /** Its own folder, empty at first. */
  readonly dir: string
  readonly address: string
  readonly port: number
  readonly adminPort: number
  readonly upstreams: readonly Endpoint[]
  /** VIP files that spartan serves; [] for none. */
  readonly vipFiles: readonly string[]
  /** Addresses of the nodes that gossip with each other; [] for no gossip. */
  readonly ring: readonly string[]
}

/** Addresses of one bench: 127.a.b.* and a port, chosen at random so that two benches do not collide. */
export class Ground {
  readonly dir = mkdtempSync(join(tmpdir(), 'spartan-bench-'))
  readonly #net = `127.${randomInt(64, 128)}.${randomInt(256)}`
  /** Port of every server; metrics use the next port. Each server has its own address. */
  readonly port = 20_000 + randomInt(5_000) * 2
  /** Cores that this process may use, as the kernel lists them. */
  readonly #self: string
  /** The servers' core; '' if there are not two. */
  readonly #core: string

  constructor() {
    this.#self = allowedCores()
    const cores = coreNumbers(this.#self)
    const two = cores.length >= 2 && availableParallelism() >= 2 && hasTaskset()
    this.#core = two ? String(cores[1]) : ''
    if (two) restrict(process.pid, String(cores[0]))
  }

  /** An address; 1 to 99 for servers, 101 on for upstreams, 201 on for clients. */
  address(n: number): string {
    return `${this.#net}.${n}`
  }

  /** The command prefix for a server, which lets it start on all cores as it usually would. */
  get free(): readonly string[] {
    return this.#core ? ['taskset', '-c', this.#self] : []
  }

  /** Restricts a started server to the servers' core. */
  pin(pid: number): void {
    if (this.#core) restrict(pid, this.#core)
  }

  close(): void {
    if (this.#core) restrict(process.pid, this.#self)
    rmSync(this.dir, { recursive: true, force: true })
  }
}

const allowedCores = (): string => {
  try {
    const status = readFileSync('/proc/self/status', 'latin1')
    return /^Cpus_allowed_list:\s+(\S+)$/m.exec(status)?.[1] ?? ''
  } catch {
    return ''
  }
}

/** '0-2,5' as numbers. */
const coreNumbers = (list: string): number[] =>
  list.split(',').flatMap(part => {
    const [from = NaN, to = from] = part.split('-').map(Number)
    return Number.isNaN(from) ? [] : Array.from({ length: to - from + 1 }, (_, i) => from + i)
  })

const hasTaskset = (): boolean => {
  try {
    execFileSync('taskset', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** Restricts all current and future threads of a process to some cores. */
const restrict = (pid: number, cores: string): void => {
  execFileSync('taskset', ['-a', '-p', '-c', cores, String(pid)], { stdio: 'ignore' })
}
