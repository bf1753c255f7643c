/** One daemon of the demo: a child process of this program, its log lines read as they come. */
import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fail } from '../base/error.ts'

/** A daemon that is not ready by then will not be. */
const READY_MS = 60_000

export class Daemon {
  readonly name: string
  readonly #args: readonly string[]
  readonly #onLine: (line: Record<string, unknown>) => void
  #child: ChildProcess | undefined
  #ended: Promise<void> = Promise.resolve()

  /** `onLine` hears each log line. */
  constructor(
    name: string,
    args: readonly string[],
    onLine: (line: Record<string, unknown>) => void = () => {},
  ) {
    this.name = name
    this.#args = args
    this.#onLine = onLine
  }

  /** Resolves when it says that it is ready; rejects with ESTATE, and its last words, if it ends before. */
  start(): Promise<void> {
    const main = process.argv[1] ?? ''
    const child = spawn(process.execPath, [main, ...this.#args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    // However this program ends (`spartan demo | head` ends it at once), what it started ends, too.
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

  /** Ends it as a crash would. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL')
    await this.#ended
  }

  /** Ends it as a service manager would. */
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
