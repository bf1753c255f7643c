/**
 * Messages to the service manager (sd_notify(3)): ready, reloading, stopping, a status line, and the watchdog. The
 * protocol uses a Unix datagram, which Node cannot send, so socket-calls.ts does. If that is not available, nothing
 * is sent and `reason` says why.
 */
import { closeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../base/error.ts'
import { loadSocketCalls, type SocketCalls } from './socket-calls.ts'

const AF_UNIX = 1
/** Size of sun_path. */
const PATH_LIMIT = 108
/** The queue of a busy service manager can be full for a moment, so a message is retried. */
const RETRY_MS = 50
const RETRIES = 100

/** sockaddr_un of a path, or of an abstract name written with `@`. Undefined if the text is neither. */
export const unixAddress = (name: string): Buffer | undefined => {
  const path = Buffer.from(name)
  if ((name[0] !== '/' && name[0] !== '@') || path.length < 2 || path.length >= PATH_LIMIT)
    return undefined
  const abstract = name[0] === '@'
  // An abstract name ends with the address; a path ends with a zero octet.
  const address = Buffer.alloc(2 + path.length + (abstract ? 0 : 1))
  address.writeUInt16LE(AF_UNIX)
  path.copy(address, 2)
  if (abstract) address[2] = 0
  return address
}

/** The watchdog's interval in milliseconds; 0 if it is off or for another process (sd_watchdog_enabled(3)). */
export const watchdogOf = (env: NodeJS.ProcessEnv, pid: number): number => {
  const usec = Number(env['WATCHDOG_USEC'])
  const meant = env['WATCHDOG_PID']
  if (!Number.isSafeInteger(usec) || usec <= 0) return 0
  return meant === undefined || meant === String(pid) ? usec / 1000 : 0
}

/** Sends messages to the service manager, if one started us. */
export class Notifier {
  /** Why nothing is sent, '' if messages are sent. */
  readonly reason: string
  /** The watchdog's limit in milliseconds, 0 for none. Notify it at a third of that. */
  readonly watchdogMs: number
  readonly #calls: SocketCalls | undefined
  readonly #address: Buffer | undefined
  #fd: number
  /** Keeps messages in order, even when one must be retried. */
  #last: Promise<string> = Promise.resolve('')

  private constructor(
    reason: string,
    watchdogMs: number,
    calls?: SocketCalls,
    address?: Buffer,
    fd = -1,
  ) {
    this.reason = reason
    this.watchdogMs = watchdogMs
    this.#calls = calls
    this.#address = address
    this.#fd = fd
  }

  /**
   * Reads NOTIFY_SOCKET and WATCHDOG_* and removes them from `env`, so that child processes cannot send in our name.
   * Never rejects.
   */
  static async open(env: NodeJS.ProcessEnv, pid: number = process.pid): Promise<Notifier> {
    const name = env['NOTIFY_SOCKET'] ?? ''
    const watchdogMs = watchdogOf(env, pid)
    for (const key of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete env[key]
    if (name === '') return new Notifier('not started by a service manager', 0)
    const address = unixAddress(name)
    if (!address) return new Notifier(`NOTIFY_SOCKET is no address we know: ${name}`, 0)
    try {
      const calls = await loadSocketCalls()
      const fd = calls.unixDatagram()
      return fd < 0
        ? new Notifier('no socket for it', 0)
        : new Notifier('', watchdogMs, calls, address, fd)
    } catch (er) {
      return new Notifier(`system calls cannot be bound: ${messageOf(er)}`, 0)
    }
  }

  /** Reports that we serve; also ends a reload. Resolves to an errno name, '' once sent. */
  ready(status: string): Promise<string> {
    return this.#send('READY=1', `STATUS=${oneLine(status)}`)
  }

  /** Sets the status line of `systemctl status`. */
  status(text: string): Promise<string> {
    return this.#send(`STATUS=${oneLine(text)}`)
  }

  /**
   * Reports that a reload began. `ready` must follow, even if the reload is refused. The time is required by
   * Type=notify-reload.
   */
  reloading(): Promise<string> {
    return this.#send('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`)
  }

  stopping(status: string): Promise<string> {
    return this.#send('STOPPING=1', `STATUS=${oneLine(status)}`)
  }

  /** Notifies the watchdog. Call it after a real answer, never from a mere timer. */
  watchdog(): Promise<string> {
    return this.#send('WATCHDOG=1')
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd)
    this.#fd = -1
  }

  #send(...lines: string[]): Promise<string> {
    return (this.#last = this.#last.then(() => this.#deliver(Buffer.from(lines.join('\n')))))
  }

  async #deliver(bytes: Buffer): Promise<string> {
    for (let tries = 0; ; tries++) {
      if (this.#fd < 0 || !this.#calls || !this.#address) return 'ENOTCONN'
      const errno = this.#calls.sendTo(this.#fd, bytes, this.#address)
      if ((errno !== 'EAGAIN' && errno !== 'ENOBUFS') || tries === RETRIES) return errno
      await sleep(RETRY_MS)
    }
  }
}

/** A newline would begin another assignment. */
const oneLine = (text: string): string => text.replace(/\s+/g, ' ').trim()
