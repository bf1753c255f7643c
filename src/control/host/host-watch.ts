/**
 * Watches this host's address and networks: at boot there is no address yet, and networks of containers appear
 * later.
 */
import { together } from '../../base/together.ts'
import type { Milliseconds } from '../../boundary/messages.ts'

/** Interval of the checks. */
const LOOK_MS: Milliseconds = 5_000

export type HostWatchOptions = {
  /** The current address at which other nodes reach this one. */
  readonly address: () => string
  /** Allowed networks, derived from the attached ones, as CIDR; undefined if the configuration sets them. */
  readonly allow: () => readonly string[] | undefined
  readonly onAddress: () => void
  readonly onAllow: (allow: readonly string[]) => void
}

export class HostWatch {
  readonly #options: HostWatchOptions
  #address: string
  #allow: string
  readonly #end: () => void

  /** Calls back only for differences from the current values. */
  constructor(options: HostWatchOptions, allow: readonly string[]) {
    this.#options = options
    this.#address = options.address()
    this.#allow = allow.join()
    this.#end = together(LOOK_MS, () => this.#look())
  }

  /** The configuration was read again with these allowed networks. */
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
    this.#end()
  }
}
