/** Watches this host's address and networks while the daemon runs, and calls back on changes. */
import { defaultAllow } from '../../config/host.ts'
import type { Config } from '../../config/config.ts'
import type { Environment } from '../environment.ts'
import type { Part } from '../part.ts'
import { HostWatch } from './host-watch.ts'

/** How often a node's facts are published again, as in dcos-net. */
const FACTS_MS = 30 * 60_000

export type HostPartOptions = Pick<Environment, 'log' | 'attached' | 'ownIp'> & {
  /** Called when the address of this host has changed, and every half hour. */
  readonly onAddress: () => void
  /** Called when the allowed networks have changed with the attached ones. */
  readonly onAllow: (allow: readonly string[]) => void
}

export class HostPart implements Part {
  readonly name = 'host'
  readonly #options: HostPartOptions
  #watch: HostWatch | undefined
  #timer: NodeJS.Timeout | undefined
  #follows = true

  constructor(options: HostPartOptions) {
    this.#options = options
  }

  start(config: Config): void {
    const { log, attached, ownIp, onAddress, onAllow } = this.#options
    this.#follows = config.allowAttached
    this.#watch = new HostWatch(
      {
        address: ownIp,
        allow: () => (this.#follows ? defaultAllow(attached()) : undefined),
        onAddress,
        onAllow: allow => {
          log.info('other networks are attached, who may ask follows', { allow })
          onAllow(allow)
        },
      },
      config.allow,
    )
    this.#timer = setInterval(onAddress, FACTS_MS).unref()
  }

  reload(_before: Config, after: Config): void {
    this.#follows = after.allowAttached
    this.#watch?.reloaded(after.allow)
  }

  close(): void {
    this.#watch?.close()
    clearInterval(this.#timer)
  }
}
