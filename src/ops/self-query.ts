/**
 * Sends real queries to one of our own addresses through a real socket. Readiness and the watchdog only depend on
 * these answers, so a process that runs but does not answer counts as failed.
 */
import { createSocket, type Socket } from 'node:dgram'
import type { Endpoint, Milliseconds } from '../boundary/messages.ts'
import { codeOf, messageOf } from '../base/error.ts'
import { plainQuery } from '../wire/question.ts'
import { nameWire } from '../wire/name.ts'
import type { SelfQuery } from '../boundary/health.ts'

/** The time that a DC/OS client waits (`options timeout:1`). */
const PATIENCE_MS = 1_000
const QUESTION = 'ready.spartan'
const TYPE_A = 1

export class SelfAsker {
  readonly #at: Endpoint
  readonly #question: string
  readonly #patience: Milliseconds
  readonly #query: Buffer
  #id = 0
  /** Kept while it is answered, because opening one costs more than a query. It does not keep the process alive. */
  #socket: Socket | undefined
  /** Ends the query under way; with a reason unless it was answered well. */
  #end: ((error: string) => void) | undefined
  #closed = false

  /** `question` is a name that has an A record. */
  constructor(at: Endpoint, question = QUESTION, patience: Milliseconds = PATIENCE_MS) {
    this.#at = at
    this.#question = question
    this.#patience = patience
    this.#query = plainQuery(nameWire(question)!, TYPE_A)
  }

  /** Asks once; to be called again only when that has resolved. Never rejects. */
  ask(): Promise<SelfQuery> {
    const { address, port } = this.#at
    return new Promise(resolve => {
      const timer = setTimeout(() => this.#end?.('no answer within a second'), this.#patience)
      this.#end = error => {
        clearTimeout(timer)
        this.#end = undefined
        if (error !== '' || this.#closed) this.#drop()
        resolve({ address, port, ok: error === '', error })
      }
      this.#query.writeUInt16BE((this.#id = (this.#id + 1) & 0xffff))
      if (this.#socket) this.#socket.send(this.#query)
      else this.#open()
    })
  }

  /** Asks no more; a query under way ends as usual. */
  close(): void {
    this.#closed = true
    if (!this.#end) this.#drop()
  }

  #open(): void {
    const { address, port } = this.#at
    const socket = (this.#socket = createSocket(address.includes(':') ? 'udp6' : 'udp4').unref())
    socket.on('error', er => {
      if (socket !== this.#socket) return
      this.#drop()
      this.#end?.(codeOf(er) || messageOf(er))
    })
    socket.on('message', answer => this.#heard(answer))
    // Uses the event, because a callback would also be called when connecting fails, for example after the address
    // was removed.
    socket.once('connect', () => socket.send(this.#query))
    socket.connect(port, address)
  }

  #heard(answer: Buffer): void {
    if (answer.length >= 2 && answer.readUInt16BE() !== this.#id) return
    const well =
      answer.length > 12 &&
      (answer[2]! & 0x80) !== 0 &&
      (answer[3]! & 0x0f) === 0 &&
      answer.readUInt16BE(6) > 0
    this.#end?.(well ? '' : `answers ${this.#question} with rcode ${(answer[3] ?? 0) & 0x0f}`)
  }

  #drop(): void {
    this.#socket?.close()
    this.#socket = undefined
  }
}
