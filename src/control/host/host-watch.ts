/**
 * This host's address and networks, followed: at boot it has none yet, and a
 * container's network begins long after us.
 */
import type { Milliseconds } from '../../boundary/messages.ts'

/** How often it is looked. */
const LOOK_MS: Milliseconds = 2_000

export type HostWatchOptions = {
  /** Where other nodes reach this one, now. */
  readonly address: () => string
  /** Who may ask because of the networks attached now, as CIDR; undefined while the configuration says who. */
  readonly allow: () => readonly string[] | undefined
  readonly onAddress: () => void
  readonly onAllow: (allow: readonly string[]) => void
}

export class HostWatch {
  readonly #options: HostWatchOptions
  #address: string
  #allow: string
  readonly #timer: NodeJS.Timeout

  /** Tells only what is different from what is known now. */
  constructor(options: HostWatchOptions, allow: readonly string[]) {
    this.#options = options
    this.#address = options.address()
    this.#allow = allow.join()
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref()
  }

  /** The configuration was read again, and these may ask now. */
  reloaded(allow: readonly string[]): void {
    this.#allow = allow.join()
  }

  #look(): void {
    const allow = this.#options.allow()
    if (allow && allow.join() !== this.#allow) {
      this.#allow = allow.join()
      this.#options.onAllow(allow)
    }
    const address = this.#options.address()
    if (address === this.#address) return
    this.#address = address
    this.#options.onAddress()
  }

  close(): void {
    clearInterval(this.#timer)
  }
}
