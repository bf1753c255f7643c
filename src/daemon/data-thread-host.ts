/**
 * The main thread's side of the data thread: starts it, matches its answers to requests, and reports its end. If it
 * ends unexpectedly, the process must end, too: the service manager restarts both and holds the sockets meanwhile.
 */
import { Worker } from 'node:worker_threads'
import type {
  Begin,
  CacheEntryInfo,
  DataStatus,
  DataThreadStart,
  Down,
  Restored,
  TraceStep,
  Up,
} from '../boundary/messages.ts'
import { built } from '../base/built.ts'
import { fail } from '../base/error.ts'
import { tune } from '../base/heap.ts'

export type Answer = { readonly wire: Buffer; readonly trace: readonly TraceStep[] }

/**
 * Young generation of the data thread, MiB. A hit allocates nothing, and a miss little that survives, so a larger
 * one (Node's default semi-spaces have 16 MiB) would only take memory.
 */
const YOUNG_MB = 6

/** How long the data thread may take to answer a request about itself. */
const PATIENCE_MS = 5_000
/** The same for a restore, which only uses the time that queries leave. */
const RESTORE_MS = 60_000

type Asked = { readonly resolve: (message: Up) => void; readonly timer: NodeJS.Timeout }

export class DataThread {
  readonly #worker: Worker
  readonly #asked = new Map<number, Asked>()
  #onUp: (message: Up) => void = () => {}
  #lastId = 0
  #closing = false
  /** Resolves when the thread has ended; with a reason if that was unexpected. */
  readonly ended: Promise<string | undefined>

  /**
   * Starts the thread, which loads its code and waits for `begin`. Until then it does not keep the process alive.
   */
  constructor() {
    this.#worker = new Worker(built('data/thread.js'), {
      name: 'spartan-data',
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
    })
    this.#worker.on('message', (message: Up) => this.#receive(message))
    // What has sent a message has loaded its code.
    this.#worker.once('message', tune)
    this.ended = new Promise(resolve => {
      let why: string | undefined
      this.#worker.once(
        'error',
        er =>
          (why = `the data thread failed: ${er instanceof Error ? (er.stack ?? er.message) : String(er)}`),
      )
      this.#worker.once('exit', code =>
        resolve(this.#closing ? undefined : (why ?? `the data thread ended with code ${code}`)),
      )
    })
    this.#worker.unref()
  }

  /** Sends the start data; must be called once, before anything else. `onUp` gets messages that are not answers. */
  begin(start: DataThreadStart, onUp: (message: Up) => void): void {
    this.#onUp = onUp
    this.#worker.ref()
    const message: Begin = { type: 'begin', start }
    this.#worker.postMessage(message)
  }

  send(message: Down): void {
    this.#worker.postMessage(message)
  }

  /** The response to a query message, as a client on loopback gets it. Rejects with ESTATE if there is none. */
  async ask(wire: Uint8Array, trace = false): Promise<Answer> {
    const up = await this.#request(id => ({ type: 'ask', id, wire, trace }))
    return up.type === 'answer' ? { wire: Buffer.from(up.wire), trace: up.trace } : lost()
  }

  async status(): Promise<DataStatus> {
    const up = await this.#request(id => ({ type: 'status', id }))
    return up.type === 'status' ? up.status : lost()
  }

  /** Resolves when the thread has processed everything sent before, or has ended. */
  async caughtUp(): Promise<void> {
    await this.#request(id => ({ type: 'echo', id })).catch(() => {})
  }

  /** Removes entries at or below a name ('' for all); returns their number. */
  async flush(name: string): Promise<number> {
    const up = await this.#request(id => ({ type: 'flush', id, name }))
    return up.type === 'flushed' ? up.count : lost()
  }

  async entries(name: string, limit: number): Promise<readonly CacheEntryInfo[]> {
    const up = await this.#request(id => ({ type: 'entries', id, name, limit }))
    return up.type === 'entries' ? up.entries : lost()
  }

  async dump(): Promise<Uint8Array> {
    const up = await this.#request(id => ({ type: 'dump', id }))
    return up.type === 'dumped' ? up.bytes : lost()
  }

  /** Adds the entries of a snapshot. The memory of `bytes` goes to the data thread. */
  async restore(bytes: Uint8Array<ArrayBuffer>): Promise<Restored> {
    const up = await this.#request(id => ({ type: 'restore', id, bytes }), RESTORE_MS, [
      bytes.buffer,
    ])
    return up.type === 'restored' ? up.restored : lost()
  }

  /** Waits up to `deadline` ms for queries under way, then ends the thread. */
  async close(deadline: number): Promise<void> {
    this.#closing = true
    const drained = new Promise<void>(resolve => {
      this.#worker.on('message', (message: Up) => {
        if (message.type === 'drained') resolve()
      })
    })
    this.send({ type: 'drain', deadline })
    const late = new Promise<void>(resolve => setTimeout(resolve, deadline + 300).unref())
    await Promise.race([drained, late, this.ended])
    await this.#worker.terminate()
  }

  #request(
    message: (id: number) => Down,
    patience = PATIENCE_MS,
    transfer: readonly ArrayBuffer[] = [],
  ): Promise<Up> {
    const id = ++this.#lastId
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#asked.delete(id)
        reject(fail('the data thread did not answer', 'ESTATE'))
      }, patience).unref()
      this.#asked.set(id, { resolve, timer })
      this.#worker.postMessage(message(id), transfer)
    })
  }

  #receive(message: Up): void {
    if ('id' in message) {
      const asked = this.#asked.get(message.id)
      this.#asked.delete(message.id)
      clearTimeout(asked?.timer)
      asked?.resolve(message)
    } else this.#onUp(message)
  }
}

const lost = (): never => {
  throw fail('the data thread answered something else', 'ESTATE')
}
