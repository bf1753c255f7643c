/** A server as a child process: started on its core, checked until it answers, and always ended. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fail } from '../../src/base/error.ts'
import type { Ground, Place } from './place.ts'
import type { Server } from './servers.ts'

/** A server that has not answered by then will not. */
const START_MS = 60_000
/** Between looks for an answer. */
const ASK_EVERY_MS = 20
/** From SIGTERM to SIGKILL. */
const STOP_MS = 2_000
/** Octets of a server's last output that are shown if it does not start. */
const LAST_WORDS = 2_000

/** Running children; they are ended together with the bench. */
const children = new Set<ChildProcess>()
let guarded = false
const guard = (): void => {
  if (guarded) return
  guarded = true
  process.on('exit', () => children.forEach(child => child.kill('SIGKILL')))
}

export class Running {
  readonly server: Server
  readonly place: Place
  /** Milliseconds from the start to "ready", or to the first answer. */
  readonly readyMs: number
  readonly #child: ChildProcess

  private constructor(server: Server, place: Place, child: ChildProcess, readyMs: number) {
    this.server = server
    this.place = place
    this.readyMs = readyMs
    this.#child = child
  }

  /**
   * Starts a server, waits until it answers, and pins it to its core. Rejects with ESTATE and the server's output.
   */
  static async start(server: Server, place: Place, ground: Ground): Promise<Running> {
    guard()
    const [file = '', ...args] = [...ground.free, ...server.command(place)]
    const since = performance.now()
    const child = spawn(file, args, { cwd: place.dir, stdio: ['ignore', 'pipe', 'pipe'] })
    children.add(child)
    child.on('exit', () => children.delete(child))
    let said = ''
    const keep = (text: Buffer): void => void (said = (said + text).slice(-LAST_WORDS))
    child.stderr.on('data', keep)
    child.stdout.on('data', keep)
    const gone = new AbortController()
    try {
      await Promise.race([
        server.tellsReady ? toldReady(child) : answers(place, gone.signal),
        ended(child),
        late(gone.signal),
      ])
    } catch (er) {
      child.kill('SIGKILL')
      throw fail(`${server.name} did not start: ${said.trim() || String(er)}`, 'ESTATE', {
        cause: er,
      })
    } finally {
      gone.abort()
    }
    const readyMs = performance.now() - since
    ground.pin(child.pid ?? -1)
    return new Running(server, place, child, readyMs)
  }

  get pid(): number {
    return this.#child.pid ?? -1
  }

  /** Ends the server and waits for its exit. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const over = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    const hard = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS)
    await over
    clearTimeout(hard)
  }
}

const ended = async (child: ChildProcess): Promise<never> => {
  const [status] = (await once(child, 'exit')) as [number | null]
  throw fail(`it ended with status ${status}`, 'ESTATE')
}

const late = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    const timer = setTimeout(() => reject(fail('it took too long', 'ESTATE')), START_MS)
    signal.addEventListener('abort', () => clearTimeout(timer))
  })

/** Waits for the log line with "msg":"ready". */
const toldReady = (child: ChildProcess): Promise<void> =>
  new Promise(resolve => {
    createInterface({ input: child.stdout! }).on('line', line => {
      if (line.includes('"msg":"ready"')) resolve()
    })
  })

/** Asks until an answer without an error arrives. */
const answers = (place: Place, signal: AbortSignal): Promise<void> =>
  new Promise(resolve => {
    const query = Buffer.from(
      '0007010000010000000000000573746172740562656e6368076578616d706c65036f72670000010001',
      'hex',
    )
    const socket = createSocket('udp4')
    const timer = setInterval(() => socket.send(query, place.port, place.address), ASK_EVERY_MS)
    signal.addEventListener('abort', () => {
      clearInterval(timer)
      socket.close()
    })
    socket.on('error', () => {})
    socket.on('message', response => {
      if (response.length > query.length && (response[3]! & 15) === 0) resolve()
    })
  })
