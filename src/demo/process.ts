/** One daemon of the demo: a child process of this program, whose log lines are read. */
import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fail } from '../base/error.ts'

/** Limit of the time until a daemon is ready. */
const READY_MS = 60_000

export class Daemon {
  readonly name: string
  readonly #args: readonly string[]
  readonly #onLine: (line: Record<string, unknown>) => void
  #child: ChildProcess | undefined
  #ended: Promise<void> = Promise.resolve()

  /** `onLine` gets each log line. */
  constructor(
    name: string,
    args: readonly string[],
    onLine: (line: Record<string, unknown>) => void = () => {},
  ) {
    this.name = name
    this.#args = args
    this.#onLine = onLine
  }

  /** Resolves when the daemon is ready. Rejects with ESTATE and its last output if it ends before. */
  start(): Promise<void> {
    const main = process.argv[1] ?? ''
    const child = spawn(process.execPath, [main, ...this.#args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    // Ends the child whenever this program ends, for example by a broken pipe in `spartan demo | head`.
    const orphaned = (): void => void child.kill('SIGTERM')
    process.once('exit', orphaned)
    child.once('exit', () => process.off('exit', orphaned))
    this.#ended = new Promise(resolve => child.once('exit', () => resolve()))
    let last = ''
    child.stderr.on('data', (text: Buffer) => (last = text.toString().trim() || last))
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(fail(`${this.name} is not ready: ${last}`, 'ESTATE')),
        READY_MS,
      )
      createInterface({ input: child.stdout }).on('line', text => {
        const line = parsed(text)
        if (!line) return
        if (line['level'] === 'error') last = text
        this.#onLine(line)
        if (line['msg'] !== 'ready') return
        clearTimeout(timer)
        resolve()
      })
      child.once('exit', code => {
        clearTimeout(timer)
        reject(fail(`${this.name} ended with status ${code}: ${last}`, 'ESTATE'))
      })
    })
  }

  /** Ends it like a crash. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL')
    await this.#ended
  }

  /** Ends it like a service manager. */
  async stop(): Promise<void> {
    this.#child?.kill('SIGTERM')
    await this.#ended
  }
}

const parsed = (text: string): Record<string, unknown> | undefined => {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return undefined
  }
}
